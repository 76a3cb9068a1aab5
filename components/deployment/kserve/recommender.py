"""What the stable version's pods really need: a VerticalPodAutoscaler that only recommends, and touches no pod."""

from __future__ import annotations

import logging

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import DEPLOYMENT, VERTICAL_AUTOSCALER
from headway.components.deployment.kserve.manifest import OURS
from headway.components.deployment.kserve.version import CONTAINER

log = logging.getLogger("headway")

# Where it was never asked for, the cluster need not have it, nor the step the right to look.
_NOT_HERE = ("kubernetes.kind_missing", "kubernetes.forbidden")


class Recommender:
    """The VerticalPodAutoscaler of an endpoint, by the endpoint's name.

    Args:
        cluster: Where.
        endpoint: Whose.
    """

    def __init__(self, cluster: Cluster, endpoint: str) -> None:
        self._cluster = cluster
        self._endpoint = endpoint

    def watch(self, name: str) -> None:
        """Lets it watch a Deployment from now on; where that fails the model serves all the same, with a warning."""
        manifest = {
            **VERTICAL_AUTOSCALER.head,
            "metadata": {"name": self._endpoint, "labels": OURS},
            "spec": {
                "targetRef": {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "name": name},
                "updatePolicy": {"updateMode": "Off"},
            },
        }
        try:
            self._cluster.apply(manifest)
        except HeadwayError as error:
            if not error.code.startswith("kubernetes."):
                raise
            log.warning(f"nothing recommends resources for {self._endpoint}: {error.message}")

    def found(self) -> dict[str, str]:
        """What it recommends for a pod, such as `{"cpu": "120m", "memory": "500Mi"}`; empty where it says nothing."""
        try:
            seen = self._cluster.get(VERTICAL_AUTOSCALER, self._endpoint) or {}
        except HeadwayError as error:
            if error.code not in _NOT_HERE:
                raise
            return {}
        told = (seen.get("status") or {}).get("recommendation", {}).get("containerRecommendations") or ()
        targets = [each["target"] for each in told if each["containerName"] == CONTAINER]
        return {name: str(quantity) for name, quantity in targets[0].items()} if targets else {}

    def end(self) -> None:
        """Deletes it, if it is there."""
        try:
            if self._cluster.get(VERTICAL_AUTOSCALER, self._endpoint):
                self._cluster.delete(VERTICAL_AUTOSCALER, self._endpoint)
        except HeadwayError as error:
            if error.code not in _NOT_HERE:
                raise
