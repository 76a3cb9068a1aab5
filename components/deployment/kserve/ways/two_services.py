"""By two services: each version is an InferenceService of its own, and a Service of ours picks which has the traffic.

It needs nothing of KServe but a Deployment, so it works on every KServe in Standard mode, whatever its gateway. The
Service is named as the endpoint, a name that KServe gives to nothing: its own objects are called after the versions.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import bearing
from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE, SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve.capabilities import not_ours
from headway.components.deployment.kserve.doors import door_to
from headway.components.deployment.kserve.manifest import (
    AUTOSCALER,
    KSERVE,
    KSERVE_0_15,
    OURS,
    is_ours,
    service_of_its_own,
)
from headway.components.deployment.kserve.rules import check, storage_uri_of
from headway.components.deployment.kserve.version import Version, version_in
from headway.components.deployment.kserve.ways.way import UNSEEN, OfEndpoint

log = logging.getLogger("headway")

_SERVES = "headway/version"


class TwoServices(OfEndpoint):
    """Moves traffic by the selector of a Service, all of it at once."""

    def entrance(self) -> Address:
        """The Service, by its name where that leads to it from here, else by its IP; or through the gateway.

        Raises:
            HeadwayError: `deployment.ingress`.
        """
        service = self._entrance()
        if service is None:
            raise HeadwayError(
                "deployment.ingress",
                f"The Service {self.endpoint}, which leads to the stable version, is gone.",
                value=self.endpoint,
                remedy="Find out who deleted it, and run the step again: it makes it anew.",
            )
        if self.settings.through_gateway:
            return door_to(self.cluster, self.settings, service)
        name, ip = f"{self.endpoint}.{self.cluster.namespace}.svc", str(service["spec"]["clusterIP"])
        return Address(f"http://{name if _leads_to(name, ip) else ip}")

    def cannot_split(self, stable: Version) -> str | None:  # noqa: ARG002 - it never can
        """A Service has one selector."""
        return "the endpoint has two services, between which all the traffic moves at once"

    def runs(self, version: Version) -> bool:
        """Whether its InferenceService is there, to stay."""
        found = self._service(version)
        return found is not None and "deletionTimestamp" not in found["metadata"]

    def weight_of(self, version: Version) -> float:
        """All or nothing."""
        return 100.0 if self._picked() == version.name else 0.0

    def found(self) -> tuple[Version | None, Version | None] | None:
        """The stable version is the one that the Service leads to; who was its candidate is not to be seen."""
        name = self._picked()
        service = name and self.cluster.get(INFERENCE_SERVICE, f"{self.endpoint}-{name}")
        if not service:
            return None
        predictor = {**service["spec"]["predictor"], "name": name}
        return version_in(predictor, storage_uri_of(predictor) or ""), None

    def promoted(self, stable: Version, candidate: Version) -> bool:
        """Whether the Service picks the candidate, and the one before it has been deleted."""
        return self._picked() == candidate.name and not self.runs(stable)

    def check(self, stable: Version | None, candidate: Version) -> None:
        """By KServe's rules and by a dry run."""
        found = self._entrance()
        if stable is None and found and not is_ours(found):
            raise not_ours("a Service", self.endpoint)
        manifest = self._manifest(candidate)
        check(manifest)
        self.cluster.apply(manifest, dry_run=True)

    def restore(self, stable: Version) -> None:
        """Makes the Service anew."""
        if self._entrance() is None:
            log.warning(f"the Service {self.endpoint} is gone; somebody deleted it, and it is made anew")
            self._pick(stable)
            self._observe(stable)
        self._scale_by_load(stable)

    def start(self, stable: Version | None, candidate: Version) -> None:
        """In full size, as an InferenceService that only the cluster may see and nobody knows.

        Where the number of pods follows the load it has as many as the stable version, until it has the traffic.
        """
        if not self.runs(candidate):
            self.watch.wait_gone(candidate)  # one of that name may still be going
            load = self.watch.deployment(stable) if stable and candidate.autoscaled else None
            pods = int((load or {}).get("spec", {}).get("replicas", 0))
            self.cluster.apply(self._manifest(candidate.sized(pods)))
        self.watch.wait_ready(candidate, pods=self._fewest(candidate) or candidate.min_pods, dark=True)

    def shift(self, stable: Version, candidate: Version, weight: int) -> None:
        """Everything or nothing.

        Raises:
            HeadwayError: `deployment.cannot_split` for any other weight.
        """
        if weight not in (0, 100):
            raise HeadwayError(
                "deployment.cannot_split",
                f"{self.endpoint} cannot give a candidate {weight} % of its traffic: {self.cannot_split(stable)}.",
                value=weight,
                remedy="Leave out set_weight.",
            )
        one, other = (candidate, stable) if weight else (stable, candidate)
        self._pick(one)
        self.observe(self.entrance(), other, one, 100)

    def let_go(self, stable: Version, candidate: Version) -> None:  # noqa: ARG002 - the selector names one of them
        """Picks the stable version."""
        self._pick(stable)

    def promote(self, stable: Version | None, candidate: Version) -> None:
        """Ends the other service once nobody has been sent there for a while."""
        if stable is None or self._picked() != candidate.name:
            self._pick(candidate)
            self._observe(candidate)
        if stable:
            time.sleep(self.settings.drain_s)
            self._end(stable)
        self._scale_by_load(candidate)

    def withdraw(self, stable: Version | None, candidate: Version) -> None:
        """The traffic first, if it has any; a broken entrance keeps no broken candidate alive."""
        had_traffic = self._picked() == candidate.name
        if had_traffic:
            if stable is None:
                self.cluster.delete(SERVICE, self.endpoint)
            else:
                if not self._has_pods(stable):  # it is on its way back from a promotion
                    self.start(candidate, stable)
                with bearing("watching the traffic leave the candidate", UNSEEN):
                    self.shift(stable, candidate, 0)
            time.sleep(self.settings.drain_s)
        self._end(candidate)
        if stable and self.runs(stable):
            with bearing("seeing that the stable version answers", () if had_traffic else UNSEEN):
                self._observe(stable)

    def remove(self, versions: Sequence[Version]) -> None:
        """The entrance first."""
        self.cluster.delete(SERVICE, self.endpoint)
        for version in versions:
            self._end(version)

    def _has_pods(self, version: Version) -> bool:
        deployment = self.watch.deployment(version) or {}
        return bool(deployment.get("status", {}).get("readyReplicas"))

    def _scale_by_load(self, version: Version) -> None:
        """Lets a version have fewer pods again than it was started with."""
        if version.autoscaled and self._fewest(version) not in (None, version.min_pods):
            self.cluster.apply(self._manifest(version))

    def _fewest(self, version: Version) -> int | None:
        """Pods that its service asks for at least; None where it is gone."""
        found: int | None = (self._service(version) or {}).get("spec", {}).get("predictor", {}).get("minReplicas")
        return found

    def _entrance(self) -> dict[str, Any] | None:
        return self.cluster.get(SERVICE, self.endpoint)

    def _picked(self) -> str | None:
        """The name of the version that the entrance leads to."""
        annotations = (self._entrance() or {}).get("metadata", {}).get("annotations") or {}
        return annotations.get(_SERVES)

    def _pick(self, version: Version) -> None:
        """Lets the entrance lead where the Service leads that KServe made for a version."""
        made = self.cluster.get(SERVICE, version.named(self.endpoint))
        if made is None:
            raise HeadwayError(
                "deployment.ingress",
                f"KServe's Service {version.named(self.endpoint)} is gone.",
                value=version.named(self.endpoint),
                remedy="Find out who deleted it; KServe's controller makes it anew.",
            )
        port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": made["spec"]["ports"][0]["targetPort"]}
        entrance = {
            **SERVICE.head,
            "metadata": {
                "name": self.endpoint,
                "labels": OURS,
                "annotations": {_SERVES: version.name},
            },
            "spec": {"selector": made["spec"]["selector"], "ports": [port]},
        }
        self.cluster.apply(entrance)

    def _observe(self, version: Version) -> None:
        self.observe(self.entrance(), version, version, 100)

    def _service(self, version: Version) -> dict[str, Any] | None:
        return self.cluster.get(INFERENCE_SERVICE, version.service(self.endpoint))

    def _manifest(self, version: Version) -> dict[str, Any]:
        words = KSERVE_0_15 if self._is_0_15(version) else KSERVE
        return service_of_its_own(self.endpoint, version, words)

    def _is_0_15(self, version: Version) -> bool:
        """KServe 0.15 is known by a class that it refuses: a mode's new name it takes for none, without a word."""
        probe = service_of_its_own(self.endpoint, version, KSERVE)
        probe["metadata"]["annotations"][AUTOSCALER] = KSERVE.unscaled
        try:
            self.cluster.apply(probe, dry_run=True)
        except HeadwayError as error:
            return f"[{KSERVE.unscaled}] is not a supported autoscaler class" in error.message
        return False

    def _end(self, version: Version) -> None:
        self.cluster.delete(INFERENCE_SERVICE, version.service(self.endpoint))
        self.watch.wait_gone(version)


def _leads_to(name: str, ip: str) -> bool:
    try:
        return ip in {found[4][0] for found in socket.getaddrinfo(name, 80)}
    except OSError:
        return False
