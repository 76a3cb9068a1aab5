"""An API server with bad minutes: a proxy before the real one that refuses or cuts what it is told to."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        moment: `before` the real server has it, or `after`, when it has done it and the client does not know yet.
        method: GET and the like.
        path: With the query.
        body: What is sent.
    """

    moment: str
    method: str
    path: str
    body: bytes


@dataclass
class Fault:
    """What goes wrong, and how often still.

    Attributes:
        status: The answer's; 0 cuts the connection without one.
        times: How many requests it hits.
        method: Which it hits; empty for all.
        path: A part of their paths.
        retry_after_s: What the answer says of when to come again.
    """

    status: int
    times: int
    method: str = ""
    path: str = ""
    retry_after_s: int | None = None


class FaultyApi:
    """The proxy.

    Args:
        kubeconfig: How to reach the real server; its token goes with every request.
        folder: For the kubeconfig that leads through the proxy.
    """

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self.faults: list[Fault] = []
        self.hit: list[str] = []
        self.look: Callable[[Asked], bool] = lambda _: False  # sees every request twice; True cuts the connection
        self.watch_s = 3600.0  # after so long every watch is cut
        said = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        self.real = urlsplit(cluster["server"])
        self.token = user["token"]
        self.trust = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Through", (_Through,), {"api": self}))
        cluster.clear()
        cluster["server"] = f"http://127.0.0.1:{self.server.server_port}"
        self.kubeconfig = folder / "faulty.kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(said))

    def fail(self, status: int, times: int = 1, **which: Any) -> None:
        """Lets the next requests of that kind fail; `which` are the other attributes of `Fault`."""
        self.faults.append(Fault(status, times, **which))

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request, if any."""
        for fault in self.faults:
            if fault.times > 0 and fault.method in ("", method) and fault.path in path:
                fault.times -= 1
                self.hit.append(f"{method} {path}")
                return fault
        return None


@contextmanager
def faulty_api(kubeconfig: str, folder: Path) -> Iterator[FaultyApi]:
    """A proxy that runs until the block ends."""
    api = FaultyApi(kubeconfig, folder)
    threading.Thread(target=api.server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        api.server.shutdown()


class _Through(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FaultyApi

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked("before", self.command, self.path, body)
        fault = self.api.fault_for(self.command, self.path)
        if self.api.look(asked) or (fault and not fault.status):
            self.close_connection = True
        elif fault:
            self._refuse(fault)
        else:
            self._pass_on(asked)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

    def _refuse(self, fault: Fault) -> None:
        said: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.status}
        answer = json.dumps({**said, "message": "a bad minute", "reason": "InternalError"}).encode()
        self.send_response(fault.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        if fault.retry_after_s is not None:
            self.send_header("Retry-After", str(fault.retry_after_s))
        self.end_headers()
        self.wfile.write(answer)

    def _pass_on(self, asked: Asked) -> None:
        patience = self.api.watch_s if "watch=" in self.path else 60.0
        real = http.client.HTTPSConnection(
            self.api.real.hostname or "", self.api.real.port, timeout=patience, context=self.api.trust
        )
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in ("host", "authorization", "accept-encoding")
        }
        real.request(self.command, self.path, asked.body, {**headers, "Authorization": f"Bearer {self.api.token}"})
        answer = real.getresponse()
        if self.api.look(replace(asked, moment="after")):
            real.close()
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + patience
        try:
            while piece := answer.read1(65536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                if time.monotonic() > end:
                    self.close_connection = True
                    return
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has gone, or nothing happened for so long
            self.close_connection = True
        finally:
            real.close()

    def log_message(self, *args: object) -> None:
        """Says nothing."""
