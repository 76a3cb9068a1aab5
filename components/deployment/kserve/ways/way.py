"""What differs from one KServe to the next: how two versions run beside each other, and how the traffic moves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.capabilities import not_ours
from headway.components.deployment.kserve.manifest import is_ours
from headway.components.deployment.kserve.version import Version
from headway.components.deployment.kserve.watch import Watch

_LAG_S = 10.0
# A gateway that is not seen to follow; it must not keep a broken candidate alive.
UNSEEN = ("deployment.ingress", "deployment.weight_not_observed")


class Way(Protocol):
    """One way of it. It remembers nothing; every method may be called again after a kill at any point.

    `stable` is None for the first version of an endpoint, which gets its traffic by `promote`.
    """

    @property
    def watch(self) -> Watch:
        """How its versions are looked at."""

    def entrance(self) -> Address:
        """Where callers reach the endpoint, whichever version answers."""

    def cannot_split(self, stable: Version) -> str | None:
        """Why the traffic cannot be split by weights, in a sentence's words; None where it can."""

    def runs(self, version: Version) -> bool:
        """Whether the endpoint has this version, ready or not."""

    def weight_of(self, version: Version) -> float:
        """The percentage of the traffic that a version is to have."""

    def found(self) -> tuple[Version | None, Version | None] | None:
        """Stable version and candidate as the cluster shows them; None where the endpoint is not there in this way.

        Raises:
            HeadwayError: `deployment.not_ours`.
        """

    def promoted(self, stable: Version, candidate: Version) -> bool:
        """Whether the candidate has the traffic and the version before it is gone."""

    def check(self, stable: Version | None, candidate: Version) -> None:
        """Lets the rules, and the server with its webhooks, look at a candidate; nothing is changed.

        Raises:
            HeadwayError: `deployment.manifest_refused`, `deployment.cannot_split`, and what the server says.
        """

    def restore(self, stable: Version) -> None:
        """Makes the entrance lead to the stable version again, where somebody has deleted it."""

    def start(self, stable: Version | None, candidate: Version) -> None:
        """Starts a candidate without traffic, unless it runs, and returns once it is ready for real."""

    def shift(self, stable: Version, candidate: Version, weight: int) -> None:
        """Gives the candidate this percentage of the traffic, and returns once callers were seen to get it."""

    def let_go(self, stable: Version, candidate: Version) -> None:
        """Gives the stable version the traffic back and waits for nothing."""

    def promote(self, stable: Version | None, candidate: Version) -> None:
        """Ends the version before, which has no traffic by then; gives a first version its traffic."""

    def withdraw(self, stable: Version | None, candidate: Version) -> None:
        """Gives the traffic back, sees that it went, and ends the candidate; also one that was never started."""

    def remove(self, versions: Sequence[Version]) -> None:
        """Ends these versions, which are all there are, and the way to them."""


class OfEndpoint:
    """What each way knows of its endpoint.

    Args:
        watch: The endpoint.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.cluster = watch.cluster
        self.endpoint = watch.endpoint
        self.settings = watch.settings

    def change(self, manifest: Mapping[str, Any], *, yielding: str = "", taking: str = "", force: bool = False) -> None:
        """Applies to the service that is there: one that somebody has deleted must not come back, and be empty.

        Args:
            manifest: The InferenceService.
            yielding: As at `Cluster.apply`.
            taking: As there.
            force: As there.

        Raises:
            HeadwayError: `deployment.endpoint_gone`, `kubernetes.conflict`.
        """
        metadata = (self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}).get("metadata")
        if metadata is None or "deletionTimestamp" in metadata:
            raise self.watch.endpoint_gone()
        same = {**manifest, "metadata": {**manifest["metadata"], "uid": metadata["uid"]}}
        self.cluster.apply(same, yielding=yielding, taking=taking, force=force)

    def delete_service(self) -> None:
        """Deletes the service that has the endpoint's name, unless somebody has put one of their own in its place.

        Raises:
            HeadwayError: `deployment.not_ours`.
        """
        found = self.cluster.get(INFERENCE_SERVICE, self.endpoint)
        if found and not is_ours(found):
            raise not_ours("an InferenceService", self.endpoint)
        self.cluster.delete(INFERENCE_SERVICE, self.endpoint)

    def observe(self, entrance: Address, stable: Version, candidate: Version, weight: int) -> None:
        """Waits until callers get the answers of a split, as `routes.observe` does.

        Two versions of one model cannot be told apart by their answers: gateways get the time that they may need.
        """
        if candidate.name != stable.name and candidate.model_digest == stable.model_digest:
            time.sleep(max(_LAG_S, self.settings.drain_s))
            weight = 100
        routes.observe(
            entrance,
            self.endpoint,
            candidate=candidate.model_digest,
            stable=stable.model_digest,
            weight=weight,
            timeout_s=self.settings.observe_timeout_s,
        )
