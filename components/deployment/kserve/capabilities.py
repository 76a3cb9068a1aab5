"""What a cluster's KServe can do with traffic, and which way of a rollout follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import HTTP_ROUTE, INFERENCE_SERVICE
from headway.components.deployment.kserve.config import Traffic, WayName
from headway.components.deployment.kserve.manifest import inference_service
from headway.components.deployment.kserve.version import Version, elsewhere


@dataclass(frozen=True)
class Capabilities:
    """What was found.

    Attributes:
        routes: Whether HTTPRoutes of the Gateway API are known.
        canary: Whether `spec.canary` is known, and moves traffic as far as was seen.
        routed: Whether the service has an HTTPRoute; None where there is no service yet.
    """

    routes: bool
    canary: bool
    routed: bool | None = None


def look(cluster: Cluster, endpoint: str, version: Version) -> Capabilities:
    """Finds out, without changing anything.

    Args:
        cluster: Where.
        endpoint: The service that is there, or will be.
        version: The version that it has, or will have.

    Raises:
        HeadwayError: `kubernetes.kind_missing`: the cluster has no KServe.
    """
    service, route, routes = cluster.get(INFERENCE_SERVICE, endpoint), None, True
    try:
        route = cluster.get(HTTP_ROUTE, endpoint)
    except HeadwayError as error:
        if error.code != "kubernetes.kind_missing":
            raise
        routes = False
    canary = True
    try:
        cluster.apply(inference_service(endpoint, version, elsewhere(version)), dry_run=True)
    except HeadwayError as error:
        canary = not canary_unknown(error)
    return Capabilities(routes, canary, None if service is None else route is not None)


def cannot_split(found: Capabilities) -> str | None:
    """Why traffic cannot be moved by weights; None where it can, as far as one can know before it was observed."""
    if not found.routes:
        return "the cluster has no Gateway API, and only HTTPRoutes have weights"
    if found.routed is False:
        return "the service has no HTTPRoute: KServe runs without enableGatewayApi, or the service is cluster-local"
    if not found.canary:
        return "this KServe does not move traffic to a canary, as it does from 0.21 on"
    return None


def choose(found: Capabilities, asked: Traffic, unsplit: str | None, endpoint: str) -> tuple[WayName, str]:
    """The way for an endpoint that has none yet, and why.

    Args:
        found: What the cluster can do.
        asked: The setting.
        unsplit: What was seen when weights were tried here before and did not move traffic.
        endpoint: Its name.

    Raises:
        HeadwayError: `deployment.cannot_split`: weights are asked for, and would not work.
    """
    why_not = cannot_split(found)
    if asked == "weights" and why_not:
        raise unsplit_error(endpoint, why_not)
    if asked != "auto":
        return asked, "asked for"
    if why_not or unsplit:
        return "two_services", why_not or f"weights were tried: {unsplit}"
    return "weights", "this KServe knows canaries, and the cluster has HTTPRoutes"


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
