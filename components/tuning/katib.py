"""The engine of a cluster: a Katib Experiment whose trials are pods of their own, watched until it ends or cannot."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.kubernetes import Cluster, in_cluster
from headway.components._shared.kubernetes.kinds import EXPERIMENT, JOB, POD
from headway.components._shared.state import dump_json, run_id
from headway.components._shared.times import format_time, now, parse_duration
from headway.components.tuning.config import Parameter, Study
from headway.components.tuning.decide import median_bars
from headway.components.tuning.engines import Engine, Search
from headway.components.tuning.katib_checks import check_experiment, named, require_fit, require_rights
from headway.components.tuning.katib_cleanup import delete_search, deleted_on_sigterm, sweep
from headway.components.tuning.katib_experiment import (
    ALIVE,
    FIRST,
    MANAGED_BY,
    RUN,
    SEARCH,
    Plan,
    baseline_job,
    baseline_name,
    coding,
    experiment,
    fold_metrics,
)
from headway.components.tuning.katib_pod import CONTAINER, PodSpec, own_pod_name, require_reachable, trial_pod
from headway.components.tuning.katib_stage import Stage
from headway.components.tuning.katib_watch import (
    Snapshot,
    Watch,
    cause_of,
    ended_container,
    look,
    observed,
    seconds_of,
    state_of,
)
from headway.components.tuning.workers import Worker, WorkerLost

log = logging.getLogger("headway")

_HEARTBEAT_S = 60.0


class KatibEngine(Engine):
    """Trial 0 is a Job: Katib cannot start from given values. All others are trials of one Experiment, numbered in the
    order in which they end; the same parameters drawn twice count once.

    Args:
        state_uri: State folder, from which the trials get their data.
        poll_s: Seconds between looks at the cluster.
    """

    name = "katib"

    def __init__(self, state_uri: str | None = None, *, poll_s: float = 2.0) -> None:
        self._state_uri, self._poll_s = state_uri, poll_s
        self._started: list[tuple[Any, str]] = []
        self._search = ""
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
        require_fit(search.space, search.study)
        with deleted_on_sigterm(partial(Cluster, self._cluster.namespace, patience_s=1), self._started):
            yield from self._trials(search, self._plan(search))

    def close(self) -> None:
        if self._started:
            delete_search(self._cluster, self._search, self._started)
            self._started.clear()
        if self._stage is not None:
            self._stage.remove()
            self._stage = None

    def _trials(self, search: Search, plan: Plan) -> Generator[Trial, None, None]:
        study, searched = search.study, bool(search.space) and search.study.trials > 1
        if searched:
            manifest = experiment(plan)
            check_experiment(manifest)
            self._applied(manifest, dry_run=True)
        sweep(self._cluster, self._search)
        assert self._stage is not None
        codings = {name: coding(parameter) for name, parameter in search.space.items()}
        update = {"codings": codings, "code_digest": search.setting.code_digest}
        self._stage.put(self._spec.model_copy(update=update))
        done: list[Trial] = []
        baseline = search.finished.get(0) or self._baseline(search, plan)
        if baseline is None:
            return
        done.append(baseline)
        yield baseline
        if not searched:
            return
        plan = self._adopted(plan)
        for number in range(1, plan.first):
            done.append(search.finished[number])
            yield done[-1]
        if plan.first >= study.trials:
            return
        for trial in self._experiment(search, plan, done):
            done.append(trial)
            if study.early_stopping == "median" and (bars := median_bars(done, search.setting.folds)):
                self._stage.set_bars(bars)
            yield trial

    def _baseline(self, search: Search, plan: Plan) -> Trial | None:
        """Runs the given parameters as they are; None at the deadline."""
        name = baseline_name(plan.name)
        self._started.append((JOB, name))
        self._applied(baseline_job(plan))
        watch = Watch(self._cluster, plan.name, _patience(search.study), time.monotonic())
        while search.deadline is None or time.monotonic() < search.deadline:
            job = self._cluster.get(JOB, name)
            if job is None:
                raise _deleted("the Job", name)
            pods = self._cluster.list(POD, {"job-name": name})
            pod = pods[-1] if pods else None
            over = {c["type"] for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
            if {"Complete", "Failed"} & over:
                trial = self._baseline_trial(job, pod, succeeded="Complete" in over)
                search.keep(trial)
                return trial
            watch.check_job(job, pod, time.monotonic())
            time.sleep(self._poll_s)
        return None

    def _baseline_trial(self, job: Mapping[str, Any], pod: Mapping[str, Any] | None, *, succeeded: bool) -> Trial:
        said = (ended_container(pod, CONTAINER) or {}).get("message") or ""
        try:
            folds = tuple(json.loads(said)["folds"]) if succeeded else ()
        except (ValueError, KeyError):
            folds = ()
        return Trial(
            number=0,
            params=dict(self._spec.params),
            state="succeeded" if folds else "failed",
            folds=folds,
            value=sum(folds) / len(folds) if folds else None,
            cause=None if folds else cause_of(job, pod),
            seconds=seconds_of(None, pod),
        )

    def _experiment(self, search: Search, plan: Plan, done: list[Trial]) -> Generator[Trial, None, None]:
        """The trials of the Experiment, as they end."""
        self._started.insert(0, (EXPERIMENT, plan.name))
        if self._cluster.get(EXPERIMENT, plan.name) is None:
            self._applied(experiment(plan))
            log.info(f"tune_model: started the experiment {plan.name} in the namespace {self._cluster.namespace}")
        watch = Watch(self._cluster, plan.name, _patience(search.study), time.monotonic())
        told: set[str] = set()
        number, beat = plan.first, time.monotonic()
        while search.deadline is None or time.monotonic() < search.deadline:
            snapshot = look(self._cluster, plan.name, self._search)
            if snapshot.experiment is None or snapshot.experiment["metadata"].get("deletionTimestamp"):
                raise _deleted("the experiment", plan.name)
            for name in snapshot.ended():
                if name in told:
                    continue
                told.add(name)
                trial = self._read(search, number, snapshot, name)
                if any(trial.params == other.params for other in done):
                    continue
                number += 1
                earlier = search.finished.get(trial.number)
                if earlier is None or earlier.params != trial.params:
                    search.keep(trial)
                yield trial
            if state_of(snapshot.experiment) in ("Succeeded", "Failed") or _exhausted(search.space, done):
                return
            watch.check(snapshot, time.monotonic())
            if time.monotonic() - beat > _HEARTBEAT_S:
                beat = time.monotonic()
                self._beat(plan.name)
            time.sleep(self._poll_s)

    def _read(
        self,
        search: Search,
        number: int,
        snapshot: Snapshot,
        name: str,
    ) -> Trial:
        """A Trial of Katib's as one of ours: what it reported counts, not what Katib makes of it."""
        found, job, pod = snapshot.trials[name], snapshot.jobs.get(name), snapshot.pods.get(name)
        given = {p["name"]: str(p["value"]) for p in found["spec"].get("parameterAssignments") or ()}
        params = {name: coding(parameter).decode(given[name]) for name, parameter in search.space.items()}
        numbers, folds = observed(found), []
        for metric in fold_metrics(search.setting.folds):
            if metric not in numbers:
                break
            folds.append(numbers[metric])
        whole, state = len(folds) == search.setting.folds, state_of(found)
        usable = state in ("Succeeded", "EarlyStopped") and bool(folds)
        cause = None
        if not usable:
            cause = cause_of(job, pod) if state != "MetricsUnavailable" else "it reported no finite number"
        elif not whole:
            cause = f"worse than the median after fold {len(folds)}"
        return Trial(
            number=number,
            params={**self._spec.params, **params},
            state="failed" if not usable else "succeeded" if whole else "pruned",
            folds=tuple(folds) if usable else (),
            value=sum(folds) / len(folds) if usable and whole else None,
            cause=cause,
            seconds=seconds_of(found, pod),
        )

    def _plan(self, search: Search) -> Plan:
        """The search's name is a digest of all that makes it: a retried step finds its own, no other ever does."""
        spec, setting, namespace = self._spec, search.setting, self._cluster.namespace
        what = {
            "namespace": namespace,
            "run": run_id() or uuid4().hex,
            "task": _task(self._own),
            "spec": spec.model_dump(mode="json", exclude={"data", "schema_path"}),
            "space": {name: parameter.model_dump(mode="json") for name, parameter in search.space.items()},
            "study": search.study.model_dump(mode="json", exclude={"timeout", "goal", "resume", "pods"}),
            "setting": setting.model_dump(mode="json"),
        }
        self._search = hashlib.sha256(dump_json(what)).hexdigest()[:20]
        first = 1
        while first in search.finished:
            first += 1
        assert self._state_uri is not None
        self._stage = Stage(f"{self._state_uri.rstrip('/')}/runs/{run_id() or 'unnamed'}/trials/{self._search}")
        labels = {**MANAGED_BY, SEARCH: self._search, **({RUN: run} if (run := run_id()) else {})}
        return self._numbered(
            Plan(
                name="",
                labels=labels,
                annotations={
                    ALIVE: format_time(now()),
                    "headway/step-pod": own_pod_name(),
                    "headway/code-digest": setting.code_digest,
                    "headway/data-fingerprint": setting.data_fingerprint,
                },
                owners=_owners(self._own),
                space=search.space,
                study=search.study,
                setting=setting,
                seed=0,
                first=1,
                spec_uri=self._stage.spec_uri,
                pod=self._pod,
            ),
            first,
        )

    def _numbered(self, plan: Plan, first: int) -> Plan:
        """A plan that begins with a trial: one that goes on after a deleted Experiment draws other values."""
        labels = {**plan.labels, FIRST: str(first)}
        seed = int.from_bytes(hashlib.sha256(repr((self._spec.seed, first)).encode()).digest()[:3])
        return replace(plan, name=f"tune-{self._search}-{first}", labels=labels, seed=seed, first=first)

    def _adopted(self, plan: Plan) -> Plan:
        """The plan of the Experiment that an earlier try of this step has left running, if there is one."""
        for found in self._cluster.list(EXPERIMENT, {SEARCH: self._search}):
            first = int(found["metadata"]["labels"].get(FIRST, 0))
            if found["metadata"].get("deletionTimestamp") or not 1 <= first <= plan.first:
                continue
            log.info(f"tune_model: goes on with the experiment {found['metadata']['name']} of an earlier try")
            self._beat(found["metadata"]["name"])
            return self._numbered(plan, first)
        return plan

    def _applied(self, manifest: dict[str, Any], *, dry_run: bool = False) -> None:
        try:
            self._cluster.apply(manifest, force=True, dry_run=dry_run)
        except HeadwayError as error:
            raise named(error, self._cluster) from None

    def _beat(self, name: str) -> None:
        """Says that the step is alive; a controller that is down for a moment must not end the search."""
        with contextlib.suppress(HeadwayError):
            self._cluster.annotate(EXPERIMENT, name, {ALIVE: format_time(now()), "headway/step-pod": own_pod_name()})


def reason_against_katib(study: Study, state_uri: str | None) -> str | None:
    """Why `auto` does not take Katib; None if it does."""
    if not in_cluster():
        return "this step runs in no cluster"
    try:
        cluster = Cluster(patience_s=5)
        pod = trial_pod(study.pods, _own_pod(cluster))
        require_reachable(state_uri, pod)
        require_rights(cluster)
        try:
            cluster.apply(experiment(_probe(study, pod)), dry_run=True)
        except HeadwayError as error:
            raise named(error, cluster) from None
    except HeadwayError as error:
        return f"Katib cannot be used: {error.message}"
    return None


def _probe(study: Study, pod: PodSpec) -> Plan:
    """An Experiment that says whether one could be created; it never is."""
    space = {name: Parameter(type="double", min=0, max=1) for name in ("a", "b")}
    setting = Setting(
        rows=2,
        available=2,
        task="binary",
        objective="objective",
        direction="maximize",
        cv="none",
        folds=2,
        test_to_train=1.0,
        defaults={},
        code_digest="",
        data_fingerprint="",
        schema_digest="",
    )
    some = study if study.trials > 1 else study.model_copy(update={"trials": 2})
    return Plan("headway-probe", MANAGED_BY, {}, (), space, some, setting, 0, 1, "spec.json", pod)


def _setting(spec: TrialSpec) -> Setting:
    """What the trials' own code says about the data, in a process of this step."""
    import tempfile

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


def _own_pod(cluster: Cluster) -> Mapping[str, Any] | None:
    return cluster.get(POD, own_pod_name()) if in_cluster() else None


def _owners(own: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What owns the step's pod (the run's Workflow) owns the search too, so deleting the run deletes it."""
    found = ((own or {}).get("metadata") or {}).get("ownerReferences") or ()
    return [
        {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")} | {"controller": False}
        for owner in found
        if owner.get("controller")
    ]


def _task(own: Mapping[str, Any] | None) -> str:
    """The step's place in its pipeline, the same for every try of it."""
    annotations = ((own or {}).get("metadata") or {}).get("annotations") or {}
    return str(annotations.get("workflows.argoproj.io/node-name", "")).partition("(")[0]


def _exhausted(space: Mapping[str, Parameter], done: list[Trial]) -> bool:
    """Whether every combination of a finite space has been tried."""
    codes = {name: coding(parameter) for name, parameter in space.items()}
    size = math.prod(code.size() for code in codes.values())
    tried = {json.dumps([t.params[name] for name in codes]) for t in done if set(codes) <= set(t.params)}
    return len(tried) >= size


def _patience(study: Study) -> float:
    return parse_duration(study.pods.patience).total_seconds()


def _deleted(what: str, name: str) -> HeadwayError:
    return HeadwayError(
        "tuning.experiment_deleted",
        f"Somebody has deleted {what} {name} while it was running.",
        value=name,
        remedy="Start the step again: it goes on with the trials that were finished, where there is a state_uri.",
    )
