"""A real GCS server for tests, and a proxy in front of a server that injects faults."""

from __future__ import annotations

import contextlib
import functools
import lzma
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from pathlib import Path

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "gcs" / "fake-gcs-server.xz"
WHERE = "set HEADWAY_GCS_SERVER or put fake-gcs-server on PATH"


@functools.cache
def server_binary() -> str | None:
    """Path of the GCS server, or None where there is none."""
    named = os.environ.get("HEADWAY_GCS_SERVER") or shutil.which("fake-gcs-server")
    if named or not BESIDE_THE_CHECKOUT.is_file():
        return named
    binary = Path(tempfile.gettempdir()) / f"headway-gcs-server-{os.getuid()}-{BESIDE_THE_CHECKOUT.stat().st_size}"
    if not binary.exists():
        aside = binary.with_name(f"{binary.name}-{os.getpid()}")
        with lzma.open(BESIDE_THE_CHECKOUT) as packed, aside.open("wb") as file:
            shutil.copyfileobj(packed, file)
        aside.chmod(0o755)
        aside.replace(binary)
    return str(binary)


@contextlib.contextmanager
def gcs_server(*buckets: str) -> Iterator[str]:
    """Runs a GCS server with these buckets and gives its address; sets STORAGE_EMULATOR_HOST meanwhile.

    Skips the test, in one line, where there is no server to run.
    """
    import pytest

    binary = server_binary()
    if binary is None:
        pytest.skip(f"no GCS server here: {WHERE}")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
        command = [binary, *arguments, "-public-host", f"127.0.0.1:{port}", "-log-level", "error"]
        with (Path(folder) / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                _await(port)
                for bucket in buckets:
                    create_bucket(address, bucket)
                with environment(STORAGE_EMULATOR_HOST=address):
                    yield address
            finally:
                process.terminate()


def create_bucket(address: str, bucket: str) -> None:
    """Creates a bucket on a server."""
    body = f'{{"name": "{bucket}"}}'.encode()
    request = urllib.request.Request(
        f"{address}/storage/v1/b?project=test", data=body, headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FaultyProxy:
    """An HTTP server in front of another one that spoils the requests it is told to spoil, then passes everything on.

    Faults are queued with `inject`, each is spent on one request: `503` and `403` answer so without asking the server,
    `cut` hangs up at once, `cut_answer` passes the request on and hangs up in the middle of the answer, `lose_answer`
    passes the request on and hangs up before the answer. Only requests about objects are spoiled: the client library
    also asks for the bucket, from a thread of its own.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._faults: deque[str] = deque()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self.spent: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def inject(self, *faults: str) -> None:
        """Queues faults for the next connections."""
        self._faults.extend(faults)

    def close(self) -> None:
        """Stops listening."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        """One request a connection: the proxy asks both sides to close, so that each fault meets one request."""
        with client, contextlib.suppress(OSError):
            request = _read_message(client)
            if not request:
                return
            about_objects = b"/o" in request.partition(b"\r\n")[0]
            fault = self._faults.popleft() if self._faults and about_objects else None
            if fault:
                self.spent.append(fault)
            if fault in ("403", "503"):
                status = f"HTTP/1.1 {fault} Injected\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
                client.sendall(status.encode() + b"busy")
            elif fault != "cut":
                answer = self._ask(request)
                if fault == "cut_answer":
                    client.sendall(answer[: len(answer) * 2 // 3])
                elif fault != "lose_answer":
                    client.sendall(answer)

    def _ask(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        with socket.create_connection(("127.0.0.1", self._target), timeout=30) as server:
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            pieces = []
            while piece := server.recv(1 << 16):
                pieces.append(piece)
        return b"".join(pieces)


def _read_message(connection: socket.socket) -> bytes:
    """One HTTP request with its body, by length or in chunks."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1 << 16)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if fields.get(b"expect") == b"100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(fields.get(b"content-length", 0))
    chunked = fields.get(b"transfer-encoding") == b"chunked"
    while len(body) < length or (chunked and not body.endswith(b"0\r\n\r\n")):
        piece = connection.recv(1 << 16)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


def _await(port: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
