"""Hints at leakage: features that alone give the target away, measured on the profile's sample, held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.schemas import Column
from headway.components.validation.config import Checks
from headway.components.validation.distributions import is_class
from headway.components.validation.findings import Draft

BINS = 32
MIN_ROWS = 40  # in each half, and of each class

Floats = npt.NDArray[np.float64]


def drafts(columns: Sequence[Column], profile: Profile, checks: Checks) -> Iterator[Draft]:
    """One finding for each feature that predicts the target as well as only a leak does."""
    targets = [c for c in columns if "target" in c.roles and profile.column(c.name)]
    if checks.leakage.severity == "off" or len(targets) != 1 or targets[0].name not in profile.sample.columns:
        return
    target = targets[0].name
    rows = profile.sample.filter(pl.col(target).is_not_null())
    outcomes = _outcomes(rows[target], is_class(profile.column(target)))  # type: ignore[arg-type]
    for column in columns:
        if column.roles or column.name not in rows.columns:
            continue
        strength = max((_strength(_codes(rows[column.name]), outcome) for outcome in outcomes), default=0.0)
        if strength >= checks.leakage.min_strength:
            yield Draft(
                "leakage",
                f"Feature {column.name!r} alone predicts {target!r} almost perfectly "
                f"({'AUC' if is_binary(outcomes) else 'correlation'} {strength:.3f} on {rows.height:,} sampled rows).",
                "Make sure that it is known when the model is asked; leave it out if it follows from the outcome.",
                column=column.name,
            )


def is_binary(outcomes: Sequence[Floats]) -> bool:
    """Whether outcomes are classes (0 and 1)."""
    return all(np.isin(outcome, (0.0, 1.0)).all() for outcome in outcomes)


def _outcomes(target: pl.Series, classes: bool) -> list[Floats]:
    """The target as numbers: one indicator a class, or the ranks of a quantity."""
    if not classes:
        ranks: Floats = target.rank().to_numpy().astype(np.float64)
        return [ranks]
    labels = sorted(target.unique().to_list(), key=str)
    return [(target == label).to_numpy().astype(np.float64) for label in (labels[1:] if len(labels) == 2 else labels)]


def _codes(feature: pl.Series) -> npt.NDArray[np.int64]:
    """The feature in at most a few dozen bins or as its categories; missing values are a bin of their own."""
    if feature.dtype.is_numeric():
        numbers = feature.cast(pl.Float64).to_numpy()
        finite = numbers[np.isfinite(numbers)]
        inner = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])) if finite.size else finite
        codes = np.searchsorted(inner, numbers, side="left") + 1
        return np.where(np.isnan(numbers), 0, codes)
    return feature.cast(pl.String).rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _strength(codes: npt.NDArray[np.int64], outcome: Floats) -> float:
    """How well the mean outcome by bin, learned on each half, ranks the rows of the other half: AUC or correlation."""
    half = np.arange(len(codes)) % 2 == 0  # rows lie in the order of their hashes, so this is a random half
    binary = bool(np.isin(outcome, (0.0, 1.0)).all())
    if min(half.sum(), (~half).sum()) < MIN_ROWS or np.unique(outcome).size < 2:
        return 0.0
    if binary and min(outcome.sum(), (1 - outcome).sum()) < MIN_ROWS:
        return 0.0
    strengths = []
    for learned in (half, ~half):
        rows = np.bincount(codes[learned], minlength=codes.max() + 1)
        sums = np.bincount(codes[learned], weights=outcome[learned], minlength=codes.max() + 1)
        means = np.where(rows > 0, sums / np.maximum(rows, 1), outcome[learned].mean())
        strengths.append(_ranking(means[codes[~learned]], outcome[~learned], binary))
    return float(np.mean(strengths))


def _ranking(score: Floats, outcome: Floats, binary: bool) -> float:
    ranks = pl.Series(score).rank().to_numpy()
    if binary:
        positives = outcome.sum()
        negatives = len(outcome) - positives
        if min(positives, negatives) == 0:
            return 0.0
        return float((ranks[outcome == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
    if np.ptp(ranks) == 0 or np.ptp(outcome) == 0:
        return 0.0
    return float(np.corrcoef(ranks, outcome)[0, 1])
