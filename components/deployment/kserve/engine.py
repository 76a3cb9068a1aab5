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
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import DEPLOYMENT, EVENT, HTTP_ROUTE, INFERENCE_SERVICE, POD, SERVICE
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Progress, Release
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.capabilities import Capabilities, cannot_split
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.lease import HISTORY, EndpointLease, Record
from headway.components.deployment.kserve.manifest import (
    CONTAINER,
    PORT,
    VISIBILITY,
    Version,
    elsewhere,
    inference_service,
    kept_from,
    version_of,
)
from headway.components.deployment.kserve.reasons import INITIALIZER, Evidence, reason
from headway.components.deployment.kserve.rules import check
from headway.components.deployment.kserve.storage import storage_uri

log = logging.getLogger("headway")

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
_SPLIT_PROVEN_S = 20.0
_LAG_S = 10.0
_GONE_S = 120.0


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

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Holds the endpoint's Lease, and brings the record in line with what a killed step has done."""
        with self.lease.held():
            self._settle()
            yield

    def entrance(self) -> Address:
        """The gateway, with the name of the endpoint in the header Host."""
        route = self.cluster.get(HTTP_ROUTE, self.endpoint)
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
        return Address(self.settings.gateway.rstrip("/"), {"Host": host})

    def cannot_split(self) -> str | None:
        """Why weights would not work here."""
        return cannot_split(self._capabilities())

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
        return Deployed(stable.model_digest, self._address(stable), as_asked=stable.same_as(asked))

    def candidate(self) -> Deployed | None:
        """What runs beside the stable version."""
        candidate = self.lease.read().candidate
        if candidate is None:
            return None
        return Deployed(candidate.model_digest, self._address(candidate), as_asked=self._as_asked(candidate))

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
            if self._running_name(candidate) is None:
                self._apply(record, weight=0, dark=record.stable is None)
            self._wait_ready(candidate, dark=record.stable is None)
            if record.stable:
                self._prove_split(candidate)
        except HeadwayError:
            self._withdraw()
            raise
        return Deployed(candidate.model_digest, self._address(candidate))

    def shift(self, candidate: Deployed, weight: int) -> None:
        """Sets the candidate's weight and waits until the gateway answers so.

        Raises:
            HeadwayError: `deployment.weight_not_observed`.
        """
        record, version = self._running(candidate)
        assert record.stable is not None
        self._apply(record, weight=weight)
        self._wait_weight(record.stable, version, weight)

    def promote(self, candidate: Deployed) -> Deployed:
        """Makes the candidate the stable version, under the name that its pods have already."""
        record, new = self._running(candidate)
        old = record.stable
        if old:
            time.sleep(self.settings.drain_s)
        self._apply(Record(stable=new), weight=0)
        if old:
            self._wait_gone(old)
        self._wait_ready(new, pods=int(new.scaling["minReplicas"]))
        self._wait_weight(new, new, 100)
        history = (old, *record.history)[:HISTORY] if old else record.history
        self.lease.write(record.model_copy(update={"stable": new, "candidate": None, "history": history}))
        return Deployed(new.model_digest, self._address(new))

    def withdraw(self, candidate: Deployed) -> None:  # noqa: ARG002 - there is one at most
        """Gives the traffic back, sees that the stable version has it, waits, and only then ends the candidate."""
        self._withdraw()

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that the candidate's pods logged."""
        pods = self._pods(self._running(candidate)[1])
        return "\n".join(self.cluster.log(pod["metadata"]["name"], CONTAINER, lines=30) for pod in pods[:3]).strip()

    def why_failed(self, candidate: Deployed) -> HeadwayError | None:
        """What its pods, events and logs say."""
        return self._why(self._running(candidate)[1])

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

    def _capabilities(self) -> Capabilities:
        try:
            service, serves = self.cluster.get(INFERENCE_SERVICE, self.endpoint), True
        except HeadwayError as error:
            if error.code != "kubernetes.kind_missing":
                raise
            service, serves = None, False
        try:
            route, known = self.cluster.get(HTTP_ROUTE, self.endpoint), True
        except HeadwayError as error:
            if error.code != "kubernetes.kind_missing":
                raise
            route, known = None, False
        mode = (service or {}).get("status", {}).get("deploymentMode")
        return Capabilities(serves=serves, routes=known, canary=True, mode=mode, route=route)

    def _check(self, record: Record) -> None:
        """Lets the rules, and the server with its webhooks, look at what is about to be applied."""
        assert record.candidate is not None
        stable = record.stable or record.candidate
        candidate = record.candidate if record.stable else None
        manifest = inference_service(self.endpoint, stable, candidate, 0, dark=record.stable is None)
        check(manifest)
        self.cluster.apply(manifest, dry_run=True)

    def _apply(self, record: Record, *, weight: int, dark: bool = False) -> None:
        stable = record.stable or record.candidate
        assert stable is not None
        candidate = record.candidate if record.stable else None
        self.cluster.apply(inference_service(self.endpoint, stable, candidate, weight, dark=dark))

    def _withdraw(self) -> None:
        record = self.lease.read()
        stable, candidate = record.stable, record.candidate
        if candidate is None:
            return
        if stable is None:
            self.cluster.delete(INFERENCE_SERVICE, self.endpoint)
        elif self._running_name(candidate) is not None:
            if self._weight_of(candidate):
                self._apply(record, weight=0)
                with contextlib.suppress(HeadwayError):  # a broken gateway must not keep a broken candidate alive
                    self._wait_weight(stable, candidate, 0)
                time.sleep(self.settings.drain_s)
            self._apply(Record(stable=stable), weight=0)
        self._wait_gone(candidate)
        if stable:
            self._wait_weight(stable, stable, 100)
        self.lease.write(record.model_copy(update={"candidate": None}))

    def _running_name(self, version: Version) -> str | None:
        """The name of a version's predictor if the service has it."""
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint)
        spec = (service or {}).get("spec") or {}
        predictors = [spec.get("predictor") or {}, *(canary["predictor"] for canary in spec.get("canary") or ())]
        return version.name if version.name in [predictor.get("name") for predictor in predictors] else None

    def _weight_of(self, version: Version) -> float:
        """The share of the traffic that the route gives a version."""
        route = self.cluster.get(HTTP_ROUTE, self.endpoint)
        return routes.weights(route).get(version.named(self.endpoint), 0.0) if route else 0.0

    def _prove_split(self, candidate: Version) -> None:
        """A route that names the candidate, without traffic yet, is the first proof that this KServe moves weights."""

        def named() -> bool:
            route = self.cluster.get(HTTP_ROUTE, self.endpoint)
            return route is not None and candidate.named(self.endpoint) in routes.weights(route)

        if not routes.until(named, _SPLIT_PROVEN_S):
            why = self.cannot_split() or "its HTTPRoute does not name the candidate, as KServe does from 0.21 on"
            raise HeadwayError(
                "deployment.cannot_split",
                f"Traffic cannot be moved to a candidate of {self.endpoint}: {why}.",
                value=self.endpoint,
                remedy="Update KServe to 0.21 with the Gateway API, or deploy under another name.",
            )

    def _wait_weight(self, stable: Version, candidate: Version, weight: int) -> None:
        """Waits until the route says the weight and the gateway does it."""
        names = {candidate.named(self.endpoint): weight} if weight else {}
        if candidate.name != stable.name:
            names |= {stable.named(self.endpoint): 100 - weight} if weight < 100 else {}
        told: list[str] = []

        def set_() -> bool:
            route = self.cluster.get(HTTP_ROUTE, self.endpoint)
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
        if candidate.name != stable.name and candidate.model_digest == stable.model_digest:
            time.sleep(max(_LAG_S, self.settings.drain_s))  # their answers do not tell them apart
            weight = 100
        routes.observe(
            self.entrance(),
            self.endpoint,
            candidate=candidate.model_digest,
            stable=stable.model_digest,
            weight=weight,
            timeout_s=self.settings.observe_timeout_s,
        )

    def _wait_ready(self, version: Version, *, pods: int = 1, dark: bool = False) -> None:
        """Waits until a version's Deployment is there in full, and its Service answers with its digest."""
        patience_s = self.serving.start_timeout_s
        end, since, known = time.monotonic() + patience_s, time.monotonic(), ""
        while not self._ready(version, pods, dark):
            why = self._why(version)
            code = why.code.removeprefix("deployment.") if why else ""
            if code != known:
                known, since = code, time.monotonic()
            if why and time.monotonic() - since >= _FINAL_AFTER_S.get(code, patience_s):
                raise why
            if time.monotonic() > end:
                raise why or self._slow(version, patience_s)
            time.sleep(0.5)

    def _ready(self, version: Version, pods: int, dark: bool) -> bool:
        deployment = self.cluster.get(DEPLOYMENT, version.named(self.endpoint))
        if deployment is None:
            return False
        # KServe copies the service's labels into the pods: those of a first version are replaced when it gets a way in.
        if (VISIBILITY in (deployment["spec"]["template"]["metadata"].get("labels") or {})) != dark:
            return False
        status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        if status.get("observedGeneration") != deployment["metadata"]["generation"] or wanted < pods:
            return False
        if not wanted == status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas"):
            return False
        return routes.answering(self._address(version), self.endpoint) == version.model_digest

    def _wait_gone(self, version: Version) -> None:
        if not routes.until(lambda: self.cluster.get(DEPLOYMENT, version.named(self.endpoint)) is None, _GONE_S):
            raise HeadwayError(
                "deployment.not_gone",
                f"KServe has not ended {version.named(self.endpoint)} within {_GONE_S:g} s.",
                value=version.named(self.endpoint),
                remedy="Look at KServe's controller; run the step again once it works.",
            )

    def _address(self, version: Version) -> Address:
        """Straight at a version: its Service, or one of its pods where the Service has no address of its own."""
        name = version.named(self.endpoint)
        service = self.cluster.get(SERVICE, name)
        ip = (service or {}).get("spec", {}).get("clusterIP")
        if ip and ip != "None":
            return Address(f"http://{ip}:{service['spec']['ports'][0]['port']}")  # type: ignore[index]
        ready = [pod["status"]["podIP"] for pod in self._pods(version) if pod.get("status", {}).get("podIP")]
        return Address(f"http://{ready[0]}:{PORT}" if ready else f"http://{name}.{self.cluster.namespace}")

    def _pods(self, version: Version) -> list[dict[str, Any]]:
        found = self.cluster.list(POD, {"app": f"isvc.{version.named(self.endpoint)}"})
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def _why(self, version: Version) -> HeadwayError | None:
        pods = self._pods(version)
        names = {pod["metadata"]["name"] for pod in pods}
        events = [e for e in self.cluster.list(EVENT) if e["involvedObject"].get("name") in {*names, self.endpoint}]
        logs = {}
        for pod in pods:
            for status in _unwell(pod):
                name = pod["metadata"]["name"]
                logs[name, status] = self.cluster.log(name, status, lines=30)
        return reason(
            Evidence(
                service=self.cluster.get(INFERENCE_SERVICE, self.endpoint),
                deployment=self.cluster.get(DEPLOYMENT, version.named(self.endpoint)),
                pods=pods,
                events=events,
                logs=logs,
            )
        )

    def _slow(self, version: Version, patience_s: float) -> HeadwayError:
        return HeadwayError(
            "deployment.server_slow",
            f"{version.named(self.endpoint)} was not ready within {patience_s:g} s, and nothing says why.",
            value=version.named(self.endpoint),
            remedy="Raise serving.start_timeout_s; it covers pulling the image and loading the model.",
        )


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


def _unwell(pod: dict[str, Any]) -> Iterator[str]:
    status = pod.get("status") or {}
    for found in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        if found["name"] in (INITIALIZER, CONTAINER):
            ended = found.get("state", {}).get("terminated") or found.get("lastState", {}).get("terminated")
            if ended and ended.get("exitCode"):
                yield found["name"]
