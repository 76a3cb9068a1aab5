"""By weights: both versions are in one InferenceService, and its HTTPRoute splits the traffic (KServe 0.21 on).

KServe deletes a version's Deployment and Service in one moment, and gateways follow later: so a version goes only
after the gateway was seen to send it nothing, and after a while more.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import OUTAGES, bearing
from headway.components._shared.kubernetes.kinds import AUTOSCALER, HTTP_ROUTE, INFERENCE_SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.capabilities import (
    canary_unknown,
    cannot_split,
    look,
    not_ours,
    unsplit_error,
)
from headway.components.deployment.kserve.doors import gateway_address
from headway.components.deployment.kserve.manifest import VISIBILITY, inference_service, kept_from, versions_in
from headway.components.deployment.kserve.rules import check
from headway.components.deployment.kserve.version import Version
from headway.components.deployment.kserve.ways.way import UNSEEN, OfEndpoint

log = logging.getLogger("headway")

_SPLIT_PROVEN_S = 20.0
_STABLE, _CANDIDATE = ".spec.predictor", ".spec.canary"


class Weights(OfEndpoint):
    """Moves traffic by `spec.canary`."""

    def entrance(self) -> Address:
        """The gateway, with the name of the endpoint in the header Host.

        Raises:
            HeadwayError: `deployment.ingress`.
        """
        route = self._route()
        if route is None:
            raise HeadwayError(
                "deployment.ingress",
                f"KServe has made no HTTPRoute for {self.endpoint}, so nothing from outside reaches it.",
                value=self.endpoint,
                remedy="Set ingress.enableGatewayApi in the ConfigMap inferenceservice-config, and check that neither "
                "disableIngressCreation nor the label networking.kserve.io/visibility is set.",
            )
        host = routes.host_of(route)
        if self.settings.gateway is None:
            return Address(f"http://{host}")
        return gateway_address(self.settings, host)

    def cannot_split(self, stable: Version) -> str | None:
        """What the cluster lacks for weights."""
        return cannot_split(look(self.cluster, self.endpoint, stable))

    def runs(self, version: Version) -> bool:
        """Whether the service names it."""
        spec = self._spec()
        named = [spec.get("predictor") or {}, *(canary["predictor"] for canary in spec.get("canary") or ())]
        return version.name in [predictor.get("name") for predictor in named]

    def weight_of(self, version: Version) -> float:
        """By the route."""
        route = self._route()
        return routes.weights(route).get(version.named(self.endpoint), 0.0) if route else 0.0

    def found(self) -> tuple[Version | None, Version | None] | None:
        """Both are in the service."""
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint)
        versions = service and versions_in(service)
        if service and versions is None:
            raise not_ours("an InferenceService", self.endpoint)
        return versions or None

    def promoted(self, stable: Version, candidate: Version) -> bool:  # noqa: ARG002 - its place is the candidate's
        """Whether the candidate is the service's predictor."""
        return candidate.name == (self._spec().get("predictor") or {}).get("name")

    def check(self, stable: Version | None, candidate: Version) -> None:
        """By KServe's rules and by a dry run."""
        manifest = self._manifest(stable, candidate)
        check(manifest)
        try:
            self.cluster.apply(manifest, dry_run=True)
        except HeadwayError as error:
            raise (self._unsplit(candidate) if canary_unknown(error) else error) from None

    def restore(self, stable: Version) -> None:
        """KServe does that itself."""

    def start(self, stable: Version | None, candidate: Version) -> None:
        """As a canary at 0 %; a first version without a way in from outside.

        Where the number of pods follows the load, the candidate begins with its fewest, and `shift` gives it more.
        """
        if not self.runs(candidate):
            kept = kept_from(stable, candidate) if stable else []
            if kept:
                told = f"until it is promoted, which replaces its pods, the candidate has also: {', '.join(kept)}"
                log.warning(f"{told}; KServe takes them from the stable version")
            self.cluster.apply(self._manifest(stable, candidate, growing=True))
        self.watch.wait_ready(candidate, dark=self._dark())
        if stable:
            self._prove_split(candidate)

    def shift(self, stable: Version, candidate: Version, weight: int) -> None:
        """Waits until the gateway answers so.

        Where the number of pods follows the load, the candidate has its part of them before it gets that part of the
        traffic; the stable version keeps all of its own, for the way back.
        """
        now, (_, pods) = self._canary(), self._sizes(stable, candidate, weight)
        if candidate.autoscaled and pods > now.get("predictor", {}).get("minReplicas", 0):
            self._change(
                self._manifest(stable, candidate, now.get("trafficPercent", 0), weight, growing=True), back=False
            )
            self.watch.wait_ready(candidate, pods=pods)
        self._change(self._manifest(stable, candidate, weight), back=weight == 0)
        self._wait_weight(stable, candidate, weight)

    def let_go(self, stable: Version, candidate: Version) -> None:
        """A weight of zero."""
        self._change(self._manifest(stable, candidate), back=True)

    def promote(self, stable: Version | None, candidate: Version) -> None:
        """Under the name that its pods have already."""
        if stable:
            time.sleep(self.settings.drain_s)
        self._leave_alone(candidate)
        if stable:
            self._wait_gone(stable)
        elif not routes.until(lambda: self._route() is not None, self.settings.observe_timeout_s):
            raise self._unsplit(candidate)
        self.watch.wait_ready(candidate, pods=candidate.min_pods)
        self._wait_weight(candidate, candidate, 100)

    def withdraw(self, stable: Version | None, candidate: Version) -> None:
        """In two steps: first the traffic, then, once the gateway has followed and all is answered, the pods."""
        had_traffic = 0.0
        if stable is None:
            self.delete_service()
        elif self.runs(candidate):
            had_traffic = self.weight_of(candidate)
            # Seen also where the route says zero: a step that was told to end may have set that a moment ago. And a
            # broken gateway must not keep a broken candidate alive.
            with bearing("watching the traffic leave the candidate", UNSEEN):
                self.shift(stable, candidate, 0)
            if had_traffic:
                time.sleep(self.settings.drain_s)
            self._leave_alone(stable, back=True)
        self._wait_gone(candidate)
        if stable and self.runs(stable):
            with bearing("seeing that the stable version answers", () if had_traffic else UNSEEN):
                self._wait_weight(stable, stable, 100)

    def remove(self, versions: Sequence[Version]) -> None:
        """The service with both of them."""
        self.delete_service()
        for version in versions:
            self.watch.wait_gone(version)

    def _manifest(
        self, stable: Version | None, candidate: Version, weight: int = 0, aim: int = 0, *, growing: bool = False
    ) -> dict[str, Any]:
        """Both versions, or the first one.

        Args:
            stable: As everywhere.
            candidate: As everywhere.
            weight: The candidate's.
            aim: That it is to have next.
            growing: Whether pods of the candidate are yet to come. KServe would start as many of the stable version
                until they are there, if its fewest were said already to be more by theirs.
        """
        if stable is None:
            return inference_service(self.endpoint, candidate, dark=True)
        kept, pods = self._sizes(stable, candidate, max(weight, aim))
        kept -= pods if growing and stable.autoscaled else 0
        return inference_service(self.endpoint, stable, candidate, weight, sizes=(kept, pods))

    def _sizes(self, stable: Version, candidate: Version, weight: int) -> tuple[int, int]:
        """Pods that the stable version keeps beside a candidate, for the way back, and pods of the candidate.

        A candidate whose number follows the load has its part of what that asks for; it loses none before it goes.
        """
        if not candidate.autoscaled:
            return stable.min_pods, min(stable.min_pods, candidate.min_pods)
        load = stable.min_pods
        if stable.autoscaled:
            deployment = self.watch.deployment(stable) or {}
            load = max(load, int(deployment.get("spec", {}).get("replicas", 0)))
        has = int(self._canary().get("predictor", {}).get("minReplicas", 0))
        pods = max(has, min(load, max(math.ceil(load * weight / 100), candidate.min_pods)))
        return max(load, pods), pods

    def _canary(self) -> dict[str, Any]:
        return dict(next(iter(self._spec().get("canary") or ()), {}))

    def _wait_gone(self, version: Version) -> None:
        self.watch.wait_gone(version)
        if version.autoscaled:
            with bearing("deleting the autoscaler that KServe forgets", (*OUTAGES, "kubernetes.forbidden")):
                self.cluster.delete(AUTOSCALER, version.named(self.endpoint))

    def _leave_alone(self, version: Version, *, back: bool = False) -> None:
        self._change(inference_service(self.endpoint, version), back=back)

    def _change(self, manifest: dict[str, Any], *, back: bool) -> None:
        """On the way back, somebody's change is no reason to leave traffic with the candidate.

        Of the stable version it stays, and the next deployment reports it; of the candidate, which goes, it goes too.
        """
        self.change(manifest, yielding=_STABLE if back else "", taking=_CANDIDATE if back else "")

    def _dark(self) -> bool:
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}
        return VISIBILITY in (service.get("metadata", {}).get("labels") or {})

    def _spec(self) -> dict[str, Any]:
        return (self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}).get("spec") or {}

    def _route(self) -> dict[str, Any] | None:
        return self.cluster.get(HTTP_ROUTE, self.endpoint)

    def _prove_split(self, candidate: Version) -> None:
        """A route that names the candidate, without traffic yet, is the first proof that this KServe moves weights."""

        def named() -> bool:
            route = self._route()
            return route is not None and candidate.named(self.endpoint) in routes.weights(route)

        if not routes.until(named, _SPLIT_PROVEN_S):
            raise self._unsplit(candidate)

    def _unsplit(self, candidate: Version) -> HeadwayError:
        found = dataclasses.replace(look(self.cluster, self.endpoint, candidate), canary=False)
        return unsplit_error(self.endpoint, str(cannot_split(found)))

    def _wait_weight(self, stable: Version, candidate: Version, weight: int) -> None:
        """Waits until the route says the weight and the gateway does it."""
        names = {candidate.named(self.endpoint): weight} if weight else {}
        if candidate.name != stable.name:
            names |= {stable.named(self.endpoint): 100 - weight} if weight < 100 else {}
        told: list[str] = []

        def set_() -> bool:
            route = self._route()
            found = routes.weights(route) if route else {}
            told[:] = [str((route and routes.refusal(route)) or found or "there is none")]
            return {name: share for name, share in found.items() if share} == names and not (
                route and routes.refusal(route)
            )

        if not routes.until(set_, self.settings.observe_timeout_s):
            raise HeadwayError(
                "deployment.ingress",
                f"The HTTPRoute of {self.endpoint} was to give {names}, but within "
                f"{self.settings.observe_timeout_s:g} s it did not: {told[0]}.",
                value=self.endpoint,
                remedy="Look at the events of the service and at KServe's controller.",
            )
        self.observe(self.entrance(), stable, candidate, weight)
