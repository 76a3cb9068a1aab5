"""The engine `local`: model servers as processes of this machine, behind a router that keeps their common address."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Iterator

from headway.components._shared.endpoints import (
    ROUTER,
    Backend,
    Endpoint,
    deploying,
    endpoint_folder,
    endpoint_status,
    processes,
    read_endpoint,
    write_endpoint,
)
from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Release

log = logging.getLogger("headway")

_LOGS_KEPT = 5


class LocalEngine:
    """Serves on this machine.

    Args:
        state_uri: A local state folder.
        model_name: The endpoint.
        serving: Port and timeouts.
    """

    name = "local"

    def __init__(self, state_uri: str, model_name: str, serving: Serving) -> None:
        self.folder = endpoint_folder(state_uri, model_name)
        self.releases = self.folder.parents[1] / "releases" / model_name
        self.model_name = model_name
        self.serving = serving
        self._backends: dict[str, Backend] = {}
        self._address: socket.socket | None = None
        self._port = 0
        self._was_down = False

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Takes the endpoint's lock, ends what a killed deployment left, and makes sure of the address."""
        with deploying(self.folder, self.model_name, patience_s=self.serving.busy_timeout_s):
            found = endpoint_status(self.folder)
            self._was_down = found is not None and found.state != "serving"
            self._sweep()
            self._secure_address()
            try:
                yield
            finally:
                if self._address is not None:
                    self._address.close()

    def stable(self, release: Release) -> Deployed | None:
        """The version with the traffic; a router or server that died or did not survive a reboot is started again."""
        record = read_endpoint(self.folder)
        if record is None or record.stopped:
            return None
        backend = record.current
        if backend.model_digest == release.model_digest:
            labels = {"version": release.version, "environment": release.environment}
            backend = backend.model_copy(update=labels)
        try:
            if processes.pid_of(self.folder, backend.process) is None:
                backend = self._start_server(backend)
            record = record.model_copy(update={"current": backend, "port": self._port})
            write_endpoint(self.folder, record)
            self._start_router()
            self._wait_for_answer(record.url, backend.model_digest, ROUTER)
        except HeadwayError as error:
            log.warning(f"the stable version cannot be brought back: {error}")
            return None
        as_asked = backend.max_rows == self.serving.max_rows
        return Deployed(backend.model_digest, Address(record.url), as_asked=as_asked, revived=self._was_down)

    def start(self, release: Release) -> Deployed:
        """Starts a server on a port of its own and waits until the model is ready.

        Raises:
            HeadwayError: `deployment.server_died`, `deployment.server_slow`, with the end of the server's log.
        """
        backend = Backend(
            process="",
            port=0,
            model_digest=release.model_digest,
            manifest_sha256=release.manifest_sha256,
            threshold=release.threshold,
            max_rows=self.serving.max_rows,
            version=release.version,
            environment=release.environment,
        )
        backend = self._start_server(backend)
        url = f"http://127.0.0.1:{backend.port}"
        self._backends[url] = backend
        return Deployed(backend.model_digest, Address(url))

    def shift(self, candidate: Deployed) -> Deployed:
        """Points the router at the candidate, sees that it does, and lets the server before it finish.

        Raises:
            HeadwayError: `deployment.server_slow`, `deployment.server_died`: the address does not answer with the
                candidate; stable is back.
        """
        before, backend = read_endpoint(self.folder), self._backends[candidate.address.url]
        older = before and (before.previous if before.current.model_digest == backend.model_digest else before.current)
        record = Endpoint(model_name=self.model_name, port=self._port, current=backend, previous=older)
        write_endpoint(self.folder, record)
        try:
            self._start_router()
            self._wait_for_answer(record.url, backend.model_digest, ROUTER)
        except HeadwayError:
            write_endpoint(self.folder, before)
            raise
        if before is not None and before.current.process != backend.process:
            processes.stop(self.folder, before.current.process, grace_s=self.serving.drain_timeout_s)
        return Deployed(backend.model_digest, Address(record.url), revived=self._was_down)

    def discard(self, candidate: Deployed) -> None:
        """Ends the candidate."""
        processes.stop(self.folder, self._backends[candidate.address.url].process, grace_s=1)

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that the candidate logged."""
        return processes.last_lines(self.folder, self._backends[candidate.address.url].process)

    def previous(self) -> str | None:
        """Digest of the release before this one."""
        record = read_endpoint(self.folder)
        return record.previous.model_digest if record and record.previous else None

    def _sweep(self) -> None:
        """Ends servers that have no traffic: their deployment died. Only the last logs are kept."""
        record = read_endpoint(self.folder)
        wanted = {ROUTER, record.current.process} if record else set()
        for name in set(processes.living(self.folder)) - wanted:
            processes.stop(self.folder, name, grace_s=1)
        logs = sorted(self.folder.glob("server-*.log"), key=lambda path: path.stat().st_mtime)
        for path in logs[:-_LOGS_KEPT]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*.pid"):
            if processes.pid_of(self.folder, path.stem) is None:
                path.unlink(missing_ok=True)

    def _secure_address(self) -> None:
        """Takes the endpoint's port before anything starts, unless our own router has it already."""
        record = read_endpoint(self.folder)
        wanted = self._port = self.serving.port or (record.port if record else 0)
        routing = processes.pid_of(self.folder, ROUTER) is not None
        if routing and record and wanted == record.port:
            return
        self._address = socket.socket()
        self._address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._address.bind(("127.0.0.1", wanted))
        except OSError as error:
            self._address.close()
            raise HeadwayError(
                "deployment.port_taken",
                f"Port {wanted} of 127.0.0.1, the address of the endpoint {self.model_name}, cannot be opened: "
                f"{error.strerror}.",
                value=wanted,
                remedy="End the program that listens there, or give another port in serving.port.",
            ) from None
        self._port = self._address.getsockname()[1]
        if routing:
            processes.stop(self.folder, ROUTER, grace_s=self.serving.drain_timeout_s)

    def _start_router(self) -> None:
        if processes.pid_of(self.folder, ROUTER) or self._address is None:
            return
        fd = self._address.fileno()
        arguments = ["--folder", str(self.folder), "--fd", str(fd)]
        module = "headway.components.deployment.router"
        processes.start_detached(module, arguments, self.folder, ROUTER, fds=[fd])

    def _start_server(self, backend: Backend) -> Backend:
        """Starts the server of a backend on a socket that is bound here, so that nobody takes its port meanwhile."""
        with socket.socket() as address:
            address.bind(("127.0.0.1", 0))
            name, port = f"server-{backend.model_digest[:12]}-{time.time_ns()}", address.getsockname()[1]
            arguments = ["--model-dir", str(self.releases / backend.model_digest / "model")]
            arguments += ["--model-name", self.model_name, "--manifest-sha256", backend.manifest_sha256]
            arguments += ["--fd", str(address.fileno()), "--max-rows", str(backend.max_rows)]
            arguments += [] if backend.threshold is None else ["--threshold", repr(backend.threshold)]
            threads = {"OMP_NUM_THREADS": "1"}
            module = "headway.components.serving"
            fds = [address.fileno()]
            processes.start_detached(module, arguments, self.folder, name, fds=fds, environment=threads)
        try:
            self._wait_for_answer(f"http://127.0.0.1:{port}", backend.model_digest, name)
        except HeadwayError:
            processes.stop(self.folder, name, grace_s=0.5)
            raise
        return backend.model_copy(update={"process": name, "port": port})

    def _wait_for_answer(self, url: str, model_digest: str, process: str) -> None:
        """Waits until the model answers at an address with the digest that it should have."""
        patience_s = self.serving.start_timeout_s
        deadline = time.monotonic() + patience_s
        while processes.pid_of(self.folder, process):
            if _answering(url, self.model_name) == model_digest:
                return
            if time.monotonic() > deadline:
                what = f"did not answer at {url} within {patience_s:g} s"
                raise self._did_not_answer("deployment.server_slow", what, process)
            time.sleep(0.05)
        raise self._did_not_answer("deployment.server_died", f"ended instead of answering at {url}", process)

    def _did_not_answer(self, code: str, what: str, process: str) -> HeadwayError:
        kind = "router" if process == ROUTER else "model server"
        return HeadwayError(
            code,
            f"The {kind} of {self.model_name} {what}. The end of its log:\n"
            f"{processes.last_lines(self.folder, process) or '(empty)'}",
            value=str(processes.log_file(self.folder, process)),
            remedy="Cure what the log says; serving.start_timeout_s is how long it may take.",
        )


def _answering(url: str, model_name: str) -> str | None:
    """The digest of the model that is ready at an address."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", f"/v2/models/{model_name}/ready")
        answer = connection.getresponse()
        answer.read()
        return answer.headers[DIGEST_HEADER] if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
