"""The rows of a window as outcomes: what the model said, and what happened where that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset
from headway.components._shared.inference_logs import PREDICTED, PROBABILITIES, TIME
from headway.components._shared.schemas import require_columns
from headway.components._shared.statistics.blocks import MIN_BLOCKS, Blocks, blocks_by
from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.metrics import Outcomes

_PERIODS = ("1h", "1d")


@dataclass(frozen=True)
class Answered:
    """The rows of a window.

    Attributes:
        frame: All of them.
        outcomes: Of all of them; `actual` is not a number where no label is known.
        known: Shape (rows,): where a label is known.
    """

    frame: pl.DataFrame
    outcomes: Outcomes
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def labelled(self) -> Outcomes:
        """Outcomes of the rows with a label."""
        return self.outcomes.take(self.known)

    def blocks(self) -> tuple[Blocks, ...]:
        """Ways in which the labelled rows may depend: hours and days, of which there are enough."""
        times = self.frame.select(TIME).filter(pl.Series(self.known))
        found = [blocks_by(times, TIME, period) for period in _PERIODS if times.height]
        return tuple(replace(b, words=b.words.split()[0]) for b in found if MIN_BLOCKS <= b.count < times.height)


def read_answers(window: Dataset, manifest: ModelManifest) -> Answered:
    """Reads a window of collect_window.

    Raises:
        HeadwayError: `data.column_missing`.
    """
    names = [f"{PROBABILITIES}{label}" for label in manifest.classes]
    there = [name for name in names if name in window.columns]
    require_columns(window.columns, [TIME, PREDICTED, manifest.target], what="The window")
    frame = window.read()
    if manifest.task == "regression":
        predicted, actual = (_numbers(frame[name]) for name in (PREDICTED, manifest.target))
        outcomes = Outcomes("regression", actual, predicted)
    else:
        classes = classes_of(manifest)
        predicted, actual = (_classes(frame[name], classes) for name in (PREDICTED, manifest.target))
        given = frame.select(there).to_numpy() if len(there) == len(names) else None
        probabilities = None if given is None or not np.isfinite(given).all() else given.astype(np.float64)
        outcomes = Outcomes(manifest.task, actual, predicted, len(classes), probabilities)
    return Answered(frame, outcomes, np.isfinite(outcomes.actual))


def classes_of(manifest: ModelManifest) -> dict[str, float]:
    """Label, as text, to the number of its class."""
    return {str(label): float(number) for number, label in enumerate(manifest.classes)}


def _numbers(values: pl.Series) -> Floats:
    return values.cast(pl.Float64()).fill_null(float("nan")).to_numpy()


def _classes(values: pl.Series, numbers: dict[str, float]) -> Floats:
    return _numbers(values.replace_strict(numbers, default=None, return_dtype=pl.Float64()))
