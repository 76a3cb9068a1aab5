"""One deployment at a time to an endpoint, and what is remembered of it: a Lease with the record in an annotation.

The record is not kept on the InferenceService, since KServe copies its annotations into every pod's template: each
note would replace the pods.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import OUTAGES, Cluster, bearing
from headway.components._shared.kubernetes.kinds import LEASE
from headway.components.deployment.kserve.config import WayName
from headway.components.deployment.kserve.version import Version
from headway.components.deployment.memory import History, Progress

log = logging.getLogger("headway")

RECORD = "headway/record"
_PREFIX = "headway-"
_DURATION_S = 20
_RENEW_S = 5.0
_POLL_S = 0.5


class Record(Config):
    """What is remembered of an endpoint.

    Attributes:
        stable: What has the traffic.
        candidate: What runs beside it, or is about to.
        history: What has and had the traffic.
        progress: Of the rollout that is under way.
        way: How traffic moves between its versions.
        way_reason: Why it is that way.
        unsplit: What was seen when weights were tried and did not move traffic; None while that did not happen.
    """

    schema_version: Literal[1] = 1
    stable: Version | None = None
    candidate: Version | None = None
    history: History = History()
    progress: Progress | None = None
    way: WayName = "weights"
    way_reason: str = ""
    unsplit: str | None = None

    def promoted(self) -> Record:
        """Once the candidate is the stable version."""
        return self.model_copy(update={"stable": self.candidate, "candidate": None})


class EndpointLease:
    """The Lease of one endpoint.

    Args:
        cluster: Where.
        endpoint: Its name.
        patience_s: How long another deployment is waited for.

    Attributes:
        last: The record as it was read or written last.
    """

    def __init__(self, cluster: Cluster, endpoint: str, patience_s: float) -> None:
        self.name = f"{_PREFIX}{endpoint}"
        self._cluster = cluster
        self._endpoint = endpoint
        self._patience_s = patience_s
        self._holder = f"{os.environ.get('HOSTNAME', 'headway')}-{uuid.uuid4().hex[:8]}"
        self._held = False
        self._lock = threading.Lock()
        self.last = Record()

    def endpoints(self) -> list[str]:
        """The endpoints of the namespace that have a record."""
        records = {lease["metadata"]["name"]: _record_of(lease) for lease in self._cluster.list(LEASE)}
        there = [name for name, r in records.items() if r.stable or r.candidate or r.history != History()]
        return sorted(name.removeprefix(_PREFIX) for name in there)

    def read(self) -> Record:
        """The record; an empty one where there is none."""
        found = self._cluster.get(LEASE, self.name)
        if found or not self._held:  # while it is held, somebody may have deleted it: the next write brings it back
            self.last = _record_of(found or {})
        return self.last

    def write(self, record: Record) -> None:
        """Replaces the record; only while the lease is held.

        Raises:
            HeadwayError: `endpoint.busy`: another deployment has taken the lease meanwhile.
        """
        self._update(record)
        self.last = record

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps every other deployment to this endpoint out.

        Raises:
            HeadwayError: `endpoint.busy`.
        """
        self._take()
        self._held = True
        self.read()
        over = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(over,), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            over.set()
            renewal.join()
            with bearing("giving the lease back (it runs out by itself)", (*OUTAGES, "endpoint.busy")):
                self._update(holder="")
            self._held = False

    def _take(self) -> None:
        """Takes a lease that is free, or whose holder has shown no sign of life while we watched."""
        end = time.monotonic() + self._patience_s
        seen, since = None, time.monotonic()
        while True:
            found = self._cluster.get(LEASE, self.name)
            spec = (found or {}).get("spec") or {}
            if (spec.get("holderIdentity"), spec.get("renewTime")) != seen:
                seen, since = (spec.get("holderIdentity"), spec.get("renewTime")), time.monotonic()
            # Our own name is there when the answer to our request was lost.
            if spec.get("holderIdentity") in (None, "", self._holder) or time.monotonic() - since > _DURATION_S:
                try:
                    self._write(found or {**LEASE.head, "metadata": {"name": self.name}}, self._holder)
                    return
                except HeadwayError as error:
                    if error.code not in ("kubernetes.conflict", "kubernetes.exists"):
                        raise
            if time.monotonic() > end:
                raise self._busy(str(spec.get("holderIdentity")))
            time.sleep(_POLL_S)

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(_RENEW_S):
            try:
                self._update()
            except HeadwayError as error:
                log.warning(f"the lease {self.name} could not be renewed: {error.message}")

    def _update(self, record: Record | None = None, holder: str | None = None) -> None:
        """Writes the lease as long as it is ours, whoever else has touched the object."""
        with self._lock:
            while True:
                found = self._cluster.get(LEASE, self.name)
                if found is None and holder == "":
                    return
                if found is None and self._held:
                    log.warning(f"somebody has deleted the lease {self.name}; it is written anew")
                    found, record = {**LEASE.head, "metadata": {"name": self.name}}, record or self.last
                elif found is None or found["spec"].get("holderIdentity") != self._holder:
                    raise self._busy(str((found or {}).get("spec", {}).get("holderIdentity")))
                if record is not None:
                    annotations = found["metadata"].get("annotations") or {}
                    content = json.dumps(record.model_dump(mode="json"), sort_keys=True)
                    found["metadata"]["annotations"] = {**annotations, RECORD: content}
                try:
                    self._write(found, self._holder if holder is None else holder)
                    return
                except HeadwayError as error:
                    if error.code not in ("kubernetes.conflict", "kubernetes.exists"):
                        raise

    def _write(self, manifest: dict[str, Any], holder: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": holder, "leaseDurationSeconds": _DURATION_S, "renewTime": now}
        lease = {**LEASE.head, "metadata": manifest["metadata"], "spec": spec}
        if "resourceVersion" in manifest["metadata"]:
            self._cluster.replace(lease)
        else:
            self._cluster.create(lease)

    def _busy(self, holder: str) -> HeadwayError:
        return HeadwayError(
            "endpoint.busy",
            f"Another deployment to {self._endpoint} is under way.",
            value=holder,
            remedy="Let it end; serving.busy_timeout_s is how long to wait for it.",
        )


def _record_of(lease: Mapping[str, Any]) -> Record:
    text = (lease.get("metadata", {}).get("annotations") or {}).get(RECORD)
    return parse(Record, json.loads(text), parameter="record") if text else Record()
