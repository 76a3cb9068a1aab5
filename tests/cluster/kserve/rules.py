"""What KServe's webhooks fill in and what they refuse, in their words."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from tests.cluster.kserve.api import Object
from tests.cluster.kserve.objects import AUTOSCALER, CONTAINER, MODE
from tests.cluster.kserve.releases import Release

FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
_OLD_MODES = {"RawDeployment": "Standard", "Serverless": "Knative"}
_PLAIN = ("Standard", "RawDeployment")
_FORMAT = "internal.serving.kserve.io/model-format"


def defaulted(isvc: Object, release: Release) -> Object:
    """The service as the mutating webhook hands it on; what a Go struct always writes is there, empty."""
    found = copy.deepcopy(isvc)
    annotations = found["metadata"].setdefault("annotations", {})
    mode = annotations.setdefault(MODE, release.mode)
    annotations[MODE] = _OLD_MODES.get(mode, mode) if release.mode == "Standard" else mode
    predictor = found["spec"]["predictor"]
    for framework in FRAMEWORKS:
        if framework in predictor and "model" not in predictor:
            predictor["model"] = {**predictor.pop(framework), "modelFormat": {"name": framework}}
    model = predictor.get("model")
    if model and (model.get("modelFormat") or {}).get("name"):
        annotations.setdefault(_FORMAT, model["modelFormat"]["name"])
    if model is None and len(implementations(predictor)) == 1 and predictor.get("containers"):
        _default_container(predictor["containers"])
    for canary in found["spec"].get("canary") or []:
        canary.setdefault("trafficPercent", 0)
        if "model" in canary.get("predictor", {}):
            canary["predictor"]["model"].setdefault("name", "")
    if model is not None:
        model.setdefault("name", "")
        model.setdefault("resources", {})
    return found


def problem(isvc: Object, before: Object | None) -> str | None:
    """Why the validating webhook refuses a service, or None.

    Args:
        isvc: As it would be.
        before: As it is, for a change.
    """
    return (before and _change_problem(isvc, before)) or _problem(isvc)


def implementations(predictor: Object) -> list[str]:
    """The ways in which a predictor says what serves."""
    found = [name for name in ("model", *FRAMEWORKS) if predictor.get(name) is not None]
    containers = predictor.get("containers") or []
    if containers and not (found and all(c.get("name") == "transformer-container" for c in containers)):
        found += ["containers"] if any(c.get("name") == CONTAINER for c in containers) or not found else []
    return found


def _change_problem(isvc: Object, before: Object) -> str | None:
    known = (before.get("status") or {}).get("deploymentMode")
    asked = isvc["metadata"].get("annotations", {}).get(MODE)
    if known and asked and asked != known:
        return f"update rejected: deploymentMode cannot be changed from '{known}' to '{asked}'"
    old, new = before["spec"]["predictor"], isvc["spec"]["predictor"]
    if (old.get("name") or "") != (new.get("name") or "") and _uri(old) == _uri(new):
        return "predictor.name change requires a model change (e.g. storageUri)"
    return None


def _problem(isvc: Object) -> str | None:
    name, predictor = isvc["metadata"]["name"], isvc["spec"]["predictor"]
    annotations = isvc["metadata"].get("annotations") or {}
    if not re.fullmatch(_NAME, name):
        return (
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character. "
            f'(e.g. "my-name" or "abc-123", regex used for validation is \'{_NAME}\')'
        )
    scaler = annotations.get(AUTOSCALER)
    if scaler not in (None, "hpa", "keda", "external", "none"):
        return f"[{scaler}] is not a supported autoscaler class type"
    if (predictor.get("model") or {}).get("name"):
        return "the 'name' field is not allowed in standard predictor"
    if "storageUris" in predictor and _uri(predictor):
        return "Setting both StorageURI and StorageURIs is not supported."
    return (
        _component_problem(predictor)
        or (_scaling_problem(predictor, scaler) if annotations.get(MODE) in _PLAIN else _knative_problem(predictor))
        or _canaries_problem(isvc, annotations)
    )


def _component_problem(predictor: Object) -> str | None:
    found = implementations(predictor)
    if len(found) != 1:
        known = (
            "SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, Model, PodSpec"
        )
        return f"exactly one of [{known}] must be specified in PredictorSpec"
    least, most = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if least < 0:
        return "'MinReplicas' cannot be less than 0"
    if most < 0:
        return "'MaxReplicas' cannot be less than 0"
    if most and least > most:
        return "'MinReplicas' cannot be greater than MaxReplicas"
    if predictor.get("containerConcurrency", 0) < 0:
        return "parallelism cannot be less than 0"
    return _logger_problem(predictor.get("logger"))


def _logger_problem(logger: Object | None) -> str | None:
    if logger is None:
        return None
    if logger.get("mode") not in ("all", "request", "response"):
        return "invalid logger type"
    storage = logger.get("storage")
    if storage is not None and not all(key in storage for key in ("path", "parameters", "key")):
        return "invalid logger storage configuration"
    return None


def _scaling_problem(predictor: Object, scaler: str | None) -> str | None:
    metrics: Sequence[Object] = (predictor.get("autoScaling") or {}).get("metrics") or []
    if scaler == "hpa":
        metric, target = predictor.get("scaleMetric", "cpu"), predictor.get("scaleTarget")
        if metric not in ("cpu", "memory"):
            return f"[{metric}] is not a supported metric"
        if target is not None and ((metric == "cpu" and target < 1) or target > 100):
            return "the target utilization percentage should be a [1-100] integer"
        for asked in metrics:
            if asked["type"] != "Resource":
                return f"invalid HPA metric source type with value [{asked['type']}],valid are Resource"
            if "resource" not in asked:
                return "metricSpec.Resource is not set for resource metric source type"
    if scaler == "keda":
        if "scaleMetric" in predictor:
            return "ScaleMetric is not supported for KEDA"
        for asked in metrics:
            source = asked.get(
                {"Resource": "resource", "External": "external", "PodMetric": "podmetric"}[asked["type"]]
            )
            if source is None:
                return f"metricSpec.{asked['type']} is not set for {asked['type'].lower()} metric source type"
            if asked["type"] == "Resource":
                cpu = source["name"] == "cpu"
                if cpu and source["target"]["type"] != "Utilization":
                    return "the cpu target value type should be Utilization"
            elif not source["metric"].get("query"):
                return "the query should not be empty"
            elif "value" not in source["target"]:
                return "the target threshold value should not be empty"
    return None


def _knative_problem(predictor: Object) -> str | None:
    if "deploymentStrategy" in predictor:
        return "customizing deploymentStrategy is only supported for raw deployment mode"
    metric = predictor.get("scaleMetric", "concurrency")
    return None if metric in ("concurrency", "rps") else f"[{metric}] is not a supported metric"


def _canaries_problem(isvc: Object, annotations: Object) -> str | None:
    canaries = isvc["spec"].get("canary") or []
    stable = isvc["spec"]["predictor"]
    if canaries and annotations.get(MODE) != "Standard":
        return "canary is only supported in Standard deployment mode"
    if canaries and "model" not in stable and _uri(stable) is None:
        return "canary requires a stable predictor with a model (multi-model serving is not supported with canary)"
    names: set[str] = set()
    for position, canary in enumerate(canaries):
        found = _canary_problem(position, canary, stable, names)
        if found:
            return found
        names.add(canary["predictor"]["name"])
    total = sum(canary.get("trafficPercent", 0) for canary in canaries)
    return f"sum of canary trafficPercent values ({total}) must be <= 100" if total > 100 else None


def _canary_problem(position: int, canary: Object, stable: Object, names: set[str]) -> str | None:
    predictor, percent = canary["predictor"], canary.get("trafficPercent", 0)
    name = predictor.get("name")
    if not name:
        return f"canary[{position}] predictor.name is required"
    if name in names:
        return f'canary predictor.name "{name}" is duplicated'
    if name == stable.get("name"):
        return f'canary predictor.name "{name}" conflicts with stable predictor name'
    if not 0 <= percent <= 100:
        return f'canary "{name}" trafficPercent must be between 0 and 100, got {percent}'
    found = _component_problem(predictor)
    if found:
        return f'canary "{name}" predictor: {found}'
    if "workerSpec" in predictor:
        return f'canary "{name}" must not set workerSpec (multi-node is not yet supported for canary)'
    for field in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        if predictor.get(field):
            return f'canary "{name}" must not set {field} (canary uses fixed replicas)'
    least, most = predictor.get("minReplicas"), stable.get("minReplicas", 1)
    if least is not None and least > most:
        return f'canary "{name}" minReplicas ({least}) must not exceed stable predictor minReplicas ({most})'
    return None


def _default_container(containers: list[Object]) -> None:
    first = containers[0]
    if len(containers) == 1 or not first.get("name"):
        first["name"] = CONTAINER
    resources = first.setdefault("resources", {})
    for kind in ("requests", "limits"):
        resources[kind] = {"cpu": "1", "memory": "2Gi", **(resources.get(kind) or {})}


def _uri(predictor: Object) -> str | None:
    found = (predictor.get("model") or {}).get("storageUri")
    for container in predictor.get("containers") or []:
        for variable in container.get("env") or []:
            if variable["name"] == "STORAGE_URI":
                found = found or variable.get("value")
    return found
