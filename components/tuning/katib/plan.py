"""Names a search and says whose it is: the same for every try of a step, never the same for two."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.state import dump_json, run_id
from headway.components._shared.times import format_time, now
from headway.components.tuning.config import Parameter, Study
from headway.components.tuning.engines import Search
from headway.components.tuning.katib.experiment import ALIVE, FIRST, MANAGED_BY, RUN, SEARCH, STEP, Plan
from headway.components.tuning.katib.pod import PodSpec, own_pod_name
from headway.components.tuning.katib.stage import stage_of

Pod = Mapping[str, Any] | None


def make_plan(search: Search, spec: TrialSpec, namespace: str, own: Pod, pod: PodSpec, state_uri: str) -> Plan:
    """The plan of a search.

    Its name is a digest of all that makes it, the namespace and the run included: a retried step finds its own, and
    no other ever has it. (Katib itself mixes up experiments of one name in two namespaces.)

    Args:
        search: What is searched.
        spec: What the trials share.
        namespace: Where.
        own: The step's own pod; None outside a cluster.
        pod: The trials' pods.
        state_uri: State folder, under which the trials find their data.
    """
    run, setting = run_id() or _run_of(own), search.setting
    what = {
        "namespace": namespace,
        "run": run or uuid4().hex,
        "task": _task(own),
        "spec": spec.model_dump(mode="json", exclude={"data", "schema_path"}),
        "space": {name: parameter.model_dump(mode="json") for name, parameter in search.space.items()},
        "study": search.study.model_dump(mode="json", exclude={"timeout", "goal", "resume", "pods"}),
        "setting": setting.model_dump(mode="json"),
    }
    digest = hashlib.sha256(dump_json(what)).hexdigest()[:20]
    plan = Plan(
        name="",
        labels={**MANAGED_BY, SEARCH: digest, **({RUN: run} if run else {})},
        annotations={
            **signs_of_life(),
            "headway/code-digest": setting.code_digest,
            "headway/data-fingerprint": setting.data_fingerprint,
        },
        owners=_owners(own),
        space=search.space,
        study=search.study,
        setting=setting,
        seed=spec.seed,
        first=0,
        stage_uri=stage_of(state_uri, digest),
        pod=pod,
    )
    first = 1
    while first in search.finished:
        first += 1
    return numbered(plan, first, spec.seed)


def numbered(plan: Plan, first: int, seed: int) -> Plan:
    """The plan of an Experiment that begins with a trial; one that follows a deleted Experiment draws other values."""
    drawn = int.from_bytes(hashlib.sha256(repr((seed, first)).encode()).digest()[:3])
    labels = {**plan.labels, FIRST: str(first)}
    return replace(plan, name=f"tune-{plan.labels[SEARCH]}-{first}", labels=labels, seed=drawn, first=first)


def signs_of_life() -> dict[str, str]:
    """Annotations that say which step goes on with a search, and that it lives."""
    return {ALIVE: format_time(now()), STEP: own_pod_name()}


def probe(study: Study, pod: PodSpec) -> Plan:
    """A search that only asks whether an Experiment could be created."""
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
    return Plan("headway-probe", MANAGED_BY, {}, (), space, some, setting, 0, 1, "stage", pod)


def _owners(own: Pod) -> list[dict[str, Any]]:
    """What owns the step's pod (the run's Workflow) owns the search too, so deleting the run deletes it."""
    found = ((own or {}).get("metadata") or {}).get("ownerReferences") or ()
    return [
        {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")} for owner in found if owner.get("controller")
    ]


def _task(own: Pod) -> str:
    """The step's place in its pipeline, the same for every try of it; of a loop's, each has its own."""
    annotations = ((own or {}).get("metadata") or {}).get("annotations") or {}
    return re.sub(r"\(\d+\)$", "", str(annotations.get("workflows.argoproj.io/node-name", "")))


def _run_of(own: Pod) -> str | None:
    """The run, by the label that Kubeflow Pipelines puts on every pod of it."""
    return (((own or {}).get("metadata") or {}).get("labels") or {}).get(RUN)
