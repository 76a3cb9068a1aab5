"""The step tune_model: looks for better parameters than the baseline's, inside the training data only."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from headway.components._shared.artifacts import Artifact, Metrics, describe, show_metrics
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.paths import settled
from headway.components._shared.estimators.trials import TrialSpec
from headway.components._shared.estimators.tunings import Gain, Trial, TuningResult, write_tuning
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import run_id
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import parse_duration
from headway.components.tuning.config import Parameter, SearchSpace, Study
from headway.components.tuning.decide import best_trial, gain, reached
from headway.components.tuning.engines import Engine, Search, choose_engine
from headway.components.tuning.memory import Memory
from headway.components.tuning.report import write_failure_report, write_report

log = logging.getLogger("headway")

# So many first trials that all fail for one cause end the search at once.
HOPELESS = 3


@step("tune_model")
def tune(
    train_data: Artifact,
    schema: Artifact,
    tuning: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    estimator: str,
    params: Mapping[str, Any],
    search_space: Mapping[str, Any],
    study: Mapping[str, Any],
    engine: str = "auto",
    seed: int = 0,
    state_uri: str | None = None,
) -> None:
    """Searches parameters and writes the best ones; see the component's docstring."""
    space = _typed(parse(SearchSpace, search_space, parameter="search_space").root, estimator)
    plan = parse(Study, study, parameter="study")
    spec = TrialSpec(
        data=train_data.path,
        schema_path=schema.path,
        estimator=estimator,
        params=settled(estimator, params),
        searched=tuple(space),
        class_weight=plan.class_weight,
        objective=plan.objective,
        cv=plan.cv,
        rows=plan.rows,
        seed=int(seed),
    )
    runner, why = choose_engine(engine, plan, state_uri)
    started = time.monotonic()
    with contextlib.closing(runner):
        setting = runner.open(spec, plan)
        log.info(f"tune_model: {why}; {setting.rows:,} of {setting.available:,} rows, {setting.cv}")
        # Without a run nothing tells a second try from another run, whose trials are its own.
        known = plan.resume and state_uri and run_id()
        memory = Memory(state_uri, spec, space, plan, setting) if known and state_uri else None
        search = Search(
            space=space,
            study=plan,
            setting=setting,
            finished=_worth_keeping(memory.read(), plan) if memory else {},
            keep=memory.keep if memory else _forget,
            deadline=started + parse_duration(plan.timeout).total_seconds() if plan.timeout else None,
        )
        try:
            trials, ending = _run(runner, search)
        except _Hopeless as hopeless:
            write_failure_report(report.path, hopeless.trials, setting, str(hopeless.error))
            keep_report(report.path)
            raise hopeless.error from None
        result = _result(spec, search, trials, runner.name, ending)
        write_tuning(result, tuning.path)
        write_report(report.path, result, space, setting)
        keep_report(report.path)
    describe(
        tuning,
        trials=len(trials),
        best_value=result.best_value,
        estimator=estimator,
        task=setting.task,
        code_digest=result.code_digest,
        data_fingerprint=result.data_fingerprint,
        decision=result.reason,
    )
    shown = {
        "best_value": result.best_value,
        "baseline_value": result.baseline_value,
        "gain": result.gain.value if result.gain else None,
        "trials": len(trials),
        "failed_trials": sum(t.state == "failed" for t in trials),
    }
    show_metrics(metrics, shown)
    decided(
        f"{counted(len(trials), 'trial')}, {result.reason}",
        rows=setting.rows,
        engine=why,
        params=result.params,
        best_value=result.best_value,
        baseline_value=result.baseline_value,
    )


def _worth_keeping(finished: dict[int, Trial], study: Study) -> dict[int, Trial]:
    """The trials of an earlier try; not those from the first failure on where so many have failed that they ended it.

    What made them fail may be gone, and the step was started again.
    """
    failed = [number for number, trial in sorted(finished.items()) if trial.state == "failed"]
    if len(failed) <= study.max_failed_share * study.trials and failed[:HOPELESS] != [*range(HOPELESS)]:
        return finished
    log.info(f"tune_model: {counted(len(failed), 'trial')} that failed then are tried again")
    return {number: trial for number, trial in finished.items() if number < failed[0]}


def _typed(space: Mapping[str, Parameter], estimator: str) -> dict[str, Parameter]:
    """The space with the values of its lists in the estimator's own types."""
    return {
        name: parameter.model_copy(
            update={"list": parameter.list and tuple(settled(estimator, {name: v})[name] for v in parameter.list)}
        )
        for name, parameter in space.items()
    }


class _Hopeless(Exception):  # noqa: N818 - carries the evidence to the report
    def __init__(self, error: HeadwayError, trials: list[Trial]) -> None:
        self.error, self.trials = error, trials
        super().__init__(str(error))


def _run(runner: Engine, search: Search) -> tuple[list[Trial], str]:
    """All trials, and why the search ended."""
    study, setting = search.study, search.setting
    trials: list[Trial] = []
    begun = time.monotonic()
    with contextlib.closing(runner.trials(search)) as coming:
        try:
            for trial in coming:
                trials.append(trial)
                _tell(trial, trials, search, time.monotonic() - begun)
                _give_up_if_hopeless(trials, study)
                if reached(trial.value, study.goal, setting.direction):
                    return trials, f"ended at the goal {study.goal:g}"
        except HeadwayError as error:
            raise _Hopeless(error, trials) from None
    if best_trial(trials, setting.direction) is None:
        raise _Hopeless(_nothing_usable(trials, search), trials)
    if len(trials) == study.trials or not search.space:
        return trials, ""
    if search.deadline is not None and time.monotonic() >= search.deadline:
        return trials, f"ended by the timeout of {study.timeout} after {len(trials)} of {study.trials} trials"
    return trials, f"no more than {counted(len(trials), 'different trial')} came up"


def _give_up_if_hopeless(trials: list[Trial], study: Study) -> None:
    failed = [t for t in trials if t.state == "failed"]
    if len(failed) == len(trials) == HOPELESS and len({_kind(t) for t in failed}) == 1:
        raise _Hopeless(_none_succeeded(failed[:1], f"The first {HOPELESS} trials failed alike"), trials)
    if len(failed) <= study.max_failed_share * study.trials:
        return
    if len(failed) == len(trials):
        raise _Hopeless(_none_succeeded(failed), trials)
    error = HeadwayError(
        "tuning.too_many_failed",
        f"{len(failed)} of the first {counted(len(trials), 'trial')} failed: {_causes(failed)}.",
        value=study.max_failed_share,
        remedy="Correct the parameters or narrow the search space; study.max_failed_share says how many may fail.",
    )
    raise _Hopeless(error, trials)


def _kind(trial: Trial) -> str:
    """Why a trial failed, without the numbers in which causes of one kind differ."""
    return re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", trial.cause or "")


def _nothing_usable(trials: list[Trial], search: Search) -> HeadwayError:
    failed = [t for t in trials if t.state == "failed"]
    if failed:
        return _none_succeeded(failed)
    return HeadwayError(
        "tuning.timeout",
        "Not even the baseline was finished in time.",
        value=search.study.timeout,
        remedy="Give study.timeout more time, or bound the work by study.rows.",
    )


def _none_succeeded(failed: list[Trial], what: str = "No trial succeeded") -> HeadwayError:
    return HeadwayError(
        "tuning.too_many_failed",
        f"{what}: {_causes(failed)}.",
        remedy="Correct what every trial fails at; the parameters and the search space are in the report.",
    )


def _causes(failed: list[Trial]) -> str:
    causes = list(dict.fromkeys((t.cause or "").rstrip(".") for t in failed))
    return "; ".join(causes[:3]) + (f"; and {len(causes) - 3} other causes" if len(causes) > 3 else "")


def _tell(trial: Trial, trials: list[Trial], search: Search, seconds: float) -> None:
    """One progress line a trial, with a rate and an estimate."""
    total = search.study.trials if search.space else 1
    left = seconds / len(trials) * (total - len(trials))
    says = (
        f"{search.setting.objective} {trial.value:.5g}" if trial.value is not None else f"{trial.state}: {trial.cause}"
    )
    name = "baseline" if trial.number == 0 else f"trial {trial.number}"
    log.info(f"tune_model: {name} {says} ({len(trials)}/{total}, {trial.seconds:.1f} s, about {left:.0f} s to go)")


def _result(spec: TrialSpec, search: Search, trials: list[Trial], engine: str, ending: str) -> TuningResult:
    setting = search.setting
    best = best_trial(trials, setting.direction)
    assert best is not None and best.value is not None  # noqa: PT018 - `_run` has seen to it
    baseline = trials[0] if trials[0].state == "succeeded" else None
    gained = None
    if baseline is not None and best is not baseline:
        gained = gain(best, baseline, trials, setting.direction, setting.test_to_train, search.study.confidence)
    reason = _reason(search, trials, best, baseline, gained)
    return TuningResult(
        estimator=spec.estimator,
        params=best.params,
        objective=setting.objective,
        direction=setting.direction,
        best_trial=best.number,
        best_value=best.value,
        baseline_value=baseline.value if baseline else None,
        gain=gained,
        reason=f"{reason}; {ending}" if ending else reason,
        engine=engine,
        cv=setting.cv,
        rows=setting.rows,
        trials=tuple(trials),
        code_digest=setting.code_digest,
        data_fingerprint=setting.data_fingerprint,
        schema_digest=setting.schema_digest,
        seed=spec.seed,
    )


def _reason(search: Search, trials: list[Trial], best: Trial, baseline: Trial | None, gained: Gain | None) -> str:
    name = search.setting.objective
    if not search.space:
        return f"empty search space: only the baseline was judged, {name} {best.value:.4f}"
    if baseline is None:
        return f"{name} {best.value:.4f} by trial {best.number}; the baseline failed: {trials[0].cause}"
    if gained is None:
        return f"no trial beat the baseline's {name} {best.value:.4f}"
    sure = "" if gained.low > 0 else ", which may be chance"
    return (
        f"{name} {best.value:.4f} by trial {best.number}, {gained.value:+.4f} better than the baseline "
        f"[{gained.low:+.4f}, {gained.high:+.4f}]{sure}"
    )


def _forget(_: Trial) -> None:
    """Without a state folder nothing is kept."""
