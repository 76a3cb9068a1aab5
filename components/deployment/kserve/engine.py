"""The engine `kserve`: a release behind an InferenceService, its traffic moved by the weights of an HTTPRoute.

Nothing is believed because the service's status says so: a version is ready when its own Deployment and its own pods
are and it answers; a weight is set when the gateway answers so. A version goes only after it had no traffic for a
while: KServe deletes Deployment and Service in one moment, and gateways follow later.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, bearing
from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Progress, Release
from headway.components.deployment.kserve.capabilities import canary_unknown, cannot_split
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.lease import HISTORY, EndpointLease, Record
from headway.components.deployment.kserve.manifest import (
    CONTAINER,
    Version,
    elsewhere,
    inference_service,
    kept_from,
    version_of,
)
from headway.components.deployment.kserve.rules import check
from headway.components.deployment.kserve.storage import storage_uri
from headway.components.deployment.kserve.watch import Watch

log = logging.getLogger("headway")


class KServeEngine:
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
        self.serving = serving
        self.settings = serving.kserve or KServe()
        self.cluster = Cluster(self.settings.namespace)
        self.lease = EndpointLease(self.cluster, model_name, serving.busy_timeout_s)
        self._watch = Watch(self.cluster, model_name, serving, self.settings)

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Holds the endpoint's Lease, and brings the record in line with what a killed step has done."""
        with self.lease.held():
            self._settle()
            yield

    def entrance(self) -> Address:
        """The gateway, with the name of the endpoint in the header Host."""
        return self._watch.entrance()

    def cannot_split(self) -> str | None:
        """Why weights would not work here."""
        return cannot_split(self._watch.capabilities(canary=self._knows_canary()))

    def stable(self, release: Release) -> Deployed | None:
        """What has the traffic; Kubernetes itself has brought it back if its pods had died."""
        record = self.lease.read()
        stable = record.stable
        if stable is None:
            return None
        asked = self._version(release)
        if stable.same_as(asked) and (stable.version, stable.environment) != (asked.version, asked.environment):
            labels = {"version": asked.version, "environment": asked.environment}
            stable = stable.model_copy(update=labels)
            self.lease.write(record.model_copy(update={"stable": stable}))
        return Deployed(stable.model_digest, self._watch.address(stable), as_asked=stable.same_as(asked))

    def candidate(self) -> Deployed | None:
        """What runs beside the stable version."""
        candidate = self.lease.read().candidate
        if candidate is None:
            return None
        return Deployed(candidate.model_digest, self._watch.address(candidate), as_asked=self._as_asked(candidate))

    def start(self, release: Release) -> Deployed:
        """Starts a candidate that gets no traffic, or adopts it, and waits until it is ready for real.

        Raises:
            HeadwayError: `deployment.*` from `reasons.py`, `deployment.server_slow`, `deployment.manifest_refused`,
                `deployment.cannot_split`; nothing of the candidate is left.
        """
        record, wanted = self.lease.read(), self._version(release)
        if record.candidate and not record.candidate.same_as(wanted):
            self._withdraw()
            record = self.lease.read()
        if record.candidate is None:
            if record.stable and record.stable.storage_uri == wanted.storage_uri:
                wanted = elsewhere(wanted)
            record = record.model_copy(update={"candidate": wanted})
            self._check(record)
            self.lease.write(record)
            kept = kept_from(record.stable, wanted) if record.stable else []
            if kept:
                told = f"until it is promoted, which replaces its pods, the candidate has also: {', '.join(kept)}"
                log.warning(f"{told}; KServe takes them from the stable version")
        candidate = record.candidate or wanted
        try:
            if self._watch.place_of(candidate) is None:
                self._apply(record, weight=0, dark=record.stable is None)
            self._watch.wait_ready(candidate, dark=record.stable is None)
            if record.stable:
                self._watch.prove_split(candidate)
        except HeadwayError:
            self._withdraw()
            raise
        return Deployed(candidate.model_digest, self._watch.address(candidate))

    def shift(self, candidate: Deployed, weight: int) -> None:
        """Sets the candidate's weight and waits until the gateway answers so.

        Raises:
            HeadwayError: `deployment.weight_not_observed`.
        """
        record, version = self._running(candidate)
        assert record.stable is not None
        self._apply(record, weight=weight)
        self._watch.wait_weight(record.stable, version, weight)

    def promote(self, candidate: Deployed) -> Deployed:
        """Makes the candidate the stable version, under the name that its pods have already."""
        record, new = self._running(candidate)
        old = record.stable
        if old:
            time.sleep(self.settings.drain_s)
        self._apply(Record(stable=new), weight=0)
        if old:
            self._watch.wait_gone(old)
        self._watch.wait_ready(new, pods=int(new.scaling["minReplicas"]))
        self._watch.wait_weight(new, new, 100)
        history = (old, *record.history)[:HISTORY] if old else record.history
        self.lease.write(record.model_copy(update={"stable": new, "candidate": None, "history": history}))
        return Deployed(new.model_digest, self._watch.address(new))

    def withdraw(self, candidate: Deployed) -> None:  # noqa: ARG002 - there is one at most
        """Gives the traffic back, sees that the stable version has it, waits, and only then ends the candidate."""
        self._withdraw()

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that the candidate's pods logged."""
        pods = self._watch.pods(self._running(candidate)[1])
        return "\n".join(self.cluster.log(pod["metadata"]["name"], CONTAINER, lines=30) for pod in pods[:3]).strip()

    def why_failed(self, candidate: Deployed) -> HeadwayError | None:
        """What its pods, events and logs say."""
        return self._watch.why(self._running(candidate)[1])

    def previous(self) -> str | None:
        """Digest of the release before this one."""
        record = self.lease.read()
        others = [v.model_digest for v in record.history if not record.stable or not v.same_as(record.stable)]
        return others[0] if others else None

    def progress(self) -> Progress | None:
        """What was noted last."""
        return self.lease.read().progress

    def note(self, progress: Progress | None) -> None:
        """Keeps it in the endpoint's record."""
        self.lease.write(self.lease.read().model_copy(update={"progress": progress}))

    def _running(self, candidate: Deployed) -> tuple[Record, Version]:
        """The record, and the candidate in it."""
        record = self.lease.read()
        if record.candidate is None or record.candidate.model_digest != candidate.model_digest:
            raise HeadwayError(
                "deployment.candidate_gone",
                f"The candidate {candidate.model_digest[:12]} of {self.endpoint} is no longer there.",
                value=self.endpoint,
                remedy="Find out who removed it, and run the step again.",
            )
        return record, record.candidate

    def _version(self, release: Release) -> Version:
        uri = storage_uri(release.uri, self.state_uri, self.settings.storage_uri)
        return version_of(release, uri, self.serving, self.settings)

    def _as_asked(self, version: Version) -> bool:
        """Whether a version of any release was started with the settings of now."""
        arguments = version.predictor["containers"][0]["args"]
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        threshold = given.get("--threshold")
        release = Release(
            model_name=self.endpoint,
            environment=version.environment,
            version=version.version,
            model_digest=version.model_digest,
            manifest_sha256=given["--manifest-sha256"],
            threshold=None if threshold is None else float(threshold),
            uri="",
        )
        return version_of(release, version.storage_uri, self.serving, self.settings).same_as(version)

    def _settle(self) -> None:
        """Brings the record in line with the service: a step may have been killed between the two."""
        record, service = self.lease.read(), self.cluster.get(INFERENCE_SERVICE, self.endpoint)
        if service is None:
            if record.stable or record.candidate:
                log.warning(f"the service {self.endpoint} is gone; somebody deleted it")
            settled = Record(history=record.history)
        elif record.stable is None and record.candidate is None:
            raise HeadwayError(
                "deployment.not_ours",
                f"There is an InferenceService {self.endpoint} already, and it is not a deployment of this suite.",
                value=self.endpoint,
                remedy="Give the model another name, or delete that service.",
            )
        else:
            settled = _in_line(record, service)
        if settled != record:
            self.lease.write(settled)

    def _knows_canary(self) -> bool:
        """Whether the server would take a canary beside the stable version; asked without changing anything."""
        stable = self.lease.read().stable
        if stable is None:
            return True
        try:
            self.cluster.apply(inference_service(self.endpoint, stable, elsewhere(stable)), dry_run=True)
        except HeadwayError as error:
            return not canary_unknown(error)
        return True

    def _check(self, record: Record) -> None:
        """Lets the rules, and the server with its webhooks, look at what is about to be applied."""
        assert record.candidate is not None
        stable = record.stable or record.candidate
        candidate = record.candidate if record.stable else None
        manifest = inference_service(self.endpoint, stable, candidate, 0, dark=record.stable is None)
        check(manifest)
        try:
            self.cluster.apply(manifest, dry_run=True)
        except HeadwayError as error:
            raise (self._watch.unsplit() if canary_unknown(error) else error) from None

    def _apply(self, record: Record, *, weight: int, dark: bool = False) -> None:
        stable = record.stable or record.candidate
        assert stable is not None
        candidate = record.candidate if record.stable else None
        self.cluster.apply(inference_service(self.endpoint, stable, candidate, weight, dark=dark))

    def _withdraw(self) -> None:
        record = self.lease.read()
        stable, candidate = record.stable, record.candidate
        if candidate and stable and self._watch.place_of(candidate) == "stable":
            self._bring_back(record, stable, candidate)
        elif candidate:
            if stable is None:
                self.cluster.delete(INFERENCE_SERVICE, self.endpoint)
            elif self._watch.place_of(candidate):
                self._take_away(record, stable, candidate)
            self._watch.wait_gone(candidate)
            if stable:
                self._watch.wait_weight(stable, stable, 100)
            self.lease.write(record.model_copy(update={"candidate": None}))

    def _take_away(self, record: Record, stable: Version, candidate: Version) -> None:
        """In two steps: first the traffic, then, once the gateway has followed and all is answered, the pods."""
        if self._watch.weight_of(candidate):
            self._apply(record, weight=0)
            # A broken gateway must not keep a broken candidate alive.
            with bearing(
                "watching the traffic leave the candidate", ("deployment.ingress", "deployment.weight_not_observed")
            ):
                self._watch.wait_weight(stable, candidate, 0)
            time.sleep(self.settings.drain_s)
        self._apply(Record(stable=stable), weight=0)

    def _bring_back(self, record: Record, stable: Version, promoted: Version) -> None:
        """After a promotion whose end was not seen: what had the traffic before comes back as a candidate does."""
        swapped = record.model_copy(update={"stable": promoted, "candidate": stable})
        self.lease.write(swapped)
        for weight in (0, 100):
            self._apply(swapped, weight=weight)
            self._watch.wait_ready(stable)
            self._watch.wait_weight(promoted, stable, weight)
        time.sleep(self.settings.drain_s)
        self._apply(Record(stable=stable), weight=0)
        self._watch.wait_gone(promoted)
        self._watch.wait_weight(stable, stable, 100)
        self.lease.write(record.model_copy(update={"candidate": None}))


def _in_line(record: Record, service: dict[str, Any]) -> Record:
    """The record after what the service shows."""
    running = service["spec"]["predictor"].get("name")
    canaries = [canary["predictor"].get("name") for canary in service["spec"].get("canary") or ()]
    candidate, stable = record.candidate, record.stable
    if candidate and stable and running == candidate.name:
        # Promoted, but the step was killed before it could note that.
        history = (stable, *record.history)[:HISTORY]
        return record.model_copy(update={"stable": candidate, "candidate": None, "history": history})
    if candidate and stable and candidate.name not in canaries:
        return record.model_copy(update={"candidate": None})
    return record
