"""Runs trials in the cluster: single ones as Jobs of ours, the others as the Trials of one Experiment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.kubernetes import OUTAGES, Cluster, Kind, bearing
from headway.components._shared.kubernetes.kinds import EXPERIMENT, JOB
from headway.components._shared.times import parse_duration
from headway.components.tuning.engines import Search
from headway.components.tuning.katib.checks import named
from headway.components.tuning.katib.experiment import (
    SEARCH,
    Plan,
    coding,
    experiment,
    fold_metrics,
    job_name,
    single_job,
)
from headway.components.tuning.katib.plan import signs_of_life
from headway.components.tuning.katib.pod import CONTAINER
from headway.components.tuning.katib.stage import Stage
from headway.components.tuning.katib.watch import (
    Object,
    Snapshot,
    Watch,
    cause_of,
    ended_container,
    is_over,
    log_of,
    look,
    observed,
    seconds_of,
    state_of,
)

HEARTBEAT_S = 60.0


@dataclass
class Runner:
    """What runs trials needs.

    Attributes:
        cluster: Where.
        search: What is searched.
        plan: How its objects look.
        params: Parameters that every trial shares.
        poll_s: Seconds between looks at the cluster.
        stage: Where the trials' data is.
        started: Objects that were created, or adopted, and have not ended; the Experiment first.
        beaten: When it was last said that the step is alive.
    """

    cluster: Cluster
    search: Search
    plan: Plan
    params: Mapping[str, Any]
    poll_s: float
    stage: Stage
    started: list[tuple[Kind, str]] = field(default_factory=list)
    beaten: float = field(default_factory=time.monotonic)

    def apply(self, manifest: dict[str, Any], *, dry_run: bool = False) -> None:
        """Creates or adopts an object; refusals come in the terms of a search."""
        try:
            self.cluster.apply(manifest, force=True, dry_run=dry_run)
        except HeadwayError as error:
            raise named(error, self.cluster) from None

    def in_time(self) -> bool:
        """Whether the deadline has not passed."""
        return self.search.deadline is None or time.monotonic() < self.search.deadline

    def watch(self) -> Watch:
        """Watchdogs that begin now."""
        patience = parse_duration(self.search.study.pods.patience).total_seconds()
        return Watch(self.cluster, self.plan.name, patience, time.monotonic())

    def beat(self) -> None:
        """Says once a minute, on what was started first and beside the data, that the step is alive."""
        if time.monotonic() - self.beaten > HEARTBEAT_S:
            self.beaten = time.monotonic()
            self.stage.beat()
            if self.started:
                say_alive(self.cluster, *self.started[0])

    def look(self) -> Snapshot:
        """Everything of this search that is there."""
        return look(self.cluster, self.plan.name, self.plan.labels[SEARCH])


def say_alive(cluster: Cluster, kind: Kind, name: str) -> None:
    """Notes that the step is alive; a controller that is down for a moment must not end the search."""
    with bearing("noting that the step is alive", (*OUTAGES, "kubernetes.refused")):
        cluster.annotate(kind, name, signs_of_life())


def run_jobs(runner: Runner, choices: Mapping[int, Mapping[str, str]]) -> Generator[Trial, None, None]:
    """Runs trials as Jobs, so many at a time as the study says; ends early at the deadline.

    Args:
        runner: Where and how.
        choices: Number of each trial to its searched parameters, as a search service would write them.
    """
    search, watch = runner.search, runner.watch()
    waiting, running = list(choices), list[int]()
    ready: dict[int, Trial] = {}
    for number in waiting.copy():
        earlier = search.finished.get(number)
        if earlier is not None and earlier.params == _params(runner, choices[number]):
            ready[number] = earlier
            waiting.remove(number)
    for number in choices:
        while number not in ready:
            if not runner.in_time():
                return
            while waiting and len(running) < search.study.parallel:
                running.append(waiting.pop(0))
                _start(runner, running[-1], choices[running[-1]])
            snapshot = runner.look()
            watch.see(snapshot, time.monotonic())
            for begun in running.copy():
                trial = _of_job(runner, begun, choices[begun], snapshot, watch)
                if trial is not None:
                    running.remove(begun)
                    # Told to end, the step has time for what still runs and for no more.
                    runner.started.remove((JOB, job_name(runner.plan, begun)))
                    search.keep(trial)
                    ready[begun] = trial
            if number not in ready:
                runner.beat()
                time.sleep(runner.poll_s)
        yield ready[number]


def run_experiment(runner: Runner, is_known: Callable[[Trial], bool]) -> Generator[Trial, None, None]:
    """The trials of the Experiment as they end, numbered in that order; ends with it or at the deadline.

    Args:
        runner: Where and how.
        is_known: Whether these parameters have been tried: a second time they do not count.

    Raises:
        HeadwayError: `tuning.experiment_deleted`, `tuning.experiment_failed`, and whatever the watchdogs see.
    """
    search, plan = runner.search, runner.plan
    runner.started.insert(0, (EXPERIMENT, plan.name))
    if runner.cluster.get(EXPERIMENT, plan.name) is None:
        runner.apply(experiment(plan))
    watch, told, number = runner.watch(), set[str](), plan.first
    while runner.in_time():
        snapshot = runner.look()
        if snapshot.experiment is None or snapshot.experiment["metadata"].get("deletionTimestamp"):
            raise _deleted("the experiment", plan.name)
        for name in snapshot.ended():
            if name in told:
                continue
            told.add(name)
            trial = _of_katib(runner, number, name, snapshot)
            if is_known(trial):
                continue
            number += 1
            earlier = search.finished.get(trial.number)
            if earlier is None or earlier.params != trial.params:
                search.keep(trial)
            yield trial
        state = state_of(snapshot.experiment)
        if state == "Failed":
            watch.check_failure(snapshot)
        if state in ("Succeeded", "Failed"):
            return
        watch.check(snapshot, time.monotonic())
        runner.beat()
        time.sleep(runner.poll_s)


def _start(runner: Runner, number: int, choice: Mapping[str, str]) -> None:
    """Creates the Job of a trial, unless an earlier try has."""
    name = job_name(runner.plan, number)
    runner.started.append((JOB, name))
    if runner.cluster.get(JOB, name) is None:
        runner.apply(single_job(runner.plan, number, choice))
    else:
        say_alive(runner.cluster, JOB, name)


def _of_job(runner: Runner, number: int, choice: Mapping[str, str], snapshot: Snapshot, watch: Watch) -> Trial | None:
    """The trial of a Job that is over; None while it runs."""
    name = job_name(runner.plan, number)
    job, pod = snapshot.jobs.get(name), snapshot.pods.get(name)
    if job is None:
        raise _deleted("the Job", name)
    if not is_over(job):
        watch.check_job(job, pod, time.monotonic())
        return None
    ended = ended_container(pod, CONTAINER) or {}
    said = ended.get("message") or "" if ended.get("exitCode") == 0 else ""
    try:
        folds = [float(value) for value in json.loads(said)["folds"]]
    except (ValueError, KeyError, TypeError):
        folds = []
    return _trial(runner, number, choice, folds, None if folds else cause_of(pod), pod)


def _of_katib(runner: Runner, number: int, name: str, snapshot: Snapshot) -> Trial:
    """A Trial of Katib's as one of ours: what it has reported counts, not what Katib makes of it."""
    found, pod = snapshot.trials[name], snapshot.pods.get(name)
    choice = {p["name"]: str(p["value"]) for p in found["spec"].get("parameterAssignments") or ()}
    numbers, folds, state = observed(found), list[float](), state_of(found)
    for metric in fold_metrics(runner.search.setting.folds):
        if metric not in numbers or state not in ("Succeeded", "EarlyStopped"):
            break
        folds.append(numbers[metric])
    cause = None
    if not folds:
        cause = cause_of(pod) if state != "MetricsUnavailable" else "it reported no finite number"
    return _trial(runner, number, choice, folds, cause, pod, found)


def _trial(
    runner: Runner,
    number: int,
    choice: Mapping[str, str],
    folds: list[float],
    cause: str | None,
    pod: Object | None,
    found: Object | None = None,
) -> Trial:
    setting = runner.search.setting
    whole = len(folds) == setting.folds
    if folds and not whole:
        cause = f"worse than the median after fold {len(folds)}"
    return Trial(
        number=number,
        params=_params(runner, choice),
        state="failed" if not folds else "succeeded" if whole else "pruned",
        folds=tuple(folds),
        value=sum(folds) / len(folds) if whole else None,
        cause=cause,
        log=None if folds else log_of(pod),
        seconds=seconds_of(found, pod),
        code_digest=setting.code_digest,
        data_fingerprint=setting.data_fingerprint,
    )


def _params(runner: Runner, choice: Mapping[str, str]) -> dict[str, Any]:
    space = runner.search.space
    return {**runner.params, **{name: coding(space[name]).decode(text) for name, text in choice.items()}}


def _deleted(what: str, name: str) -> HeadwayError:
    return HeadwayError(
        "tuning.experiment_deleted",
        f"Somebody has deleted {what} {name} while it was running.",
        value=name,
        remedy="Start the step again: it goes on with the trials that were finished, where there is a state_uri.",
    )
