"""What a cluster's KServe can do with traffic, and which way of a rollout follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.components._shared.errors import HeadwayError


@dataclass(frozen=True)
class Capabilities:
    """What was found.

    Attributes:
        serves: Whether InferenceServices are known at all.
        routes: Whether HTTPRoutes of the Gateway API are known.
        canary: Whether `spec.canary` is known, and moves traffic as far as was seen.
        mode: The mode of the service that is there; None where there is none.
        route: Its HTTPRoute; None where there is none.
    """

    serves: bool
    routes: bool
    canary: bool
    mode: str | None = None
    route: Mapping[str, Any] | None = None


def cannot_split(found: Capabilities) -> str | None:
    """Why traffic cannot be moved by weights; None where it can, as far as one can know before it was observed."""
    if not found.serves:
        return "the cluster has no KServe"
    if found.mode in ("Knative", "Serverless"):
        return "the service runs in Knative mode, and KServe does not change the mode of a service"
    if not found.routes:
        return "the cluster has no Gateway API, and only HTTPRoutes have weights"
    if found.mode is not None and found.route is None:
        return "the service has no HTTPRoute: KServe runs without enableGatewayApi, or the service is cluster-local"
    if not found.canary:
        return "this KServe does not move traffic to a canary, as it does from 0.21 on"
    return None


def canary_unknown(error: HeadwayError) -> bool:
    """Whether the API server refused `spec.canary` because its schema of a service does not have it."""
    return error.code == "kubernetes.refused" and ".spec.canary: field not declared in schema" in error.message
