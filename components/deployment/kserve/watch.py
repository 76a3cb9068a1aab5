"""What a cluster really does with the versions of an endpoint: looked at, waited for, explained."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import DEPLOYMENT, EVENT, INFERENCE_SERVICE, POD, SERVICE
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Running
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.doors import door_to
from headway.components.deployment.kserve.manifest import VISIBILITY
from headway.components.deployment.kserve.reasons import INITIALIZER, Evidence, reason
from headway.components.deployment.kserve.version import CONTAINER, PORT, Version

# How long a reason must stand before it is final; one that is not here may pass until the time to start is over.
_FINAL_AFTER_S = {
    "storage": 3,
    "layout": 3,
    "version_mismatch": 3,
    "crash": 5,
    "oom": 3,
    "probe": 0,
    "image_pull": 10,
    "no_runtime": 5,
    "service_refused": 10,
    "quota": 10,
}
_GONE_S = 120.0
_REACH_S = 5.0
_SKEW = timedelta(minutes=1)


class Watch:
    """Looks at one endpoint.

    Args:
        cluster: Where.
        endpoint: Its name.
        serving: Limits.
        settings: Those of the cluster.

    Attributes:
        lasting: What is wrong, and since when, as far as was looked.
    """

    def __init__(self, cluster: Cluster, endpoint: str, serving: Serving, settings: KServe) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.serving = serving
        self.settings = settings
        self.lasting: dict[str, float] = {}
        self._begun = datetime.now(UTC) - _SKEW

    def wait_ready(self, version: Version, *, pods: int = 1, dark: bool = False) -> None:
        """Waits until a version's Deployment is there in full, and its Service answers with its digest."""
        patience_s = self.serving.start_timeout_s
        self.lasting.clear()
        end = time.monotonic() + patience_s
        while not self._ready(version, pods, dark):
            why = self.why(version)
            if why and self._has_lasted_s(why) >= _FINAL_AFTER_S.get(_class(why), patience_s):
                raise why
            if time.monotonic() > end:
                raise why or self._slow(version, patience_s)
            time.sleep(0.5)

    def fault(self, version: Version) -> HeadwayError | None:
        """What is wrong with a version that was ready once; None while what is wrong may pass, as after an eviction."""
        why = self.why(version)
        lasted_s = self._has_lasted_s(why)
        return why if why and (_class(why) in _FINAL_AFTER_S or lasted_s >= self.serving.start_timeout_s) else None

    def wait_gone(self, version: Version) -> None:
        """Waits until neither its Deployment is there nor, where it had one, its own InferenceService."""
        if not routes.until(lambda: not self._there(version), _GONE_S):
            raise HeadwayError(
                "deployment.not_gone",
                f"KServe has not ended {version.named(self.endpoint)} within {_GONE_S:g} s.",
                value=version.named(self.endpoint),
                remedy="Look at KServe's controller; run the step again once it works.",
            )

    def deployment(self, version: Version) -> dict[str, Any] | None:
        """The Deployment that runs it."""
        return self.cluster.get(DEPLOYMENT, version.named(self.endpoint))

    def labels(self, version: Version) -> dict[str, str]:
        """What finds its metrics in a Prometheus that discovers pods."""
        return metrics_of(version.named(self.endpoint), self.cluster.namespace)

    def address(self, version: Version) -> Address:
        """Straight at a version: its Service, or one of its pods where the Service has no address of its own.

        Through the gateway where that is asked for.
        """
        name = version.named(self.endpoint)
        service = self.cluster.get(SERVICE, name)
        if service and self.settings.through_gateway:
            return door_to(self.cluster, self.settings, service)
        ip = (service or {}).get("spec", {}).get("clusterIP")
        if ip and ip != "None":
            return Address(f"http://{ip}:{service['spec']['ports'][0]['port']}")  # type: ignore[index]
        ready = [pod["status"]["podIP"] for pod in self.pods(version) if pod.get("status", {}).get("podIP")]
        return Address(f"http://{ready[0]}:{PORT}" if ready else f"http://{name}.{self.cluster.namespace}")

    def require_reach(self, version: Version) -> None:
        """Refuses to begin where a version could not be asked: on a machine outside of the cluster's network.

        Raises:
            HeadwayError: `deployment.out_of_reach`.
        """
        parts = urlsplit(self.address(version).url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 80), _REACH_S).close()
        except ConnectionRefusedError:
            pass  # from within the network; nobody listens, which the caller will see
        except OSError as error:
            raise HeadwayError(
                "deployment.out_of_reach",
                f"This machine does not reach the cluster's Services ({error}), and versions are asked straight there.",
                value=parts.netloc,
                remedy="Run this in the cluster: the component as a step, or the command in a pod, such as a notebook; "
                "or from a machine whose network is joined with the cluster's.",
            ) from None

    def pods(self, version: Version) -> list[dict[str, Any]]:
        """Those that are to stay: not what is being deleted, nor what a node has evicted and Kubernetes replaced."""
        return self._staying({"app": f"isvc.{version.named(self.endpoint)}"})

    def seen(self, version: Version, *, weight: float) -> Running:
        """What its Deployment says of its pods, and if some are missing, why."""
        deployment = self.deployment(version) or {}
        ready = deployment.get("status", {}).get("readyReplicas", 0)
        wanted = max(min(1, version.min_pods), deployment.get("spec", {}).get("replicas", 1))
        why = self.why(version) if ready < wanted else None
        return Running(
            model_digest=version.model_digest,
            version=version.version,
            environment=version.environment,
            ready=ready,
            wanted=wanted,
            weight=round(weight),
            problem=why.message.partition("\n")[0] if why else None,
        )

    def why(self, version: Version) -> HeadwayError | None:
        """What pods, events and logs say is wrong with a version; None when nothing is."""
        pods = self.pods(version)
        own, shared = {pod["metadata"]["name"] for pod in pods}, {self.endpoint, version.service(self.endpoint)}
        found = [(event, event["involvedObject"].get("name")) for event in self.cluster.list(EVENT)]
        # What was said of the service an hour ago was about another version.
        events = [e for e, name in found if name in own or (name in shared and _last_seen(e) > self._begun)]
        logs = {}
        for pod in pods:
            for status in _unwell(pod):
                name = pod["metadata"]["name"]
                logs[name, status] = self.cluster.log(name, status, lines=30)
        return reason(
            Evidence(
                deployment=self.deployment(version),
                pods=pods,
                events=events,
                logs=logs,
            )
        )

    def endpoint_gone(self) -> HeadwayError:
        """The error of a rollout whose endpoint vanishes under its hands."""
        return HeadwayError(
            "deployment.endpoint_gone",
            f"Somebody has deleted the InferenceService {self.endpoint} in the middle of its rollout.",
            value=self.endpoint,
            remedy="Find out who it was (the audit log), and run the step again: it deploys the model anew.",
        )

    def _has_lasted_s(self, why: HeadwayError | None) -> float:
        """For how long this has been the reason, as far as was looked."""
        code = _class(why)
        if code not in self.lasting:
            self.lasting.clear()
            self.lasting[code] = time.monotonic()
        return time.monotonic() - self.lasting[code]

    def _there(self, version: Version) -> bool:
        service = self.cluster.get(INFERENCE_SERVICE, version.service(self.endpoint))
        return bool(self.deployment(version) or service)

    def _staying(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        found = self.cluster.list(POD, labels)
        staying = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
        return [pod for pod in staying if pod.get("status", {}).get("phase") != "Failed"]

    def _ready(self, version: Version, pods: int, dark: bool) -> bool:
        deployment = self.deployment(version)
        if deployment is None:
            return False
        return self._complete(version, deployment, pods, dark) and self._answers(version)

    def _complete(self, version: Version, deployment: dict[str, Any], pods: int, dark: bool) -> bool:  # noqa: ARG002 - revisions
        # KServe copies the service's labels into the pods: those of a first version are replaced when it gets a way in.
        if (VISIBILITY in (deployment["spec"]["template"]["metadata"].get("labels") or {})) != dark:
            return False
        status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        if status.get("observedGeneration") != deployment["metadata"]["generation"] or wanted < pods:
            return False
        replicas = status.get("replicas"), status.get("updatedReplicas"), status.get("availableReplicas")
        return all(wanted == number for number in replicas)

    def _answers(self, version: Version) -> bool:
        address = self.address(version)
        answered = routes.answering(address, self.endpoint)
        if answered == "status 403":
            raise routes.mesh_refuses(address)
        return answered == version.model_digest

    def _slow(self, version: Version, patience_s: float) -> HeadwayError:
        return HeadwayError(
            "deployment.server_slow",
            f"{version.named(self.endpoint)} was not ready within {patience_s:g} s, and nothing says why.",
            value=version.named(self.endpoint),
            remedy="Raise serving.start_timeout_s; it covers pulling the image and loading the model.",
        )


def metrics_of(name: str, namespace: str) -> dict[str, str]:
    """Labels for queries about the pods whose names begin like this."""
    selector = 'namespace="$namespace",pod=~"$pods"'
    return {"selector": selector, "namespace": namespace, "service": name, "pods": f"{name}-.+"}


def _last_seen(event: dict[str, Any]) -> datetime:
    """When an event was told last."""
    told = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(told or event["metadata"]["creationTimestamp"])


def _class(why: HeadwayError | None) -> str:
    return why.code.removeprefix("deployment.") if why else ""


def _unwell(pod: dict[str, Any]) -> Iterator[str]:
    status = pod.get("status") or {}
    for found in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        if found["name"] in (INITIALIZER, CONTAINER):
            ended = found.get("state", {}).get("terminated") or found.get("lastState", {}).get("terminated")
            if ended and ended.get("exitCode"):
                yield found["name"]
