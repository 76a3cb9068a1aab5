"""The InferenceServices that are applied, as pure functions of the versions of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.components._shared.kubernetes import FIELD_MANAGER
from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE
from headway.components.deployment.kserve.rules import storage_uri_of
from headway.components.deployment.kserve.version import Version, version_in

OURS = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
VISIBILITY = "networking.kserve.io/visibility"
KNATIVE_VISIBILITY = "networking.knative.dev/visibility"  # in the mode Knative the other one hides nothing
MODE = "serving.kserve.io/deploymentMode"
VERSION = "headway/version"
KNATIVE = "Knative"
AUTOSCALER = "serving.kserve.io/autoscalerClass"


@dataclass(frozen=True)
class Words:
    """What a release of KServe calls things.

    Attributes:
        mode: The mode that makes plain Deployments.
        unscaled: The class of autoscaler that leaves the number of pods to the service.
    """

    mode: str
    unscaled: str


KSERVE = Words("Standard", "none")
KSERVE_0_15 = Words("RawDeployment", "external")


def inference_service(
    name: str,
    stable: Version,
    candidate: Version | None = None,
    weight: int = 0,
    *,
    dark: bool = False,
    sizes: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The object that is applied.

    Only what never changes stands in its metadata: KServe copies that into the template of every pod, so that a change
    there replaces the pods of all versions.

    Args:
        name: The endpoint.
        stable: The version that serves.
        candidate: The version beside it.
        weight: Percentage of the traffic for the candidate.
        dark: Without a way in from outside, for a first version that nobody has checked yet.
        sizes: Pods that the stable version has at least while the candidate is there, and those of the candidate; by
            default what each is to have, but for the candidate no more than the other: KServe allows no more.
    """
    canary = None
    if candidate:
        kept, pods = sizes or (stable.min_pods, min(stable.min_pods, candidate.min_pods))
        canary = {"name": candidate.name, **candidate.predictor, "minReplicas": pods}
    return {
        **INFERENCE_SERVICE.head,
        "metadata": {
            "name": name,
            "labels": OURS | ({VISIBILITY: "cluster-local"} if dark else {}),
            "annotations": {
                MODE: KSERVE.mode,
                AUTOSCALER: _autoscaler(stable) or KSERVE.unscaled,
            },
        },
        "spec": {
            "predictor": {
                "name": stable.name,
                **stable.predictor,
                **(_beside_a_canary(stable.scaling, kept, pods) if canary else stable.scaling),
            },
            **({"canary": [{"predictor": canary, "trafficPercent": weight}]} if canary else {}),
        },
    }


def service_of_its_own(endpoint: str, version: Version, words: Words = KSERVE) -> dict[str, Any]:
    """The object that is applied where every version has its own: only the cluster may see it.

    Args:
        endpoint: The endpoint.
        version: The version.
        words: Those of the cluster's KServe.
    """
    return {
        **INFERENCE_SERVICE.head,
        "metadata": {
            "name": version.service(endpoint),
            "labels": {**OURS, VISIBILITY: "cluster-local"},
            "annotations": {MODE: words.mode, AUTOSCALER: _autoscaler(version) or words.unscaled},
        },
        "spec": {"predictor": {**version.predictor, **version.scaling}},
    }


def knative_service(
    endpoint: str, version: Version, percent: int | None = None, *, dark: bool = False
) -> dict[str, Any]:
    """The object that is applied in KServe's mode Knative, without what Knative refuses: it ends pods in its own way.

    Args:
        endpoint: The endpoint.
        version: The version that it asks for; the one before it is known by its revision.
        percent: Its share of the traffic; None gives it all.
        dark: Without a way in from outside, for a first version that nobody has checked yet.
    """
    predictor = {key: value for key, value in version.predictor.items() if key != "terminationGracePeriodSeconds"}
    (container,) = predictor["containers"]
    container = {key: value for key, value in container.items() if key != "lifecycle"}
    annotations = {**predictor["annotations"], VERSION: version.name}
    scaling = {key: value for key, value in version.scaling.items() if key != "deploymentStrategy"}
    share = {} if percent is None else {"canaryTrafficPercent": percent}
    return {
        **INFERENCE_SERVICE.head,
        "metadata": {
            "name": endpoint,
            "labels": OURS | ({KNATIVE_VISIBILITY: "cluster-local"} if dark else {}),
            "annotations": {MODE: KNATIVE},
        },
        "spec": {"predictor": {**predictor, "containers": [container], "annotations": annotations, **scaling, **share}},
    }


def is_ours(found: Mapping[str, Any]) -> bool:
    """Whether an object was made by this suite."""
    return OURS.items() <= (found["metadata"].get("labels") or {}).items()


def versions_in(service: Mapping[str, Any]) -> tuple[Version | None, Version | None] | None:
    """Stable version and candidate of a service of ours, where nothing but the service is left; None for another's."""
    if not is_ours(service):
        return None
    predictors = [
        service["spec"]["predictor"],
        *(canary["predictor"] for canary in service["spec"].get("canary") or ()),
    ]
    stable, *candidates = [version_in(predictor, storage_uri_of(predictor) or "") for predictor in predictors]
    return (None, stable) if VISIBILITY in service["metadata"]["labels"] else (stable, next(iter(candidates), None))


def kept_from(stable: Version, candidate: Version) -> list[str]:
    """Fields of the stable version that its candidate has too until it is promoted: it cannot take them away."""
    old, new = stable.predictor, candidate.predictor
    kept = sorted(set(old) - set(new))
    maps = [field for field in ("annotations", "nodeSelector") if field in old and field in new]
    return kept + [f"{field}.{key}" for field in maps for key in sorted(set(old[field]) - set(new[field]))]


def _autoscaler(version: Version) -> str | None:
    if "autoScaling" in version.scaling:
        return "keda"
    return "hpa" if "scaleMetric" in version.scaling else None


def _beside_a_canary(scaling: Mapping[str, Any], kept: int, pods: int) -> dict[str, Any]:
    """The stable version's scaling while a canary runs: KServe takes the canary's pods off its minimum, down to one."""
    low = kept if kept == pods == 1 else kept + pods
    return {**scaling, "minReplicas": low, "maxReplicas": max(low, int(scaling["maxReplicas"]))}
