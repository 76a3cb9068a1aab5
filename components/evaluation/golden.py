"""Golden rows: a few hundred rows at the edges, with the model's predictions, to check any server of the model by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, Predictions
from headway.components._shared.hashing import stable_hash
from headway.components._shared.profiles.columns import FEWEST
from headway.components._shared.statistics.estimates import Floats, Integers

# The same row alone and among others: further apart than this is not rounding.
TOLERANCE = 1e-6
ID = "id"


def golden_rows(
    frame: pl.DataFrame, model: LoadedModel, predictions: Predictions, *, threshold: float | None, count: int
) -> pl.DataFrame:
    """Chooses rows and predicts them anew.

    The same rows whatever their order: missing values of every feature, every category, the ends of every number,
    predictions at both extremes and around the threshold, and the rest by the hash of the row. Rows with a text value
    that occurs fewer than 10 times are left out; columns with the role personal are no features, so none is there.

    Args:
        frame: Rows with the features, and the schema's id column if there is one.
        model: Whose predictions they are.
        predictions: For all rows of the frame.
        threshold: Decision threshold of a binary model.
        count: Largest number of rows.

    Returns:
        Columns: the id, the features, `prediction`, and one `probability_<class>` a class.

    Raises:
        HeadwayError: `evaluation.prediction_depends_on_batch`.
    """
    manifest = model.manifest
    features = frame.select(f.name for f in manifest.features)
    ids = _ids(frame, manifest)
    ordered = np.argsort(stable_hash(pl.DataFrame([ids, *features])), kind="stable")
    common = _common(features)
    if not common.any():
        features = _folded(features)
        predictions = model.predict(features)
    else:
        ordered = ordered[common[ordered]]
    rows = _chosen(features, ordered, _score(predictions), threshold, count)
    given = features[rows]
    alone = model.predict(given)
    _check_batch(alone, predictions, rows, manifest)
    return pl.DataFrame([ids[rows], *given, *_predicted(alone, manifest, threshold)])


def _chosen(features: pl.DataFrame, ordered: Integers, score: Floats, threshold: float | None, count: int) -> list[int]:
    """Row numbers in the order of the hash: one from each edge in turn, then more by hash until there are enough."""
    chosen: dict[int, None] = {}
    edges = [list(edge) for edge in _edges(features, ordered, score, threshold)]
    for depth in range(max((len(edge) for edge in edges), default=0)):
        for edge in edges:
            if depth < len(edge) and len(chosen) < count:
                chosen[edge[depth]] = None
    for row in ordered.tolist():
        if len(chosen) >= count:
            break
        chosen[row] = None
    return [row for row in ordered.tolist() if row in chosen]


def _edges(features: pl.DataFrame, ordered: Integers, score: Floats, threshold: float | None) -> Iterator[list[int]]:
    """A few rows of every kind that a server could get wrong."""
    by_score = ordered[np.argsort(score[ordered], kind="stable")]
    yield by_score[:5].tolist()
    yield by_score[-5:].tolist()
    if threshold is not None:
        near = ordered[np.argsort(np.abs(score[ordered] - threshold), kind="stable")]
        yield near[:20].tolist()
    for column in features:
        missing = column.is_null().to_numpy()
        yield ordered[missing[ordered]][:3].tolist()
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            values = column.to_physical().cast(pl.Float64).fill_nan(None)
            by_value = ordered[np.argsort(values.fill_null(0).to_numpy()[ordered], kind="stable")]
            present = by_value[values.is_not_null().to_numpy()[by_value]]
            yield [*present[:2].tolist(), *present[-2:].tolist()]
        else:
            _, first = np.unique(column.cast(pl.String).fill_null("").to_numpy()[ordered], return_index=True)
            yield ordered[first].tolist()


def _common(features: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Rows whose every text value occurs at least 10 times."""
    texts = _texts(features)
    if not texts:
        return np.ones(features.height, dtype=bool)
    return features.select(pl.all_horizontal(pl.len().over(name) >= FEWEST for name in texts)).to_series().to_numpy()


def _folded(features: pl.DataFrame) -> pl.DataFrame:
    """The same rows with every rare text value missing."""
    return features.with_columns(
        pl.when(pl.len().over(name) >= FEWEST).then(name).alias(name) for name in _texts(features)
    )


def _texts(features: pl.DataFrame) -> list[str]:
    return [c.name for c in features if c.dtype in (pl.String, pl.Categorical, pl.Enum)]


def _score(predictions: Predictions) -> Floats:
    """One number a row to order predictions by."""
    probabilities, values = predictions.probabilities, predictions.values
    if probabilities is None:
        return np.asarray(values if values.dtype.kind in "fiub" else np.unique(values, return_inverse=True)[1], float)
    score: Floats = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)
    return score


def _check_batch(alone: Predictions, together: Predictions, rows: list[int], manifest: ModelManifest) -> None:
    before, now = (_score(p) for p in (Predictions(together.values[rows], _part(together, rows)), alone))
    apart = float(np.abs(before - now).max(initial=0.0))
    scale = max(1.0, float(np.abs(before).max(initial=0.0)))
    if apart > TOLERANCE * scale:
        raise HeadwayError(
            "evaluation.prediction_depends_on_batch",
            f"Model {manifest.model_digest[:12]} predicts the same row differently among other rows.",
            value=apart,
            remedy="Make every step of the pipeline work row by row; nothing may be computed from the batch.",
        )


def _part(predictions: Predictions, rows: list[int]) -> Floats | None:
    return None if predictions.probabilities is None else predictions.probabilities[rows]


def _ids(frame: pl.DataFrame, manifest: ModelManifest) -> pl.Series:
    """The schema's id column, or a hash of the row where there is none that may be shown."""
    schema = manifest.schema_
    features = {f.name for f in manifest.features}
    for name in schema.names("id"):
        column = schema.column(name)
        if name in frame.columns and name not in features and column and "personal" not in column.roles:
            return frame[name]
    hashes = stable_hash(frame.select(f.name for f in manifest.features)).tolist()
    return pl.Series(ID if ID not in features else "golden_id", [f"{value:016x}" for value in hashes])


def _predicted(predictions: Predictions, manifest: ModelManifest, threshold: float | None) -> list[pl.Series]:
    columns = [pl.Series("prediction", predictions.decided(manifest.classes, threshold))]
    if predictions.probabilities is not None:
        columns += [
            pl.Series(f"probability_{label}", values)
            for label, values in zip(manifest.classes, predictions.probabilities.T, strict=True)
        ]
    return columns
