"""What a stable version's pods really need: a VerticalPodAutoscaler that only recommends, and never touches a pod."""

from __future__ import annotations

import logging

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import FIELD_MANAGER, Cluster
from headway.components._shared.kubernetes.kinds import DEPLOYMENT, VERTICAL_AUTOSCALER
from headway.components.deployment.kserve.version import CONTAINER, Version

log = logging.getLogger("headway")

_ABSENT = "kubernetes.kind_missing"


def recommend_for(cluster: Cluster, endpoint: str, version: Version) -> None:
    """Lets the endpoint's recommender watch this version; a warning where the cluster has none.

    Raises:
        HeadwayError: `kubernetes.forbidden` without the right to, which `role.yaml` gives.
    """
    target = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "name": version.named(endpoint)}
    manifest = {
        **VERTICAL_AUTOSCALER.head,
        "metadata": {"name": endpoint, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
        "spec": {"targetRef": target, "updatePolicy": {"updateMode": "Off"}},
    }
    try:
        cluster.apply(manifest)
    except HeadwayError as error:
        if error.code != _ABSENT:
            raise
        log.warning("serving.kserve.recommend_resources: the cluster has no VerticalPodAutoscaler; nothing recommends")


def recommended(cluster: Cluster, endpoint: str) -> dict[str, str]:
    """What it recommends for a pod, such as `{"cpu": "120m", "memory": "500Mi"}`; empty before it has seen enough."""
    found = cluster.get(VERTICAL_AUTOSCALER, endpoint) or {}
    for container in found.get("status", {}).get("recommendation", {}).get("containerRecommendations") or ():
        if container["containerName"] == CONTAINER:
            return {name: str(quantity) for name, quantity in container["target"].items()}
    return {}


def forget(cluster: Cluster, endpoint: str) -> None:
    """Ends it."""
    cluster.delete(VERTICAL_AUTOSCALER, endpoint)
