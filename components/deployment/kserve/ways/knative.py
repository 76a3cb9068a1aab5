"""By `canaryTrafficPercent`: in KServe's mode Knative every version is a revision, and two of them share the traffic.

Knative gives the newest revision that is ready whatever the percentage leaves it, so the order matters on the way back:
the old version comes back as a new revision at 0 %, and only once that is ready the percentage goes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import bearing
from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.capabilities import not_ours
from headway.components.deployment.kserve.doors import gateway_address
from headway.components.deployment.kserve.manifest import (
    KNATIVE,
    KNATIVE_VISIBILITY,
    MODE,
    VERSION,
    is_ours,
    knative_service,
)
from headway.components.deployment.kserve.revisions import Revisions
from headway.components.deployment.kserve.rules import check, storage_uri_of
from headway.components.deployment.kserve.version import Version, version_in
from headway.components.deployment.kserve.watch import Watch
from headway.components.deployment.kserve.ways.way import UNSEEN, OfEndpoint

log = logging.getLogger("headway")

_MADE_S = 5.0
_MADE_PUBLIC_S = 20.0
_LOCAL = ".svc."
_PERCENT = "canaryTrafficPercent"


class Knative(OfEndpoint):
    """Moves traffic by `spec.predictor.canaryTrafficPercent`.

    Args:
        watch: The endpoint.
    """

    watch: Revisions

    def __init__(self, watch: Watch) -> None:
        super().__init__(Revisions(watch.cluster, watch.endpoint, watch.serving, watch.settings))
        self.watch.lasting = watch.lasting

    def entrance(self) -> Address:
        """The host name that KServe tells, through the gateway if one is given.

        Raises:
            HeadwayError: `deployment.ingress`.
        """
        url = self._url()
        if not url:
            raise HeadwayError(
                "deployment.ingress",
                f"KServe tells no address of {self.endpoint}.",
                value=self.endpoint,
                remedy="Look at the conditions of its Knative Service, and whether Knative has a networking layer.",
            )
        if self.settings.gateway is None:
            return Address(url.rstrip("/"))
        return gateway_address(self.settings, url.partition("://")[2].partition("/")[0])

    def cannot_split(self, stable: Version) -> str | None:  # noqa: ARG002 - it always can
        """Knative splits between revisions."""
        return None

    def runs(self, version: Version) -> bool:
        """Whether the service asks for it, or KServe holds it for the traffic that a percentage leaves.

        A candidate with 100 % counts as rolled out already; then it is the one rolled out before that has the rest.
        """
        spec = self._predictor()
        held = self.watch.rolled_out(), self.watch.rolled_out(before=True) if _PERCENT in spec else None
        return bool(spec) and version.name in (_version_of(spec), *held)

    def weight_of(self, version: Version) -> float:
        """As Knative says."""
        return float(self.watch.traffic().get(version.name, 0))

    def found(self) -> tuple[Version | None, Version | None] | None:
        """What the service asks for.

        Raises:
            HeadwayError: `deployment.not_ours`; `deployment.record_lost`: a rollout was under way, and of the stable
                version there is no more than a revision.
        """
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint)
        if not service or (service["metadata"].get("annotations") or {}).get(MODE) != KNATIVE:
            return None
        if not is_ours(service):
            raise not_ours("an InferenceService", self.endpoint)
        predictor = {**service["spec"]["predictor"]}
        if _PERCENT in predictor:
            raise HeadwayError(
                "deployment.record_lost",
                f"The Lease of {self.endpoint} was deleted in the middle of a rollout, and nothing else says what its "
                "stable version is made of.",
                value=self.endpoint,
                remedy=f"Take {_PERCENT} out of the service to keep the newest version, or delete the service; then "
                "run the step again.",
            )
        version = version_in({**predictor, "name": _version_of(predictor)}, storage_uri_of(predictor) or "")
        return (None, version) if KNATIVE_VISIBILITY in service["metadata"]["labels"] else (version, None)

    def promoted(self, stable: Version, candidate: Version) -> bool:  # noqa: ARG002 - its place is the candidate's
        """Whether the service asks for nothing else."""
        spec = self._predictor()
        return _version_of(spec) == candidate.name and _PERCENT not in spec

    def check(self, stable: Version | None, candidate: Version) -> None:
        """By KServe's rules and by a dry run; what Knative refuses shows once it is applied."""
        manifest = self._manifest(stable, candidate)
        check(manifest)
        self.cluster.apply(manifest, dry_run=True)

    def restore(self, stable: Version) -> None:
        """Ends a way back that a step has not ended; all else KServe does itself."""
        if _version_of(self._predictor()) == stable.name and _PERCENT in self._predictor():
            self._come_back(stable)

    def start(self, stable: Version | None, candidate: Version) -> None:
        """As a revision at 0 %; a first version without a way in from outside."""
        if _version_of(self._predictor()) != candidate.name:
            if stable:
                self._wait_rolled_out(stable)
                self.change(self._manifest(stable, candidate))
            else:
                self.cluster.apply(self._manifest(None, candidate))
        self.watch.wait_ready(candidate, pods=candidate.min_pods)
        if stable:  # one that is taken up may have some already
            self._wait_traffic(stable, candidate, int(self._predictor().get(_PERCENT, 100)))

    def shift(self, stable: Version, candidate: Version, weight: int) -> None:
        """Waits until callers get it so."""
        self._change(candidate, weight, back=weight == 0)
        self._wait_traffic(stable, candidate, weight)
        self.observe(self.entrance(), stable, candidate, weight)

    def let_go(self, stable: Version, candidate: Version) -> None:  # noqa: ARG002 - Knative knows who gets the rest
        """A percentage of zero."""
        self._change(candidate, 0, back=True)

    def promote(self, stable: Version | None, candidate: Version) -> None:
        """Without a percentage the newest revision has everything; Knative ends the pods of the one before it."""
        self.change(knative_service(self.endpoint, candidate))
        self.watch.wait_ready(candidate, pods=candidate.min_pods)
        self._wait_rolled_out(candidate)
        # KServe tells the address later than the rest, and a first version had another one. A cluster may have no more.
        routes.until(lambda: bool(self._url()) and _LOCAL not in self._url(), 0 if stable else _MADE_PUBLIC_S)
        self.observe(self.entrance(), candidate, candidate, 100)

    def withdraw(self, stable: Version | None, candidate: Version) -> None:
        """First the traffic; then the stable version as a new revision, which takes over once it is ready."""
        if stable is None:
            self.delete_service()
            self.watch.wait_gone(candidate)
            return
        if _version_of(self._predictor()) == candidate.name:
            had_traffic = self.weight_of(candidate)
            if not self.weight_of(stable):
                self._wake(stable)
            # A broken gateway must not keep a broken candidate alive.
            with bearing("watching the traffic leave the candidate", UNSEEN):
                self.shift(stable, candidate, 0)
            if had_traffic:
                time.sleep(self.settings.drain_s)
            # Of what Knative refuses there is no revision. The stable one is the newest then, and KServe takes a
            # percentage on the newest for a way back to the one before it.
            made = routes.until(lambda: self.watch.deployment(candidate) is not None, _MADE_S)
            self._change(stable, 0 if made else None, back=True)
        self._come_back(stable)
        self.observe(self.entrance(), stable, stable, 100)

    def remove(self, versions: Sequence[Version]) -> None:
        """The service with all its revisions."""
        self.delete_service()
        for version in versions:
            self.watch.wait_gone(version)

    def _wake(self, stable: Version) -> None:
        """A version without any traffic has lost its pods by and by; requests would wait until it has some again."""
        address = self.watch.address(stable)

        def answers() -> bool:
            return routes.answering(address, self.endpoint) == stable.model_digest

        if not routes.until(answers, self.watch.serving.start_timeout_s):
            log.warning(f"{stable.name} does not answer, and gets the traffic back all the same")

    def _come_back(self, stable: Version) -> None:
        if _PERCENT in self._predictor():
            self.watch.wait_ready(stable, pods=stable.min_pods)
            self._change(stable, None, back=True)
        self._wait_rolled_out(stable)

    def _manifest(self, stable: Version | None, candidate: Version) -> dict[str, Any]:
        return knative_service(self.endpoint, candidate, 0 if stable else None, dark=stable is None)

    def _change(self, version: Version, percent: int | None, *, back: bool) -> None:
        """On the way back somebody's change is overwritten, with a warning: Knative made a revision of it at once.

        It has not proven itself, and a part of the traffic.
        """
        manifest = knative_service(self.endpoint, version, percent)
        try:
            self.change(manifest)
        except HeadwayError as error:
            if not back or error.code != "kubernetes.conflict":
                raise
            log.warning(f"the traffic goes back all the same, and what somebody has changed goes: {error.message}")
            self.change(manifest, force=True)

    def _predictor(self) -> dict[str, Any]:
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}
        gone = "deletionTimestamp" in service.get("metadata", {})
        return {} if gone else dict(service.get("spec", {}).get("predictor") or {})

    def _url(self) -> str:
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}
        return str(service.get("status", {}).get("url") or "")

    def _wait_rolled_out(self, version: Version) -> None:
        """Waits until KServe would give this version the rest of the traffic: it goes by its own note of that."""
        if not routes.until(lambda: self.watch.rolled_out() == version.name, self.settings.observe_timeout_s):
            raise self._astray(f"take {version.name} for rolled out", str(self.watch.status()))

    def _wait_traffic(self, stable: Version, candidate: Version, weight: int) -> None:
        shares = {candidate.name: weight, stable.name: 100 - weight}
        wanted = {name: share for name, share in shares.items() if share}
        if not routes.until(lambda: self.watch.traffic() == wanted, self.settings.observe_timeout_s):
            raise self._astray(f"give {wanted}", str(self.watch.traffic()))

    def _astray(self, wanted: str, found: str) -> HeadwayError:
        return HeadwayError(
            "deployment.ingress",
            f"Knative was to {wanted} for {self.endpoint}, but within {self.settings.observe_timeout_s:g} s it did "
            f"not: {found}.",
            value=self.endpoint,
            remedy=f"Look at the conditions of the Knative Service {self.endpoint}-predictor and of its route.",
        )


def _version_of(predictor: dict[str, Any]) -> str | None:
    return (predictor.get("annotations") or {}).get(VERSION)
