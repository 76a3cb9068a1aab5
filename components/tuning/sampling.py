"""Suggests the next parameters: a pure function of the space, the trials before, the seed and the trial's number."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headway.components._shared.estimators.tunings import Trial
from headway.components.tuning.config import Parameter

# Suggestions that only repeat an earlier trial before a space counts as exhausted.
ATTEMPTS = 50


def suggest(
    space: Mapping[str, Parameter],
    history: Sequence[Trial],
    *,
    number: int,
    sampler: str,
    direction: Literal["maximize", "minimize"],
    seed: int,
    startup: int,
    taken: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    """The searched parameters of one trial, different from all before; None when nothing new is found.

    No state is kept between calls, so a search that is resumed goes on exactly as if it had never stopped.

    Args:
        space: What may be searched.
        history: Trials to learn from, in order.
        number: Of the trial.
        sampler: `tpe` or `random`.
        direction: `maximize` or `minimize`.
        seed: Of the search.
        startup: Trials that TPE draws at random before it learns.
        taken: Searched parameters of all trials that were begun.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna says at every call that a step does not divide its range; it then searches up to the last step.
    warnings.filterwarnings("ignore", module="optuna")
    distributions = {name: _distribution(parameter) for name, parameter in space.items()}
    learned = [_as_optuna(trial, space, distributions) for trial in history]
    for attempt in range(ATTEMPTS):
        draw = _seed(seed, number, attempt)
        study = optuna.create_study(
            direction=direction,
            sampler=optuna.samplers.TPESampler(n_startup_trials=startup, seed=draw)
            if sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=draw),
        )
        study.add_trials([trial for trial in learned if trial is not None])
        asked = study.ask(distributions)
        params = {name: _value(parameter, asked.params[name]) for name, parameter in space.items()}
        if params not in taken:
            return params
    return None


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.type == "categorical":
        return CategoricalDistribution(parameter.list or ())
    low, high = parameter.min or 0.0, parameter.max or 0.0
    if parameter.type == "int":
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=parameter.step)


def _as_optuna(trial: Trial, space: Mapping[str, Parameter], distributions: Mapping[str, Any]) -> Any:
    """A finished trial that teaches something; None for a failed one, and for a baseline outside the space."""
    from optuna.trial import TrialState, create_trial

    given = {name: trial.params.get(name) for name in space}
    if trial.state == "failed" or not all(_inside(space[name], value) for name, value in given.items()):
        return None
    means = {fold: math.fsum(trial.folds[: fold + 1]) / (fold + 1) for fold in range(len(trial.folds))}
    return create_trial(
        state=TrialState.COMPLETE if trial.state == "succeeded" else TrialState.PRUNED,
        value=trial.value,
        params={name: _value(space[name], value) for name, value in given.items()},
        distributions=dict(distributions),
        intermediate_values=means,
    )


def _inside(parameter: Parameter, value: Any) -> bool:
    if parameter.type == "categorical":
        return value in (parameter.list or ())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = parameter.min or 0.0, parameter.max or 0.0
    step = parameter.step or (1.0 if parameter.type == "int" else None)
    return low <= value <= high and (step is None or ((value - low) / step).is_integer())


def _value(parameter: Parameter, drawn: Any) -> Any:
    """In the parameter's type, and inside its range: TPE can miss the end of a logarithmic one by the last digit."""
    if parameter.type == "categorical":
        return drawn
    if parameter.type == "int":
        return int(drawn)
    return min(max(float(drawn), parameter.min or 0.0), parameter.max or 0.0)


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])
