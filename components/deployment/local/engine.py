"""The engine `local`: model servers as processes of this machine, behind a router that keeps their common address."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from headway.components._shared.endpoints import (
    ROUTER,
    Backend,
    Endpoint,
    deploying,
    endpoint_folder,
    endpoint_status,
    list_endpoints,
    processes,
    read_endpoint,
    remove_endpoint,
    write_endpoint,
)
from headway.components._shared.endpoints.log import log_key
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Look, Release, Running
from headway.components.deployment.local.door import Door
from headway.components.deployment.local.memory import Memory
from headway.components.deployment.local.servers import Servers

log = logging.getLogger("headway")


class LocalEngine(Memory):
    """Serves on this machine.

    Args:
        state_uri: A local state folder.
        model_name: The endpoint.
        serving: Port and timeouts.
    """

    name = "local"

    def __init__(self, state_uri: str, model_name: str, serving: Serving) -> None:
        super().__init__(endpoint_folder(state_uri, model_name))
        self.state_uri = state_uri
        self.model_name = model_name
        self.serving = serving.logging_to(str(self.folder.parents[1] / log_key(model_name)))
        releases = self.folder.parents[1] / "releases" / model_name
        self.servers = Servers(self.folder, releases, model_name, serving.start_timeout_s)
        self._backends: dict[str, Backend] = {}
        self._door = Door(self.folder, model_name, serving)
        self._was_down = False

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Takes the endpoint's lock, ends what a killed deployment left unrecorded, and makes sure of the address."""
        with deploying(self.folder, self.model_name, patience_s=self.serving.busy_timeout_s):
            found = endpoint_status(self.folder)
            self._was_down = found is not None and found.state != "serving"
            record = read_endpoint(self.folder)
            self.servers.sweep(
                [ROUTER, *(b.process for b in (record.current, record.candidate) if b)] if record else []
            )
            with self._door.held():
                yield

    def entrance(self) -> Address:
        """The router."""
        return Address(f"http://127.0.0.1:{self._door.port}")

    def traffic(self) -> str:
        """By the router."""
        return "weights of a router"

    def cannot_split(self) -> str | None:
        """The router splits by weights."""
        return None

    def stable(self, release: Release) -> Deployed | None:
        """The version with the traffic; a router or server that died or did not survive a reboot is started again."""
        record = self._running()
        if record is None:
            return None
        if record.current.model_digest == release.model_digest:
            labels = {"version": release.version, "environment": release.environment}
            record = record.model_copy(update={"current": record.current.model_copy(update=labels)})
        try:
            backend = self._revive(record)
        except HeadwayError as error:
            log.warning(f"the stable version cannot be brought back: {error}")
            return None
        return self._deployed(backend, as_asked=self._as_asked(backend), revived=self._was_down)

    def candidate(self) -> Deployed | None:
        """What the record says beside the stable version; it may have died."""
        record = self._running()
        if record is None or record.candidate is None:
            return None
        return self._deployed(record.candidate, as_asked=self._as_asked(record.candidate))

    def start(self, release: Release) -> Deployed:
        """Starts a server on a port of its own, or adopts the one that runs.

        Raises:
            HeadwayError: `deployment.server_died`, `deployment.server_slow`, with the end of the server's log.
        """
        wanted = Backend(
            process="",
            port=0,
            model_digest=release.model_digest,
            manifest_sha256=release.manifest_sha256,
            threshold=release.threshold,
            max_rows=self.serving.max_rows,
            log=self.serving.log,
            version=release.version,
            environment=release.environment,
        )
        record = self._running()
        left = record.candidate if record else None
        if left and processes.pid_of(self.folder, left.process):
            if left.model_copy(update={"process": "", "port": 0}) == wanted:
                return self._deployed(left)
            self.withdraw(self._deployed(left))
        backend = self.servers.start(wanted)
        if record is not None:
            write_endpoint(self.folder, record.model_copy(update={"candidate": backend, "weight": 0}))
        return self._deployed(backend)

    def shift(self, candidate: Deployed, weight: int) -> None:
        """Writes the weight, which the router follows, and asks until both have answered that should.

        Raises:
            HeadwayError: `deployment.server_slow`, `deployment.server_died`: the address does not answer so.
        """
        record, backend = read_endpoint(self.folder), self._backends[candidate.address.url]
        assert record is not None
        write_endpoint(self.folder, record.model_copy(update={"candidate": backend, "weight": weight}))
        missing = {backend.model_digest} if weight else set()
        missing |= {record.current.model_digest} if weight < 100 else set()

        def seen(digest: str) -> bool:
            missing.discard(digest)
            return not missing

        self.servers.wait_for(record.url, seen, backend.process)

    def let_go(self, candidate: Deployed) -> None:  # noqa: ARG002 - there is one at most
        """Writes a weight of zero."""
        if record := read_endpoint(self.folder):
            write_endpoint(self.folder, record.model_copy(update={"weight": 0}))

    def promote(self, candidate: Deployed) -> Deployed:
        """Makes it the router's own server, sees that the address answers with it, and lets the one before finish.

        Raises:
            HeadwayError: `deployment.server_slow`, `deployment.server_died`: it does not; stable is back.
        """
        before, backend = read_endpoint(self.folder), self._backends[candidate.address.url]
        record = Endpoint(model_name=self.model_name, port=self._door.port, current=backend)
        write_endpoint(self.folder, record)
        try:
            self._wait_for_entrance(record)
        except HeadwayError:
            write_endpoint(self.folder, before)
            raise
        if before is not None and before.current.process != backend.process:
            processes.stop(self.folder, before.current.process, grace_s=self.serving.drain_timeout_s)
        return self._deployed(backend, revived=self._was_down)

    def withdraw(self, candidate: Deployed) -> None:
        """Gives the router the stable version alone, sees that it answers, and lets the candidate finish."""
        record, backend = self._running(), self._backends[candidate.address.url]
        if record and record.current.process == backend.process:
            return
        weight = record.weight if record else 0
        try:
            if record:
                self._revive(record.model_copy(update={"candidate": None, "weight": 0}))
        finally:
            processes.stop(self.folder, backend.process, grace_s=self.serving.drain_timeout_s if weight else 1)

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that the candidate logged."""
        return processes.last_lines(self.folder, self._backends[candidate.address.url].process)

    def why_failed(self, candidate: Deployed) -> HeadwayError | None:
        """That its process has ended, if it has."""
        process = self._backends[candidate.address.url].process
        return None if processes.pid_of(self.folder, process) else self.servers.died(process)

    def replicas(self, version: Deployed) -> frozenset[str]:
        """Its one process, dead or alive: nobody takes one away here."""
        return frozenset({self._backends[version.address.url].process})

    def names(self) -> list[str]:
        """The endpoints of the state folder."""
        return [status.endpoint.model_name for status in list_endpoints(self.state_uri)]

    def look(self) -> Look:
        """Which processes live."""
        found = endpoint_status(self.folder)
        if found is None:
            return Look(stable=None)
        record = found.endpoint
        dead = found.log.stem if found.log and found.state == "dead" else None
        problem = f"its process {dead} ended by itself; the end of its log is in {found.log}" if dead else None
        return Look(
            stable=self._seen(record.current, 100 - record.weight, problem),
            candidate=self._seen(record.candidate, record.weight) if record.candidate else None,
            stopped=found.state == "stopped",
        )

    def remove(self) -> None:
        """Ends the processes and forgets the address."""
        if endpoint_status(self.folder):
            remove_endpoint(self.state_uri, self.model_name)

    def settings(self) -> dict[str, Any]:
        """What was asked for; a laptop has one environment."""
        return self.serving.model_dump(mode="json")

    def _seen(self, backend: Backend, weight: int, problem: str | None = None) -> Running:
        return Running(
            model_digest=backend.model_digest,
            version=backend.version,
            environment=backend.environment,
            ready=int(processes.pid_of(self.folder, backend.process) is not None),
            wanted=1,
            weight=weight,
            problem=problem,
        )

    def _as_asked(self, backend: Backend) -> bool:
        return (backend.max_rows, backend.log) == (self.serving.max_rows, self.serving.log)

    def _running(self) -> Endpoint | None:
        """The record, unless the endpoint was stopped on purpose."""
        record = read_endpoint(self.folder)
        return None if record is None or record.stopped else record

    def _revive(self, record: Endpoint) -> Backend:
        """Writes a record, and starts of it what does not run."""
        backend = record.current
        if processes.pid_of(self.folder, backend.process) is None:
            backend = self.servers.start(backend)
        record = record.model_copy(update={"current": backend, "port": self._door.port})
        write_endpoint(self.folder, record)
        self._wait_for_entrance(record)
        return backend

    def _wait_for_entrance(self, record: Endpoint) -> None:
        """Waits until the address answers, with the current version at some time."""
        self.servers.start_router(self._door.socket)
        if record.weight < 100:
            self.servers.wait_for(record.url, lambda digest: digest == record.current.model_digest, ROUTER)

    def _deployed(self, backend: Backend, *, as_asked: bool = True, revived: bool = False) -> Deployed:
        self._backends[backend.address] = backend
        instance = backend.address.removeprefix("http://")
        labels = {"selector": 'instance="$instance"', "instance": instance}
        address = Address(backend.address)
        return Deployed(backend.model_digest, address, as_asked=as_asked, revived=revived, labels=labels)
