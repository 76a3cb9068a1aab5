"""Renders a search as a Katib Experiment, and single trials as Jobs: pure functions of their inputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headway.components._shared.estimators.codings import Coding, named_choices
from headway.components._shared.estimators.trials import Setting
from headway.components._shared.times import parse_duration
from headway.components.tuning.config import Parameter, Study
from headway.components.tuning.katib.pod import CONTAINER, METRICS, PodSpec
from headway.components.tuning.katib.stage import SPEC

# Seconds that a trial lives at least: the collector fails one that ends before it has looked for its process.
SHORTEST_TRIAL_S = 3
MANAGED_BY = {"app.kubernetes.io/managed-by": "headway", "app.kubernetes.io/component": "tune-model"}
SEARCH, FIRST, RUN = "headway/search", "headway/first-trial", "pipeline/runid"
ALIVE, STEP = "headway/step-alive", "headway/step-pod"

_COMMAND = ["python", "-m", "headway.components.training", "trial"]


@dataclass(frozen=True)
class Plan:
    """What an Experiment is rendered from.

    Attributes:
        name: Of the Experiment.
        labels: On every object.
        annotations: On the Experiment.
        owners: Whose deletion deletes it.
        space: What is searched.
        study: How.
        setting: What the trials work on.
        seed: Of the suggestions.
        first: Number of its first trial.
        stage_uri: Folder of what the trials read.
        pod: The trials' pods.
    """

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owners: Sequence[Mapping[str, Any]]
    space: Mapping[str, Parameter]
    study: Study
    setting: Setting
    seed: int
    first: int
    stage_uri: str
    pod: PodSpec

    @property
    def spec_uri(self) -> str:
        """Where the trials find their spec."""
        return f"{self.stage_uri}/{SPEC}"


def experiment(plan: Plan) -> dict[str, Any]:
    """The Experiment: every trial but the baseline."""
    from kubeflow_katib_api import models as katib

    study, setting = plan.study, plan.setting
    count = study.trials - plan.first
    metrics = [setting.objective, *fold_metrics(setting.folds)]
    spec = katib.V1beta1ExperimentSpec(
        objective=katib.V1beta1ObjectiveSpec(
            type=setting.direction,
            objectiveMetricName=setting.objective,
            additionalMetricNames=metrics[1:],
            # Katib's default is the best value of a trial's whole history; the last one is the mean over all folds.
            metricStrategies=[katib.V1beta1MetricStrategy(name=name, value="latest") for name in metrics],
            # No goal: a trial that was stopped early would reach it with half of its folds.
        ),
        algorithm=katib.V1beta1AlgorithmSpec(
            algorithmName=study.sampler,
            # goptuna's own seed is the same for every experiment.
            algorithmSettings=[katib.V1beta1AlgorithmSetting(name="random_state", value=str(plan.seed))],
        ),
        parallelTrialCount=min(study.parallel, count),
        maxTrialCount=count,
        maxFailedTrialCount=min(math.floor(study.max_failed_share * study.trials) + 1, count),
        parameters=[_parameter(name, parameter) for name, parameter in plan.space.items()],
        resumePolicy="Never",
        metricsCollectorSpec=katib.V1beta1MetricsCollectorSpec(
            collector=katib.V1beta1CollectorSpec(kind="File"),
            source=katib.V1beta1SourceSpec(
                fileSystemPath=katib.V1beta1FileSystemPath(kind="File", format="JSON", path=METRICS)
            ),
        ),
        trialTemplate=katib.V1beta1TrialTemplate(
            retain=True,
            primaryContainerName=CONTAINER,
            trialParameters=[katib.V1beta1TrialParameterSpec(name=name, reference=name) for name in plan.space],
            trialSpec=_job(plan, _trial_command(plan)),
        ),
    )
    metadata = {
        "name": plan.name,
        "labels": dict(plan.labels),
        "annotations": dict(plan.annotations),
        "ownerReferences": list(plan.owners),
    }
    return {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": metadata, "spec": spec.to_dict()}


def single_job(plan: Plan, number: int, choice: Mapping[str, str]) -> dict[str, Any]:
    """One trial as a Job of ours, with parameters as a search service would write them: the baseline has none."""
    coded = [word for name, text in choice.items() for word in ("--coded", f"{name}={text}")]
    command = [*_COMMAND, "--spec", plan.spec_uri, "--metrics", METRICS, "--result", "/dev/termination-log", *coded]
    metadata = {"name": job_name(plan, number), "labels": dict(plan.labels), "ownerReferences": list(plan.owners)}
    return {**_job(plan, command), "metadata": metadata}


def job_name(plan: Plan, number: int) -> str:
    """The name of the Job of a trial of ours."""
    return f"tune-{plan.labels[SEARCH]}-{number:03d}"


def all_choices(space: Mapping[str, Parameter], at_most: int) -> list[dict[str, str]] | None:
    """Every combination of a space, as a search service would write it; None where there are more than that."""
    codings = {name: coding(parameter) for name, parameter in space.items()}
    if math.prod(code.size() for code in codings.values()) > at_most:
        return None
    combinations = itertools.product(*(code.texts() for code in codings.values()))
    return [dict(zip(codings, texts, strict=True)) for texts in combinations]


def fold_metrics(folds: int) -> list[str]:
    """The names under which a trial reports the value of each fold."""
    return [f"fold_{number}" for number in range(1, folds + 1)]


def coding(parameter: Parameter) -> Coding:
    """How a parameter is written in the Experiment."""
    if parameter.type == "categorical":
        return Coding(scale="choice", choices=named_choices(parameter.list or ()))
    low, high, whole = parameter.min or 0.0, parameter.max or 0.0, parameter.type == "int"
    if low == high:
        return Coding(scale="choice", choices=named_choices([round(low) if whole else low]))
    if parameter.log:
        return Coding(scale="log10", whole=whole, low=low, high=high)
    if parameter.step is not None:
        return Coding(scale="grid", whole=whole, low=low, high=high, step=parameter.step)
    return Coding(scale="linear", whole=whole, low=low, high=high)


def _parameter(name: str, parameter: Parameter) -> Any:
    from kubeflow_katib_api import models as katib

    code = coding(parameter)
    if code.scale == "choice":
        space, kind = katib.V1beta1FeasibleSpace(list=list(code.choices)), "categorical"
    elif code.scale == "log10":
        low, high = math.log10(code.low), math.log10(code.high)
        space, kind = katib.V1beta1FeasibleSpace(min=repr(low), max=repr(high)), "double"
    elif code.scale == "grid":
        space, kind = katib.V1beta1FeasibleSpace(min="0", max=str(round(code.size()) - 1)), "int"
    elif code.whole:
        space, kind = katib.V1beta1FeasibleSpace(min=str(round(code.low)), max=str(round(code.high))), "int"
    else:
        space, kind = katib.V1beta1FeasibleSpace(min=repr(code.low), max=repr(code.high)), "double"
    return katib.V1beta1ParameterSpec(name=name, parameterType=kind, feasibleSpace=space)


def _trial_command(plan: Plan) -> list[str]:
    """Katib joins it with blanks and hands it to a shell: nothing in it may mean anything to one."""
    coded = [word for name in plan.space for word in ("--coded", f"{name}=${{trialParameters.{name}}}")]
    minimum = ["--at-least", str(SHORTEST_TRIAL_S)]
    return [*_COMMAND, "--spec", plan.spec_uri, "--metrics", METRICS, *minimum, *coded]


def _job(plan: Plan, command: list[str]) -> dict[str, Any]:
    labels = {**plan.labels, "sidecar.istio.io/inject": "false"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": dict(plan.labels)},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 7 * 86400,
            # A node that goes away is no fault of the trial.
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false"}},
                # Of the pod and not of the Job: what waits for a node, or is tried again after a disruption, keeps its
                # time, and a pod that has used it up stays, with its last words.
                "spec": {
                    **plan.pod.render(command),
                    "activeDeadlineSeconds": math.ceil(parse_duration(plan.study.trial_timeout).total_seconds()),
                },
            },
        },
    }
