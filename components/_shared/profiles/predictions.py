"""What a model says, as a small profile: the classes that it picks, and probabilities or numbers on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import column_document, parse_column, profile_column
from headway.components._shared.schemas import Column
from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.metrics import Outcomes
from headway.components._shared.verdicts import Predicted

_STEP = 0.01
_STEPS = 100
_MOST_CLASSES = 10
_DIGITS = 12


def predicted_of(outcomes: Outcomes, classes: Sequence[object]) -> Predicted:
    """The profile for a verdict.

    Args:
        outcomes: What the model said about the rows of an evaluation.
        classes: Labels in the order of their numbers; empty for regression.
    """
    step = _step(outcomes.predicted) if outcomes.task == "regression" else _STEP
    profile = profile_predictions(outcomes, classes, step)
    return Predicted(rows=profile.rows, step=step, columns=tuple(map(column_document, profile.columns)))


def profile_predictions(outcomes: Outcomes, classes: Sequence[object], step: float) -> Profile:
    """The same of other rows, on the same grid."""
    columns = tuple(
        profile_column(values, Column(name=values.name, type=kind)) for values, kind in _series(outcomes, classes, step)
    )
    return Profile(len(outcomes.predicted), columns, pl.DataFrame({"__hash": pl.Series(dtype=pl.UInt64)}))


def profile_in(predicted: Predicted) -> Profile:
    """The profile that a verdict holds."""
    columns = tuple(map(parse_column, predicted.columns))
    return Profile(predicted.rows, columns, pl.DataFrame({"__hash": pl.Series(dtype=pl.UInt64)}))


def _series(outcomes: Outcomes, classes: Sequence[object], step: float) -> Iterator[tuple[pl.Series, str]]:
    if outcomes.task == "regression":
        yield pl.Series("prediction", _on_grid(outcomes.predicted, step)), "number"
        return
    names = [str(label) for label in classes]
    yield pl.Series("prediction", [names[int(number)] for number in outcomes.predicted]), "string"
    if outcomes.probabilities is None:
        return
    shown = [1] if len(names) == 2 else range(min(len(names), _MOST_CLASSES))
    for number in shown:
        yield pl.Series(f"probability of {names[number]}", _on_grid(outcomes.probabilities[:, number], step)), "number"


def _on_grid(values: Floats, step: float) -> Floats:
    return np.round(np.round(values / step) * step, _DIGITS)


def _step(values: Floats) -> float:
    """A power of ten that parts the middle of the values into a hundred steps and more."""
    low, high = np.quantile(values, [0.01, 0.99])
    return float(10.0 ** np.floor(np.log10((high - low) / _STEPS))) if high > low else 1.0
