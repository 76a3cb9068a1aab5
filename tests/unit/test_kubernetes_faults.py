"""What our client makes of an API server whose certificate is wrong, and of one that asks to be left alone."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import CONFIG_MAP
from tests.certificates import self_signed

FOUND = {**CONFIG_MAP.head, "metadata": {"name": "one"}}
FAILED = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}

pytestmark = pytest.mark.network


@contextmanager
def api_server(answers: list[tuple[int, dict[str, str]]], pem: Path | None = None) -> Iterator[str]:
    """Gives one status and headers after the other, then a ConfigMap for ever; with a certificate, over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answers.pop(0) if answers else (200, {})
            body = json.dumps(FOUND if status == 200 else {**FAILED, "code": status, "message": "too busy"}).encode()
            self.send_response(status)
            told = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            for name, value in {**headers, **told}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{'https' if pem else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()


def client(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch, authority: bytes = b"", **options: float
) -> Cluster:
    """A client with a kubeconfig that trusts a certificate."""
    trusted = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "models"}}],
        "clusters": [{"name": "it", "cluster": {"server": server, **trusted}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    return Cluster(**options)


def test_a_certificate_that_has_expired_or_is_unknown_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {days: self_signed("127.0.0.1", tmp_path / f"{days}.pem", days=days) for days in (30, -1)}
    with api_server([], tmp_path / "30.pem") as server:
        assert client(server, tmp_path, monkeypatch, own[30]).get(CONFIG_MAP, "one")
    for served, trusted, said in ((-1, -1, "certificate has expired"), (30, -1, "self-signed certificate")):
        begun = time.monotonic()
        with api_server([], tmp_path / f"{served}.pem") as server, pytest.raises(HeadwayError, match=said) as error:
            client(server, tmp_path, monkeypatch, own[trusted]).get(CONFIG_MAP, "one")
        assert error.value.code == "kubernetes.certificate"
        assert server in error.value.message
        assert time.monotonic() - begun < 5, "nobody renews a certificate within the patience for one call"


def test_a_server_that_asks_for_patience_is_left_alone_for_as_long_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_server([(429, {"Retry-After": "2"})]) as server:
        begun = time.monotonic()
        assert client(server, tmp_path, monkeypatch).get(CONFIG_MAP, "one")
        assert 2 <= time.monotonic() - begun < 4


def test_a_server_that_asks_for_more_patience_than_there_is_is_named_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_server([(429, {"Retry-After": "60"})]) as server:
        begun = time.monotonic()
        with pytest.raises(HeadwayError, match="keeps answering 429 to get configmaps") as error:
            client(server, tmp_path, monkeypatch, patience_s=10).get(CONFIG_MAP, "one")
    assert error.value.code == "kubernetes.failing"
    assert time.monotonic() - begun < 5
