"""The engine `kserve`: releases behind InferenceServices, one deployment at a time, in whichever way KServe can.

Nothing is believed because a service's status says so: a version is ready when its own Deployment and its own pods are
and it answers; traffic has moved when callers get the answers of the other version.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from headway.components._shared import images
from headway.components._shared.endpoints.log import log_key
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, in_cluster
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Look, Release, Running
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.lease import EndpointLease, Record
from headway.components.deployment.kserve.memory import Memory
from headway.components.deployment.kserve.recommender import Recommender
from headway.components.deployment.kserve.settling import settle, withdraw
from headway.components.deployment.kserve.storage import require_whole, root_in_pods, storage_uri
from headway.components.deployment.kserve.version import CONTAINER, Version, elsewhere, version_of
from headway.components.deployment.kserve.watch import Watch
from headway.components.deployment.kserve.ways.choice import noting_what_cannot_split, way_of, with_way
from headway.components.deployment.kserve.ways.way import Way

log = logging.getLogger("headway")


class KServeEngine(Memory):
    """Serves in a cluster.

    Args:
        state_uri: The state folder.
        model_name: The endpoint.
        serving: Limits and, in `kserve`, how pods are to be.
    """

    name = "kserve"

    def __init__(self, state_uri: str, model_name: str, serving: Serving) -> None:
        self.endpoint = model_name
        self.state_uri = state_uri
        self.kserve = serving.kserve or KServe()
        self.serving = serving.logging_to(f"{root_in_pods(state_uri, self.kserve.storage_uri)}/{log_key(model_name)}")
        self.cluster = Cluster(self.kserve.namespace)
        super().__init__(EndpointLease(self.cluster, model_name, serving.busy_timeout_s))
        self._watch = Watch(self.cluster, model_name, self.serving, self.kserve)
        self._recommender = Recommender(self.cluster, model_name)

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Holds the endpoint's Lease, and brings the record in line with what a killed step has done."""
        with self.lease.held():
            settle(self.lease, self._watch)
            yield

    def entrance(self) -> Address:
        """Where the way has it."""
        return self._way(self.lease.read()).entrance()

    def traffic(self) -> str:
        """How it moves here, and why so."""
        record = self.lease.read()
        return f"{record.way.replace('_', ' ')}, {record.way_reason or 'not chosen yet'}"

    def cannot_split(self) -> str | None:
        """What the way says."""
        record = self.lease.read()
        return self._way(record).cannot_split(record.stable) if record.stable else None

    def stable(self, release: Release) -> Deployed | None:
        """What has the traffic; Kubernetes itself has brought it back if its pods had died."""
        record = self.lease.read()
        stable = record.stable
        if stable is None:
            return None
        self._way(record).restore(stable)
        asked = self._version(release)
        if stable.same_as(asked) and (stable.version, stable.environment) != (asked.version, asked.environment):
            labels = {"version": asked.version, "environment": asked.environment}
            stable = stable.model_copy(update=labels)
            self.lease.write(record.model_copy(update={"stable": stable}))
        self._recommend(stable, record)
        return self._deployed(record, stable, as_asked=stable.same_as(asked))

    def candidate(self) -> Deployed | None:
        """What runs beside the stable version."""
        record = self.lease.read()
        candidate = record.candidate
        if candidate is None:
            return None
        as_asked = candidate.has_settings(self.endpoint, self.serving, self.kserve)
        return self._deployed(record, candidate, as_asked=as_asked)

    def start(self, release: Release) -> Deployed:
        """Starts a candidate that gets no traffic, or adopts it, and waits until it is ready for real.

        Raises:
            HeadwayError: `deployment.*` from `reasons.py`, `deployment.server_slow`, `deployment.manifest_refused`,
                `deployment.cannot_split`, `deployment.empty_file`, `deployment.out_of_reach`; nothing of the candidate
                is left.
        """
        record, wanted = self.lease.read(), self._version(release)
        if record.candidate and not record.candidate.same_as(wanted):
            withdraw(self.lease, self._watch)
            record = self.lease.read()
        if record.stable and not in_cluster():
            self._way(record).watch.require_reach(record.stable)
        if record.candidate is None:
            require_whole(release.uri, wanted.storage_uri)
            record = with_way(record, wanted, self._watch)
            if record.stable and record.stable.storage_uri == wanted.storage_uri:
                wanted = elsewhere(wanted)
            self._way(record).check(record.stable, wanted)
            record = record.model_copy(update={"candidate": wanted})
            self.lease.write(record)
        candidate = record.candidate or wanted
        try:
            with noting_what_cannot_split(self.lease):
                self._way(record).start(record.stable, candidate)
        except HeadwayError as error:
            self._end_what_did_not_start(error)
            raise
        return self._deployed(record, candidate)

    def shift(self, candidate: Deployed, weight: int) -> None:
        """Moves the traffic, and waits until callers get it so.

        Raises:
            HeadwayError: `deployment.weight_not_observed`, `deployment.ingress`.
        """
        record, version = self._running(candidate)
        assert record.stable is not None
        self._way(record).shift(record.stable, version, weight)

    def let_go(self, candidate: Deployed) -> None:  # noqa: ARG002 - there is one at most
        """By the record as it was read or written last."""
        record = self.lease.last
        if record.stable and record.candidate:
            self._way(record).let_go(record.stable, record.candidate)

    def promote(self, candidate: Deployed) -> Deployed:
        """Makes the candidate the stable version."""
        record, version = self._running(candidate)
        with noting_what_cannot_split(self.lease):
            self._way(record).promote(record.stable, version)
        self.lease.write(record.promoted())
        self._recommend(version, record)
        return self._deployed(record, version)

    def withdraw(self, candidate: Deployed) -> None:  # noqa: ARG002 - there is one at most
        """Gives the traffic back, sees that the stable version has it, waits, and only then ends the candidate."""
        withdraw(self.lease, self._watch)

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that the candidate's pods logged."""
        pods = self._pods(candidate)
        return "\n".join(self.cluster.log(pod["metadata"]["name"], CONTAINER, lines=30) for pod in pods[:3]).strip()

    def why_failed(self, candidate: Deployed) -> HeadwayError | None:
        """What its pods, events and logs say; or that somebody has taken it away."""
        try:
            record, version = self._running(candidate)
            return self._way(record).watch.fault(version)
        except HeadwayError as error:
            if error.code not in ("deployment.candidate_gone", "deployment.endpoint_gone"):
                raise
            return error

    def replicas(self, version: Deployed) -> frozenset[str]:
        """The pods that are not on their way out, by their uid."""
        return frozenset(pod["metadata"]["uid"] for pod in self._pods(version))

    def look(self) -> Look:
        """What the record knows, and how its pods are."""
        record = self.lease.read()
        way = self._way(record)

        def seen(version: Version | None) -> Running | None:
            return way.watch.seen(version, weight=way.weight_of(version)) if version else None

        return Look(seen(record.stable), seen(record.candidate), recommended=self._recommender.found())

    def remove(self) -> None:
        """Ends every version and empties the record."""
        with self.deploying():
            record = self.lease.read()
            self._way(record).remove([version for version in (record.stable, record.candidate) if version])
            self._recommender.end()
            self.lease.write(Record(unsplit=record.unsplit))

    def settings(self) -> dict[str, Any]:
        """What was asked for, with the image."""
        fixed = self.kserve.model_copy(update={"image": self.kserve.image or images.reference("serving")})
        return self.serving.model_copy(update={"kserve": fixed}).model_dump(mode="json")

    def _recommend(self, version: Version, record: Record) -> None:
        deployment = self._way(record).watch.deployment(version) if self.kserve.recommend_resources else None
        if deployment:
            self._recommender.watch(deployment["metadata"]["name"])
        elif not self.kserve.recommend_resources:
            self._recommender.end()

    def _deployed(self, record: Record, version: Version, *, as_asked: bool = True) -> Deployed:
        watch = self._way(record).watch
        return Deployed(version.model_digest, watch.address(version), as_asked=as_asked, labels=watch.labels(version))

    def _end_what_did_not_start(self, why: HeadwayError) -> None:
        """Where that fails too, what had failed first is still what is told first."""
        try:
            withdraw(self.lease, self._watch)
        except HeadwayError as error:
            raise HeadwayError(
                why.code,
                f"{why.message} Ending the candidate failed too: {error.message}",
                value=why.value,
                remedy=f"{why.remedy} {error.remedy} The next step, or finish_rollout, ends what is left.",
            ) from why

    def _pods(self, deployed: Deployed) -> list[dict[str, Any]]:
        record = self.lease.read()
        watch, stable = self._way(record).watch, record.stable
        if stable and stable.model_digest == deployed.model_digest and watch.labels(stable) == deployed.labels:
            return watch.pods(stable)
        record, version = self._running(deployed)
        return watch.pods(version)

    def _running(self, candidate: Deployed) -> tuple[Record, Version]:
        """The record, and the candidate in it, which is there still."""
        record = self.lease.read()
        version = record.candidate
        way = self._way(record)
        if version and version.model_digest == candidate.model_digest and way.runs(version):
            return record, version
        if record.stable is None or not way.runs(record.stable):
            raise self._watch.endpoint_gone()
        raise HeadwayError(
            "deployment.candidate_gone",
            f"Somebody has removed the candidate {candidate.model_digest[:12]} of {self.endpoint}.",
            value=self.endpoint,
            remedy="Find out who it was (the audit log), and run the step again: it starts the candidate anew.",
        )

    def _version(self, release: Release) -> Version:
        uri = storage_uri(release.uri, self.state_uri, self.kserve.storage_uri)
        return version_of(release, uri, self.serving, self.kserve)

    def _way(self, record: Record) -> Way:
        return way_of(record, self._watch)
