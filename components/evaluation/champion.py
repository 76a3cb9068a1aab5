"""Compares a model with the champion on the same rows: paired differences, their tests and what those could find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import ModelManifest, is_champion, verify_model
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, Predictions, load_model
from headway.components._shared.statistics.blocks import Blocks, numbers_of
from headway.components._shared.statistics.differences import Difference, difference
from headway.components._shared.statistics.intervals import Interval, interval
from headway.components._shared.statistics.metrics import Metric, Outcomes
from headway.components._shared.statistics.slices import Slice
from headway.components.evaluation.measure import Measured

NO_CHAMPION = "No champion to compare with."
SAME_MODEL = "The champion is this very model: nothing to compare."


@dataclass(frozen=True)
class Gain:
    """A metric of the model beside the champion's, on the same rows.

    Attributes:
        champion: The champion's value with its interval.
        difference: Positive is a gain for the model.
    """

    champion: Interval
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """The model against the champion.

    Attributes:
        champion_digest: Which champion.
        outcomes: What the champion said.
        gains: Metric to gain; only metrics of which more or less is better.
        only_model_right: Rows whose class only the model has right; None for regression.
        only_champion_right: Rows whose class only the champion has right.
    """

    champion_digest: str
    outcomes: Outcomes
    gains: Mapping[str, Gain]
    only_model_right: int | None = None
    only_champion_right: int | None = None


def load_champion(folder: str | Path | None, manifest: ModelManifest, columns: list[str]) -> LoadedModel | str:
    """The champion, or the words why there is nothing to compare with.

    Args:
        folder: What `resolve_champion` left; None if the pipeline has no such step.
        manifest: The model's.
        columns: Of the evaluation data.

    Raises:
        HeadwayError: `evaluation.champion_unloadable`, `evaluation.champion_other_target`,
            `evaluation.champion_features_differ`.
    """
    if folder is None:
        return NO_CHAMPION
    try:
        if not is_champion(folder):
            return NO_CHAMPION
        champion = verify_model(folder)
    except HeadwayError as error:
        raise _unloadable(str(folder), error.message) from None
    if champion.model_digest == manifest.model_digest:
        return SAME_MODEL
    mine, theirs = ((m.task, m.target, [str(c) for c in m.classes]) for m in (manifest, champion))
    if mine != theirs:
        raise HeadwayError(
            "evaluation.champion_other_target",
            f"The champion {champion.model_digest[:12]} predicts {_target(champion)}, this model {_target(manifest)}.",
            value=champion.target,
            remedy="Give the model another name in the registry, or evaluate without a champion.",
        )
    missing = [f.name for f in champion.features if f.name not in columns]
    if missing:
        raise HeadwayError(
            "evaluation.champion_features_differ",
            f"The champion {champion.model_digest[:12]} needs {', '.join(missing)}, which the evaluation data lacks.",
            value=missing,
            remedy="Keep the champion's features in the data until it is replaced, or evaluate without a champion.",
        )
    try:
        return load_model(folder)
    except HeadwayError as error:
        raise _unloadable(champion.model_digest[:12], error.message) from None
    except Exception as error:
        raise _unloadable(champion.model_digest[:12], f"{type(error).__name__}: {error}") from error


def predict_champion(champion: LoadedModel, frame: pl.DataFrame) -> Predictions:
    """What the champion says about the rows.

    Raises:
        HeadwayError: `evaluation.champion_features_differ`: a column is of another type than the champion takes.
    """
    try:
        return champion.predict(frame)
    except HeadwayError as error:
        raise HeadwayError(
            "evaluation.champion_features_differ",
            f"The champion {champion.manifest.model_digest[:12]} cannot take these rows: {error.message}",
            value=error.value,
            remedy="Keep the champion's features in the data until it is replaced, or evaluate without a champion.",
        ) from None


def compare(
    measured: Mapping[str, Measured],
    outcomes: Outcomes,
    champion: Outcomes,
    digest: str,
    blocks: Blocks | None,
    *,
    confidence: float,
) -> Comparison:
    """Paired differences of every metric that has a direction."""
    gains = {}
    for name, mine in measured.items():
        theirs = mine.metric.estimate(champion)
        if mine.metric.better is not None and theirs is not None:
            gains[name] = Gain(
                interval(theirs, numbers_of(blocks), confidence=confidence),
                difference(
                    mine.estimate,
                    theirs,
                    numbers_of(blocks),
                    higher_is_better=mine.metric.better == "higher",
                    confidence=confidence,
                ),
            )
    if outcomes.task == "regression":
        return Comparison(digest, champion, gains)
    right, other = outcomes.predicted == outcomes.actual, champion.predicted == champion.actual
    only_model, only_champion = int((right & ~other).sum()), int((other & ~right).sum())
    return Comparison(digest, champion, gains, only_model, only_champion)


def compare_slices(
    slices: Sequence[Slice],
    metric: Metric,
    outcomes: Outcomes,
    champion: Outcomes,
    blocks: Blocks | None,
    *,
    confidence: float,
) -> dict[str, Difference]:
    """Paired gain in each slice, with intervals that hold together.

    Args:
        slices: Those with the support for the metric.
        metric: Of which more or less is better.
        outcomes: Of the model.
        champion: Of the champion.
        blocks: Rows that may depend on each other.
        confidence: Of all intervals together.
    """
    gains = {}
    for piece in slices:
        mine, theirs = metric.estimate(outcomes.take(piece.rows)), metric.estimate(champion.take(piece.rows))
        if mine is not None and theirs is not None:
            gains[piece.name] = difference(
                mine,
                theirs,
                None if blocks is None else blocks.numbers[piece.rows],
                higher_is_better=metric.better == "higher",
                confidence=confidence,
                comparisons=len(slices),
            )
    return gains


def _target(manifest: ModelManifest) -> str:
    classes = f" as one of {', '.join(map(str, manifest.classes))}" if manifest.classes else ""
    return f"{manifest.target!r}{classes} ({manifest.task})"


def _unloadable(which: str, why: str) -> HeadwayError:
    return HeadwayError(
        "evaluation.champion_unloadable",
        f"The champion cannot be loaded: {why}",
        value=which,
        remedy="Point the registry's alias `champion` at a version that loads here, or evaluate without a champion.",
    )
