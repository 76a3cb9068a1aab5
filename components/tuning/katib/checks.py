"""What must hold before Katib is asked: the Experiment itself (its CRD has no schema), and the cluster."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, Kind
from headway.components._shared.kubernetes.kinds import EVENT, EXPERIMENT, JOB, POD, SUGGESTION, TRIAL
from headway.components.tuning.config import Parameter, Study

INJECTION_LABEL = "katib.kubeflow.org/metrics-collector-injection"

# The rights that the step needs in its namespace; role.yaml grants exactly these.
RIGHTS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (EXPERIMENT, ("get", "list", "create", "patch", "delete")),
    (TRIAL, ("list",)),
    (SUGGESTION, ("get",)),
    (JOB, ("get", "list", "create", "patch", "delete")),
    (POD, ("get", "list")),
    (EVENT, ("list",)),
)
_CONTINUOUS = ("double", "int")


def require_rights(cluster: Cluster) -> None:
    """Asks the API server whether this step's account has every right that it needs.

    Raises:
        HeadwayError: `tuning.rights_missing`, `tuning.katib_missing`.
    """
    missing = [f"{verb} {kind.plural}" for kind, verbs in RIGHTS for verb in verbs if not cluster.may(verb, kind)]
    if missing:
        raise HeadwayError(
            "tuning.rights_missing",
            f"This step's account may not {', '.join(missing)} in the namespace {cluster.namespace}.",
            value=missing,
            remedy="Apply components/tuning/role.yaml there and bind it to the account that the run uses.",
        )
    try:
        cluster.list(EXPERIMENT, {"headway/search": "none"})
    except HeadwayError as error:
        raise named(error, cluster) from None


def require_fit(space: Mapping[str, Parameter], study: Study) -> None:
    """What the search services cannot do, said before anything is created.

    Raises:
        HeadwayError: `tuning.space_unfit`.
    """
    from headway.components.tuning.katib.experiment import coding

    moving = [name for name, p in space.items() if coding(p).scale in ("linear", "log10")]
    if study.sampler == "cmaes" and len(moving) < 2:
        raise HeadwayError(
            "tuning.space_unfit",
            "CMA-ES needs at least two parameters of type double or int without a step.",
            value=moving,
            remedy="Set study.sampler to tpe or random, or search more such parameters.",
        )


def named(error: HeadwayError, cluster: Cluster) -> HeadwayError:
    """A refusal of the API server or of Katib's webhook, in the terms of a search."""
    said, where = str(error.message), f"the namespace {cluster.namespace}"
    if error.code == "kubernetes.kind_missing":
        return HeadwayError(
            "tuning.katib_missing",
            "There is no Katib in this cluster: it does not know the kind Experiment.",
            remedy="Install Katib, or use engine local.",
        )
    if error.code == "kubernetes.refused" and INJECTION_LABEL in said:
        return HeadwayError(
            "tuning.namespace_unlabelled",
            f"Katib collects no metrics in {where}: it has no label {INJECTION_LABEL}=enabled.",
            value=cluster.namespace,
            remedy=f"Have somebody with the right to do so run: kubectl label namespace {cluster.namespace} "
            f"{INJECTION_LABEL}=enabled",
        )
    if error.code == "kubernetes.refused" and re.search(r"algorithm", said, re.IGNORECASE):
        return HeadwayError(
            "tuning.algorithm_missing",
            f"Katib has no service for this sampler here: {said}",
            remedy="Add it to the KatibConfig (runtime.suggestions), or set study.sampler to one that is there.",
        )
    if error.code == "kubernetes.forbidden":
        return HeadwayError(
            "tuning.rights_missing",
            error.message,
            value=error.value,
            remedy="Apply components/tuning/role.yaml there and bind it to the account that the run uses.",
        )
    return error


def check_experiment(manifest: Mapping[str, Any]) -> None:
    """Checks an Experiment against Katib's own models and its webhook's rules, and for what Katib silently accepts.

    Raises:
        HeadwayError: `tuning.experiment_invalid`.
    """
    from kubeflow_katib_api.models import IoK8sApiCoreV1PodSpec, V1beta1Experiment

    faults = list(_unknown(manifest, _read(V1beta1Experiment, manifest), ""))
    job = manifest["spec"]["trialTemplate"]["trialSpec"]
    faults += _of_job(job)
    pod = job["spec"]["template"]["spec"]
    faults += _unknown(pod, _read(IoK8sApiCoreV1PodSpec, pod), "spec.trialTemplate.trialSpec.spec.template.spec")
    faults += [*_counts(manifest), *_parameters(manifest["spec"].get("parameters") or ()), *_template(manifest)]
    if faults:
        raise HeadwayError(
            "tuning.experiment_invalid",
            f"The Experiment is not what Katib would understand: {'; '.join(faults)}.",
            remedy="Correct the search space or the study; if these are right, please report this.",
        )


def _read(model: Any, given: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        read = model.from_dict(dict(given))
    except (ValidationError, TypeError, ValueError) as error:
        raise HeadwayError(
            "tuning.experiment_invalid",
            f"The Experiment is not what Katib would understand: {' '.join(str(error).split())[:500]}.",
            remedy="Correct the search space or the study; if these are right, please report this.",
        ) from None
    return read.to_dict()


def _unknown(given: Any, read: Any, path: str) -> Iterator[str]:
    """Fields that the models dropped: the API server would accept them, and Katib ignore them."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            here = f"{path}.{name}".lstrip(".")
            if not isinstance(read, Mapping) or (name not in read and value not in (None, [], {})):
                yield f"{here} is no field"
            else:
                yield from _unknown(value, read.get(name), here)
    elif isinstance(given, list) and isinstance(read, list):
        for place, (one, other) in enumerate(zip(given, read, strict=False)):
            yield from _unknown(one, other, f"{path}[{place}]")


def _of_job(job: Mapping[str, Any]) -> Iterator[str]:
    """What a Job does not have; Katib's models leave the trial's template open."""
    from lightkube.models.batch_v1 import JobSpec, PodFailurePolicy, PodFailurePolicyRule
    from lightkube.models.core_v1 import PodTemplateSpec

    path = "spec.trialTemplate.trialSpec.spec"
    policy = job["spec"].get("podFailurePolicy") or {}
    parts = [
        (path, JobSpec, job["spec"]),
        (f"{path}.template", PodTemplateSpec, job["spec"]["template"]),
        (f"{path}.podFailurePolicy", PodFailurePolicy, policy),
        *((f"{path}.podFailurePolicy.rules", PodFailurePolicyRule, rule) for rule in policy.get("rules") or ()),
    ]
    for here, model, given in parts:
        yield from (f"{here}.{name} is no field" for name in given if name not in model.__struct_fields__)


def _counts(manifest: Mapping[str, Any]) -> Iterator[str]:
    spec, name = manifest["spec"], manifest["metadata"]["name"]
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > 40:
        yield f"metadata.name {name!r} is not up to 40 of a-z, 0-9 and -"
    for field in ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount"):
        if spec.get(field) is None or spec[field] < 1:
            yield f"spec.{field} is not set"
        elif spec[field] > (spec.get("maxTrialCount") or spec[field]):
            yield f"spec.{field} is over spec.maxTrialCount"
    objective = spec.get("objective") or {}
    if objective.get("type") not in ("minimize", "maximize") or not objective.get("objectiveMetricName"):
        yield "spec.objective lacks its type or its metric"
    if objective.get("objectiveMetricName") in (objective.get("additionalMetricNames") or ()):
        yield "spec.objective.additionalMetricNames holds the objective too"
    source = (spec.get("metricsCollectorSpec") or {}).get("source") or {}
    if not (source.get("fileSystemPath") or {}).get("path", "").startswith("/"):
        yield "spec.metricsCollectorSpec.source names no file"


def _parameters(parameters: Any) -> Iterator[str]:
    if not parameters:
        yield "spec.parameters is empty"
    for name, times in Counter(parameter["name"] for parameter in parameters).items():
        if times > 1:
            yield f"parameter {name} comes twice"
    for parameter in parameters:
        name, space = parameter["name"], parameter.get("feasibleSpace") or {}
        if parameter["parameterType"] in _CONTINUOUS:
            try:
                low, high = float(space["min"]), float(space["max"])
            except (KeyError, TypeError, ValueError):
                yield f"parameter {name} has no numbers as min and max"
            else:
                if low > high:
                    yield f"parameter {name} has its min over its max"
            if space.get("list"):
                yield f"parameter {name} has a list beside min and max"
        elif not space.get("list"):
            yield f"parameter {name} has no list"
        elif bad := [value for value in space["list"] if not re.fullmatch(r"[A-Za-z0-9._-]+", value)]:
            yield f"parameter {name} has values that a shell would act on: {bad}"


def _template(manifest: Mapping[str, Any]) -> Iterator[str]:
    template = manifest["spec"]["trialTemplate"]
    job = template["trialSpec"]
    containers = {c["name"]: c for c in job["spec"]["template"]["spec"]["containers"]}
    primary = containers.get(template.get("primaryContainerName", ""))
    if primary is None:
        yield "spec.trialTemplate.primaryContainerName names no container"
    elif not primary.get("command"):
        yield "the trial's container has no command"
    else:
        command = " ".join([*primary["command"], *primary.get("args", ())])
        bare = re.sub(r"\$\{trialParameters\.[A-Za-z0-9_.-]+\}", "", command)
        if not re.fullmatch(r"[A-Za-z0-9 ._/:=@+,-]*", bare):
            yield f"the trial's command holds characters that a shell would act on: {bare!r}"
    if (job.get("metadata") or {}).get("name"):
        yield "spec.trialTemplate.trialSpec.metadata.name is set"
    text = json.dumps(job)
    known = {parameter["name"] for parameter in manifest["spec"].get("parameters") or ()}
    referred = {parameter["name"]: parameter["reference"] for parameter in template.get("trialParameters") or ()}
    declared = set(referred)
    used = set(re.findall(r"\$\{trialParameters\.(.+?)\}", text))
    for what, names in (
        ("is used and not declared", used - declared),
        ("is declared and not used", declared - used),
        ("refers to nothing", {name for name, reference in referred.items() if reference not in known}),
        ("is searched and not passed on", known - declared),
    ):
        for name in sorted(names):
            yield f"trial parameter {name} {what}"
