"""The processes behind a local endpoint: its router and its model servers, started, awaited, swept."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Container
from pathlib import Path

from headway.components._shared.endpoints import ROUTER, Backend, processes
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.caller import Caller
from headway.components.deployment.engines import Address

_LOGS_KEPT = 5


class Servers:
    """The processes of one endpoint.

    Args:
        folder: The endpoint's.
        releases: Folder of the model's releases.
        model_name: The endpoint.
        patience_s: How long a process may take until it answers.
    """

    def __init__(self, folder: Path, releases: Path, model_name: str, patience_s: float) -> None:
        self.folder = folder
        self.releases = releases
        self.model_name = model_name
        self.patience_s = patience_s

    def start(self, backend: Backend) -> Backend:
        """Starts a model server, and waits until it is ready, on a socket bound here, so that nobody takes its port.

        Raises:
            HeadwayError: `deployment.server_died`, `deployment.server_slow`, with the end of the server's log.
        """
        with socket.socket() as address:
            address.bind(("127.0.0.1", 0))
            name, port = f"server-{backend.model_digest[:12]}-{time.time_ns()}", address.getsockname()[1]
            arguments = ["--model-dir", str(self.releases / backend.model_digest / "model")]
            arguments += ["--model-name", self.model_name, "--manifest-sha256", backend.manifest_sha256]
            arguments += ["--fd", str(address.fileno()), "--max-rows", str(backend.max_rows)]
            arguments += [] if backend.threshold is None else ["--threshold", repr(backend.threshold)]
            arguments += backend.log.arguments() if backend.log else []
            threads = {"OMP_NUM_THREADS": "1"}
            module = "headway.components.serving"
            fds = [address.fileno()]
            processes.start_detached(module, arguments, self.folder, name, fds=fds, environment=threads)
        started = backend.model_copy(update={"process": name, "port": port})
        try:
            self.wait_for(started.address, lambda digest: digest == backend.model_digest, name)
        except HeadwayError:
            processes.stop(self.folder, name, grace_s=0.5)
            raise
        return started

    def start_router(self, address: socket.socket | None) -> None:
        """Starts the router on the endpoint's address, unless it runs."""
        if processes.pid_of(self.folder, ROUTER) or address is None:
            return
        arguments = ["--folder", str(self.folder), "--fd", str(address.fileno())]
        module = "headway.components.deployment.local.router"
        processes.start_detached(module, arguments, self.folder, ROUTER, fds=[address.fileno()])

    def wait_for(self, url: str, right: Callable[[str], bool], process: str) -> None:
        """Asks an address which model is ready there until the answer is right; ends when the process has ended.

        Args:
            url: The address.
            right: Whether the digest that answered is the last one that was waited for.
            process: Whose end means that there is nothing more to wait for.
        """
        caller = Caller(Address(url), self.model_name)
        end = time.monotonic() + self.patience_s
        while processes.pid_of(self.folder, process):
            answer = caller.ready()
            if answer.status == 200 and answer.model_digest and right(answer.model_digest):
                return
            if time.monotonic() > end:
                what = f"did not answer at {url} within {self.patience_s:g} s"
                raise self._did_not_answer("deployment.server_slow", what, process)
            time.sleep(0.05 if answer.status != 200 else 0.005)
        raise self.died(process, f"instead of answering at {url}")

    def died(self, process: str, where: str = "by itself") -> HeadwayError:
        """The error for a process that has ended."""
        return self._did_not_answer("deployment.server_died", f"ended {where}", process)

    def sweep(self, wanted: Container[str]) -> None:
        """Ends every other process: its deployment died. Only the last logs are kept."""
        for name in processes.living(self.folder):
            if name not in wanted:
                processes.stop(self.folder, name, grace_s=1)
        logs = sorted(self.folder.glob("server-*.log"), key=lambda path: path.stat().st_mtime)
        for path in logs[:-_LOGS_KEPT]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*.pid"):
            if processes.pid_of(self.folder, path.stem) is None:
                path.unlink(missing_ok=True)

    def _did_not_answer(self, code: str, what: str, process: str) -> HeadwayError:
        kind = "router" if process == ROUTER else "model server"
        return HeadwayError(
            code,
            f"The {kind} of {self.model_name} {what}. The end of its log:\n"
            f"{processes.last_lines(self.folder, process) or '(empty)'}",
            value=str(processes.log_file(self.folder, process)),
            remedy="Cure what the log says; serving.start_timeout_s is how long it may take.",
        )
