"""All features at once: can a classifier tell the window's rows from those of the reference?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.config import Config
from headway.components._shared.statistics.distributions import normal_quantile
from headway.components._shared.statistics.estimates import Estimate, Floats, roc_auc
from headway.components.monitoring.config import Classifier

_MOST_CATEGORIES = 254


class Separation(Config):
    """How well the two can be told apart.

    Attributes:
        auc: Area under the ROC curve on rows that the classifier has not learned from; 0.5 is guessing.
        low: One-sided confidence bound below it.
        rows: Rows of each side.
        found: Whether it reaches the limit and is not chance.
    """

    auc: float
    low: float
    rows: tuple[int, int]
    found: bool


def separation(
    reference: pl.DataFrame, current: pl.DataFrame, features: Sequence[str], settings: Classifier, seed: int = 0
) -> Separation | None:
    """Fits gradient-boosted trees on one half of the rows and measures them on the other, both ways round.

    Rows that were not learned from are ranked by chance where the two sides come from one distribution, so the bound
    of DeLong, DeLong and Clarke-Pearson (1988) holds; the two halves are averaged. None with too few rows or features.

    Args:
        reference: Sampled rows of the reference.
        current: Sampled rows of the window.
        features: Columns that both have.
        settings: Limits.
        seed: Of the halves and of the classifier.
    """
    few = min(reference.height, current.height) < settings.min_rows
    if few or not features:
        return None
    rows, kinds = _coded(pl.concat([reference.select(features), current.select(features)], how="vertical_relaxed"))
    is_current = np.arange(len(rows)) >= reference.height
    half = np.random.default_rng(seed).permutation(len(rows)) % 2 == 0
    estimates = [_measured(rows, is_current, kinds, learn, seed) for learn in (half, ~half)]
    known = [estimate for estimate in estimates if estimate is not None]
    if not known:
        return None
    auc = float(np.mean([estimate.value for estimate in known]))
    error = float(np.sqrt(sum((estimate.influence**2).sum() for estimate in known))) / len(known)
    low = auc - normal_quantile(settings.confidence) * error
    found = auc >= settings.min_auc and low > 0.5
    return Separation(auc=auc, low=low, rows=(reference.height, current.height), found=found)


def _measured(
    rows: Floats, is_current: npt.NDArray[np.bool_], kinds: Sequence[bool], learn: npt.NDArray[np.bool_], seed: int
) -> Estimate | None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.2, max_leaf_nodes=15, categorical_features=list(kinds), random_state=seed
    )
    model.fit(rows[learn], is_current[learn])
    return roc_auc(is_current[~learn], model.predict_proba(rows[~learn])[:, 1])


def _coded(frame: pl.DataFrame) -> tuple[Floats, list[bool]]:
    """Numbers as they are, the most frequent categories by number; and which columns are categories."""
    columns, kinds = [], []
    for column in frame:
        category = column.dtype in (pl.String, pl.Boolean)
        if category:
            counts = column.drop_nulls().value_counts(sort=True)[column.name].head(_MOST_CATEGORIES)
            codes = {value: code for code, value in enumerate(counts)}
            column = column.replace_strict(codes, default=len(codes), return_dtype=pl.Float64)
        columns.append(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
        kinds.append(category)
    return np.column_stack(columns), kinds
