"""Other releases of KServe than 0.21, and other settings: a namespace asks for one by the label `headway.test/kserve`.

What the schemas of those releases lack is refused by the webhook, as the API server would refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster.kserve.api import Object

LABEL = "headway.test/kserve"


@dataclass(frozen=True)
class Release:
    """What a release does otherwise.

    Attributes:
        canary: Whether the schema knows canaries, and names of predictors.
        weights: Whether a route names canaries.
        routes: Whether there are HTTPRoutes at all.
        mode: What the mode is called that makes plain Deployments; another one means Knative.
        unscaled: The class of autoscaler that leaves the number of pods to the service.
        knative: Whether Knative Serving is there, for services that ask for that mode.
    """

    canary: bool = True
    weights: bool = True
    routes: bool = True
    mode: str = "Standard"
    unscaled: str = "none"
    knative: bool = False


RELEASES = {
    "0.15": Release(canary=False, routes=False, mode="RawDeployment", unscaled="external"),
    "0.19": Release(canary=False, routes=False),
    "0.20": Release(weights=False),
    "0.21": Release(),
    "0.21-ingress": Release(routes=False),  # enableGatewayApi is false, as it is shipped
    "0.19-knative": Release(canary=False, routes=False, knative=True),
}


def release_of(namespace: Object | None) -> Release:
    """The release that a namespace asks for."""
    labels = (namespace or {}).get("metadata", {}).get("labels") or {}
    return RELEASES[labels.get(LABEL, "0.21")]


def undeclared(isvc: Object, release: Release) -> str | None:
    """What the API server says of fields that the schema of a release does not have, or None."""
    found = [] if release.canary else list(_newer(isvc["spec"]))
    if not found:
        return None
    where = f"{isvc['metadata']['namespace']}/{isvc['metadata']['name']}"
    said = [f"{field}: field not declared in schema" for field in found]
    listed = said[0] if len(said) == 1 else "\n  ".join(["errors:", *said])
    kind = "serving.kserve.io/v1beta1, Kind=InferenceService"
    return f"failed to create typed patch object ({where}; {kind}): {listed}"


def refused_class(isvc: Object, release: Release) -> str | None:
    """What release 0.15 says of a class that it does not know, or None."""
    scaler = (isvc["metadata"].get("annotations") or {}).get("serving.kserve.io/autoscalerClass")
    if release.unscaled != "none" and scaler not in (None, "hpa", "keda", "external"):
        return f"[{scaler}] is not a supported autoscaler class type"
    return None


def _newer(spec: Object) -> Iterator[str]:
    if "canary" in spec:
        yield ".spec.canary"
    if "name" in spec["predictor"]:
        yield ".spec.predictor.name"
