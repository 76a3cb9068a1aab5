"""What a cluster's KServe can do with traffic, and which way of a rollout follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import (
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    SCALED_OBJECT,
    SERVING_RUNTIME,
    Kind,
)
from headway.components.deployment.kserve.config import KServe, Traffic, WayName
from headway.components.deployment.kserve.manifest import inference_service
from headway.components.deployment.kserve.version import Version, elsewhere


@dataclass(frozen=True)
class Capabilities:
    """What was found.

    Attributes:
        routes: Whether HTTPRoutes of the Gateway API are known.
        canary: Whether `spec.canary` is known, and moves traffic as far as was seen.
        routed: Whether the service has an HTTPRoute; None where there is no service yet.
        knative: Whether the cluster has Knative Serving.
    """

    routes: bool
    canary: bool
    routed: bool | None = None
    knative: bool = False


def look(cluster: Cluster, endpoint: str, version: Version) -> Capabilities:
    """Finds out, without changing anything.

    Args:
        cluster: Where.
        endpoint: The service that is there, or will be.
        version: The version that it has, or will have.

    Raises:
        HeadwayError: `kubernetes.kind_missing`: the cluster has no KServe.
    """
    service = cluster.get(INFERENCE_SERVICE, endpoint)
    routes, route = _known(cluster, HTTP_ROUTE, endpoint)
    knative, _ = _known(cluster, KNATIVE_SERVICE, endpoint)
    canary = True
    try:
        cluster.apply(inference_service(endpoint, version, elsewhere(version)), dry_run=True)
    except HeadwayError as error:
        canary = not canary_unknown(error)
    # KServe 0.20 knows canaries and gives them nothing. It is known by what came into its runtimes after it.
    fields = cluster.fields(SERVING_RUNTIME)
    canary = canary and (not fields or "resourceClaims" in fields)
    return Capabilities(routes, canary, None if service is None else route is not None, knative)


def _known(cluster: Cluster, kind: Kind, name: str) -> tuple[bool, dict[str, Any] | None]:
    """Whether the cluster knows a kind, and the object of that name."""
    try:
        return True, cluster.get(kind, name)
    except HeadwayError as error:
        if error.code != "kubernetes.kind_missing":
            raise
        return False, None


def cannot_split(found: Capabilities) -> str | None:
    """Why traffic cannot be moved by weights; None where it can, as far as one can know before it was observed."""
    if not found.routes:
        return "the cluster has no Gateway API, and only HTTPRoutes have weights"
    if found.routed is False:
        return "the service has no HTTPRoute: KServe runs without enableGatewayApi, or the service is cluster-local"
    if not found.canary:
        return "this KServe does not move traffic to a canary, as it does from 0.21 on"
    return None


def choose(found: Capabilities, settings: KServe, unsplit: str | None, endpoint: str) -> tuple[WayName, str]:
    """The way for an endpoint that has none yet, and why.

    Args:
        found: What the cluster can do.
        settings: What is asked for.
        unsplit: What was seen when weights were tried here before and did not move traffic.
        endpoint: Its name.

    Raises:
        HeadwayError: `deployment.cannot_split`: weights are asked for, and would not work. `deployment.cannot_scale`:
            scaling is asked for that the cluster, or the way, does not have.
    """
    asked, why_not = settings.traffic, cannot_split(found)
    reason = "asked for"
    if asked == "auto" and settings.needs_knative:
        asked, reason = "knative", "only Knative scales like this"
    elif asked == "auto" and settings.by_keda:
        asked, reason = "two_services", "KEDA scales a candidate only where it has a service of its own"
    check_scaling(asked, settings, endpoint)
    if asked == "knative" and not found.knative:
        raise _cannot_scale(endpoint, "the cluster has no Knative Serving")
    if asked == "weights" and why_not:
        raise unsplit_error(endpoint, why_not)
    if asked != "auto":
        return asked, reason
    if (why_not or unsplit) and found.knative and not settings.needs_deployments:
        return "knative", f"{why_not or unsplit}, but it has Knative"
    if why_not or unsplit:
        return "two_services", why_not or f"weights were tried: {unsplit}"
    return "weights", "this KServe knows canaries, and the cluster has HTTPRoutes"


def check_scaling(way: Traffic, settings: KServe, endpoint: str) -> None:
    """Whether a way can scale as it is asked for.

    Raises:
        HeadwayError: `deployment.cannot_scale`.
    """
    if way == "knative" and settings.needs_deployments:
        raise _cannot_scale(endpoint, "autoscaling by hpa or keda is not for Knative, which scales pods itself")
    if way == "weights" and settings.by_keda:
        raise _cannot_scale(endpoint, "beside a canary KEDA scales nothing; it needs traffic: two_services")
    if way in ("weights", "two_services") and settings.needs_knative:
        raise _cannot_scale(endpoint, "min_replicas 0 and autoscaling by knative need Knative to move the traffic")


def check_autoscaler(cluster: Cluster, settings: KServe, endpoint: str) -> None:
    """Whether the cluster has KEDA where that is to scale the pods: without it KServe gives a service no route at all.

    Raises:
        HeadwayError: `deployment.cannot_scale`.
    """
    if settings.by_keda and not _known(cluster, SCALED_OBJECT, endpoint)[0]:
        raise _cannot_scale(endpoint, "the cluster has no KEDA")


def _cannot_scale(endpoint: str, why: str) -> HeadwayError:
    return HeadwayError(
        "deployment.cannot_scale",
        f"The pods of {endpoint} cannot scale as it is asked for: {why}.",
        value=endpoint,
        remedy="Change serving.kserve: autoscaling (concurrency or rps by knative; hpa and keda elsewhere), "
        "min_replicas or traffic. An endpoint that is there keeps its way; undeploy it to change that.",
    )


def unsplit_error(endpoint: str, why_not: str) -> HeadwayError:
    """The error of a cluster whose traffic cannot be moved by weights."""
    return HeadwayError(
        "deployment.cannot_split",
        f"Traffic cannot be moved to a candidate of {endpoint} by weights: {why_not}.",
        value=endpoint,
        remedy="Update KServe to 0.21 with ingress.enableGatewayApi; or do without weights: undeploy the endpoint if "
        "it has a model already, and deploy again with serving.kserve.traffic two_services.",
    )


def not_ours(what: str, name: str) -> HeadwayError:
    """The error of a name that is taken."""
    return HeadwayError(
        "deployment.not_ours",
        f"There is {what} {name} already, and it is not a deployment of this suite.",
        value=name,
        remedy="Give the model another name, or delete what is there.",
    )


def canary_unknown(error: HeadwayError) -> bool:
    """Whether the API server refused what came with canaries because its schema of a service does not have it."""
    newer = (".spec.canary: field not declared in schema", ".spec.predictor.name: field not declared in schema")
    return error.code == "kubernetes.refused" and any(words in error.message for words in newer)
