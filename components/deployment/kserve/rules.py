"""What KServe's schema or its webhook would refuse, found before anything is sent, in words that name the cure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError, raise_together

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST = 63
_CLASSES = ("hpa", "keda", "external", "none")


def check(manifest: Mapping[str, Any]) -> None:
    """Checks an InferenceService by its schema, the rules of the webhook and of the names that KServe makes of it.

    `schema.json` and the rules (of `inference_service_validation.go`) are those of KServe 0.21, as far as our manifests
    can touch them.

    Raises:
        HeadwayError: `deployment.manifest_refused`, with every rule that is broken.
    """
    unfit = against_schema(manifest)
    broken = [unfit] if unfit else broken_rules(manifest)
    raise_together("deployment.manifest_refused", [_fault(what) for what in broken])


def against_schema(manifest: Mapping[str, Any]) -> str | None:
    """The first field of a manifest that KServe's schema does not know or wants otherwise; None if there is none."""
    import fastjsonschema

    try:
        _schema()(manifest)
    except fastjsonschema.JsonSchemaValueException as error:
        return str(error.message).removeprefix("data.")
    return None


@cache
def _schema() -> Callable[[Mapping[str, Any]], object]:
    """The schema, compiled."""
    import fastjsonschema

    schema = json.loads(Path(__file__).with_name("schema.json").read_text())
    compiled: Callable[[Mapping[str, Any]], object] = fastjsonschema.compile(schema)
    return compiled


def broken_rules(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The rules that a manifest breaks."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    annotations = manifest["metadata"].get("annotations", {})
    stable, canaries = spec["predictor"], spec.get("canary", ())
    if not _NAME.fullmatch(name):
        yield f"the name {name!r} must be a-z, 0-9 and -, begin with a letter and not end with -"
    if annotations.get("serving.kserve.io/autoscalerClass", "hpa") not in _CLASSES:
        yield f"the autoscaler class must be one of {', '.join(_CLASSES)}"
    for predictor in [stable, *(canary["predictor"] for canary in canaries)]:
        yield from _of_predictor(name, predictor)
    if annotations.get("serving.kserve.io/deploymentMode") == "Knative":
        if "deploymentStrategy" in stable:
            yield "deploymentStrategy is not for the mode Knative"
        if stable.get("scaleMetric", "rps") not in ("concurrency", "rps"):
            yield f"Knative does not scale by {stable['scaleMetric']}"
    if "scaleMetric" in stable and annotations.get("serving.kserve.io/autoscalerClass") == "keda":
        yield "scaleMetric is not for keda"
    if canaries:
        yield from _of_canaries(annotations, stable, canaries)


def _of_predictor(service: str, predictor: Mapping[str, Any]) -> Iterator[str]:
    made = f"{service}-{predictor['name']}-predictor" if predictor.get("name") else f"{service}-predictor"
    if len(f"isvc.{made}") > _LONGEST:
        yield f"the label isvc.{made} is longer than {_LONGEST} characters"
    if ("model" in predictor) + bool(predictor.get("containers")) != 1:
        yield "a predictor has exactly one of model and containers"
    if predictor.get("model", {}).get("name"):
        yield "predictor.model.name is forbidden"
    low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if low < 0 or high < 0 or (high and low > high):
        yield f"minReplicas {low} and maxReplicas {high} contradict each other"
    if "logger" in predictor and predictor["logger"].get("mode") not in ("all", "request", "response"):
        yield "logger.mode must be all, request or response"


def _of_canaries(annotations: Mapping[str, str], stable: Mapping[str, Any], canaries: Any) -> Iterator[str]:
    if annotations.get("serving.kserve.io/deploymentMode") != "Standard":
        yield "a canary needs the annotation deploymentMode: Standard, in these words"
    if storage_uri_of(stable) is None and "model" not in stable:
        yield "a canary needs a stable predictor with a model"
    names = [canary["predictor"].get("name", "") for canary in canaries]
    if not all(names) or len({*names, stable.get("name", "")}) != len(names) + 1:
        yield "every canary needs a name of its own, other than the stable predictor's"
    weights = [canary.get("trafficPercent", 0) for canary in canaries]
    if not all(0 <= weight <= 100 for weight in weights) or sum(weights) > 100:
        yield f"the weights {weights} are not percentages that add up to 100 at most"
    for canary in canaries:
        fixed = {"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"} & set(canary["predictor"])
        if fixed:
            yield f"a canary has a fixed number of pods and may not set {', '.join(sorted(fixed))}"
        if canary["predictor"].get("minReplicas", 0) > stable.get("minReplicas", 1):
            yield "a canary may not have more minReplicas than the stable predictor"


def storage_uri_of(predictor: Mapping[str, Any]) -> str | None:
    """The address that KServe takes for the model of a predictor of our kind."""
    for container in predictor.get("containers", ()):
        for variable in container.get("env", ()):
            if container["name"] == "kserve-container" and variable["name"] == "STORAGE_URI":
                return str(variable["value"])
    return None


def _fault(what: str) -> HeadwayError:
    return HeadwayError(
        "deployment.manifest_refused",
        f"KServe would refuse this InferenceService: {what}.",
        remedy="Change the parameter that this comes from; if none of yours does, report it.",
    )
