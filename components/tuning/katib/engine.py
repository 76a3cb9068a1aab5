"""The engine of a cluster: trials are pods of their own, suggested by a Katib Experiment, watched until they end."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.kubernetes import OUTAGES, Cluster, Kind, in_cluster
from headway.components._shared.kubernetes.kinds import EXPERIMENT, POD
from headway.components.tuning.config import Study
from headway.components.tuning.decide import median_bars
from headway.components.tuning.engines import Engine, Search
from headway.components.tuning.katib.checks import check_experiment, named, require_fit, require_rights
from headway.components.tuning.katib.cleanup import delete_search, deleted_on_sigterm, sweep
from headway.components.tuning.katib.experiment import FIRST, SEARCH, Plan, all_choices, coding, experiment
from headway.components.tuning.katib.plan import make_plan, numbered, probe
from headway.components.tuning.katib.pod import own_pod_name, require_reachable, trial_pod
from headway.components.tuning.katib.stage import Stage
from headway.components.tuning.katib.trials import Runner, run_experiment, run_jobs, say_alive
from headway.components.tuning.workers import Worker, WorkerLost

log = logging.getLogger("headway")


class KatibEngine(Engine):
    """Trial 0 is a Job, since Katib cannot start from given values; so are all trials of a space that is no larger
    than the study, since every one of them is wanted once. All other trials are those of one Experiment, numbered in
    the order in which they end; parameters that it draws twice count once.

    Args:
        state_uri: State folder, from which the trials get their data.
        poll_s: Seconds between looks at the cluster.
    """

    name = "katib"

    def __init__(self, state_uri: str | None = None, *, poll_s: float = 2.0) -> None:
        self._state_uri, self._poll_s = state_uri, poll_s
        self._started: list[tuple[Kind, str]] = []
        self._plan: Plan | None = None
        self._stage: Stage | None = None

    def open(self, spec: TrialSpec, study: Study) -> Setting:
        self._spec = spec
        self._cluster = Cluster()
        require_rights(self._cluster)
        self._own = _own_pod(self._cluster)
        self._pod = trial_pod(study.pods, self._own)
        self._state_uri = require_reachable(self._state_uri, self._pod)
        return _setting(spec)

    def trials(self, search: Search) -> Generator[Trial, None, None]:
        assert self._state_uri is not None
        plan = make_plan(search, self._spec, self._cluster.namespace, self._own, self._pod, self._state_uri)
        self._plan = plan
        with deleted_on_sigterm(partial(Cluster, self._cluster.namespace, patience_s=1), self._started):
            yield from self._trials(search, plan)

    def close(self) -> None:
        plan, self._plan = self._plan, None
        if plan is not None:
            try:
                delete_search(self._cluster, plan.labels[SEARCH])
            except HeadwayError as error:  # neither undoes what was found nor hides why nothing was
                log.warning(f"tune_model: {plan.name} is left for a next search to delete: {error.message}")
        if self._stage is not None:
            self._stage.remove()
            self._stage = None

    def _trials(self, search: Search, plan: Plan) -> Generator[Trial, None, None]:
        study, setting = search.study, search.setting
        stage = Stage(plan.stage_uri)
        runner = Runner(self._cluster, search, plan, dict(self._spec.params), self._poll_s, stage, self._started)
        searched = bool(search.space) and study.trials > 1
        every = all_choices(search.space, study.trials - 1) if searched else []
        if every is None and plan.first < study.trials:
            require_fit(search.space, study)
            check_experiment(experiment(plan))
            runner.apply(experiment(plan), dry_run=True)
        if not study.resume:
            delete_search(self._cluster, plan.labels[SEARCH])
        sweep(self._cluster, plan.labels[SEARCH], self._state_uri or "")
        self._stage = stage
        codings = {name: coding(parameter) for name, parameter in search.space.items()}
        expected = {"code_digest": setting.code_digest, "data_fingerprint": setting.data_fingerprint}
        self._stage.put(self._spec.model_copy(update={"codings": codings, **expected}))
        done: list[Trial] = []
        for trial in run_jobs(runner, {0: {}}):
            done.append(trial)
            yield trial
        if not done or not searched:
            return
        others = self._experiment(runner, done) if every is None else self._all(runner, every, done)
        for trial in others:
            done.append(trial)
            if study.early_stopping == "median" and (bars := median_bars(done, setting.folds)):
                self._stage.set_bars(bars)
            yield trial

    def _all(self, runner: Runner, every: list[dict[str, str]], done: list[Trial]) -> Generator[Trial, None, None]:
        """Every combination of a small space but the baseline's own."""
        codings = {name: coding(parameter) for name, parameter in runner.search.space.items()}
        own = self._searched(runner, done[0].params)
        others = [choice for choice in every if {n: codings[n].decode(text) for n, text in choice.items()} != own]
        log.info(f"tune_model: tries all {len(others)} combinations of the space")
        yield from run_jobs(runner, dict(enumerate(others, start=1)))

    def _experiment(self, runner: Runner, done: list[Trial]) -> Generator[Trial, None, None]:
        """The trials of an Experiment, after those that an earlier one has finished."""
        plan = self._adopted(runner.plan)
        for number in range(1, plan.first):
            yield runner.search.finished[number]
        if plan.first >= runner.search.study.trials:
            return
        log.info(f"tune_model: experiment {plan.name} in the namespace {self._cluster.namespace}")
        runner = replace(runner, plan=plan)

        def is_known(trial: Trial) -> bool:
            return self._searched(runner, trial.params) in [self._searched(runner, t.params) for t in done]

        yield from run_experiment(runner, is_known)

    def _searched(self, runner: Runner, params: Mapping[str, Any]) -> dict[str, Any]:
        """The searched parameters; where a trial says nothing, the estimator's own."""
        given = {**runner.search.setting.defaults, **params}
        return {name: given[name] for name in runner.search.space if name in given}

    def _adopted(self, plan: Plan) -> Plan:
        """The plan of the Experiment that an earlier try of this step has left running, if there is one."""
        for found in self._cluster.list(EXPERIMENT, {SEARCH: plan.labels[SEARCH]}):
            first = int(found["metadata"]["labels"].get(FIRST, 0))
            if found["metadata"].get("deletionTimestamp") or not 1 <= first <= plan.first:
                continue
            log.info(f"tune_model: goes on with the experiment {found['metadata']['name']} of an earlier try")
            say_alive(self._cluster, EXPERIMENT, found["metadata"]["name"])
            return numbered(plan, first, self._spec.seed)
        return plan


def reason_against_katib(study: Study, state_uri: str | None) -> str | None:
    """Why `auto` does not take Katib; None if it does.

    Raises:
        HeadwayError: What says nothing of Katib: an API server or a webhook that is away. Another try may have a search
            running there, and a search of hours does not move into the step's own pod for an outage of seconds.
    """
    if not in_cluster():
        return "this step runs in no cluster"
    try:
        cluster = Cluster()
        pod = trial_pod(study.pods, _own_pod(cluster))
        require_reachable(state_uri, pod)
        require_rights(cluster)
        try:
            cluster.apply(experiment(probe(study, pod)), dry_run=True)
        except HeadwayError as error:
            raise named(error, cluster) from None
    except HeadwayError as error:
        if error.code in OUTAGES:
            raise
        return f"Katib cannot be used: {error.message}"
    return None


def _own_pod(cluster: Cluster) -> Mapping[str, Any] | None:
    return cluster.get(POD, own_pod_name()) if in_cluster() else None


def _setting(spec: TrialSpec) -> Setting:
    """What the trials' own code says about the data, in a process of this step."""
    with tempfile.TemporaryDirectory(prefix="headway-tuning-") as folder:
        file = Path(folder) / "spec.json"
        file.write_text(spec.model_dump_json())
        worker = Worker(file)
        try:
            return worker.setting()
        except WorkerLost as lost:
            raise HeadwayError(
                "tuning.worker_lost",
                f"The step cannot read the data: {lost}.",
                remedy="Look at the memory limit of the step.",
            ) from None
        finally:
            worker.close()
