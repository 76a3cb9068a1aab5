"""The interface of everything that can run trials, and the choice between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components.tuning.config import Parameter, Study


@dataclass(frozen=True)
class Search:
    """What an engine is to do.

    Attributes:
        space: What is searched; empty means that only the baseline is judged.
        study: How.
        setting: What `Engine.open` said about the data.
        finished: Trials of an earlier try by number; one that comes up again with the same parameters is adopted.
        keep: Called once for every trial that ends, as soon as it ends, from any thread.
        deadline: Value of `time.monotonic()` after which no trial goes on; None means no end.
    """

    space: Mapping[str, Parameter]
    study: Study
    setting: Setting
    finished: Mapping[int, Trial]
    keep: Callable[[Trial], None]
    deadline: float | None = None


class Engine(ABC):
    """Runs trials: the estimator with some parameters, judged by `python -m headway.components.training`.

    Every engine keeps these promises; `tests/engine_cases.py` holds it to them. Trial 0 has the baseline's parameters
    and is never stopped early. Trials come in the order of their numbers, whole. A trial that crashes, hangs, or
    gives a number that is not finite is `failed` with its cause, and the search goes on. After `close` nothing of it
    runs any more.
    """

    name: str

    @abstractmethod
    def open(self, spec: TrialSpec, study: Study) -> Setting:
        """Checks that trials can run, and says what they will work on.

        Raises:
            HeadwayError: Whatever is wrong with the data, the estimator, its parameters, or the engine.
        """

    @abstractmethod
    def trials(self, search: Search) -> Generator[Trial, None, None]:
        """Runs the search; ends early at the deadline or when the space is exhausted."""

    @abstractmethod
    def close(self) -> None:
        """Stops whatever still runs. May be called twice, and at any time."""


def choose_engine(name: str, study: Study, state_uri: str | None) -> tuple[Engine, str]:
    """The engine of that name and why it was taken.

    Raises:
        HeadwayError: `tuning.engine_unknown`, `tuning.sampler_unavailable`.
    """
    from headway.components.tuning.katib.engine import KatibEngine, reason_against_katib
    from headway.components.tuning.local import LocalEngine

    if name == "katib":
        return KatibEngine(state_uri), "engine katib, as asked"
    if name == "auto":
        reason = reason_against_katib(study, state_uri)
        if reason is None:
            return KatibEngine(state_uri), "engine katib: this cluster has it"
    elif name == "local":
        reason = "as asked"
    else:
        raise HeadwayError(
            "tuning.engine_unknown", f"There is no engine {name!r}.", value=name, remedy="Use auto, local or katib."
        )
    if study.sampler not in ("tpe", "random"):
        raise HeadwayError(
            "tuning.sampler_unavailable",
            f"Engine local has no sampler {study.sampler!r} ({reason}).",
            value=study.sampler,
            remedy="Set study.sampler to tpe or random, or use engine katib in a cluster that has it.",
        )
    return LocalEngine(), f"engine local, {reason}" if name == "local" else f"engine local: {reason}"
