"""The webhook: what a real server gets, and what becomes of one that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headway.components.alerting.config import Webhook
from headway.components.alerting.webhook import Delivery, deliver


@dataclass
class Sink:
    """A server that answers with the given codes in turn, the last one for ever, and keeps what it got."""

    codes: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    silent_s: float = 0.0
    got: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    url: str = ""
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            if state.silent_s:
                state.release.wait(state.silent_s)
            code = state.codes.pop(0) if len(state.codes) > 1 else state.codes[0]
            self.send_response(code)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/hook/secret-token"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    state.release.set()
    server.shutdown()
    server.server_close()


def send(sink: Sink, **settings: float) -> tuple[Delivery, list[float]]:
    pauses: list[float] = []
    webhook = Webhook.model_validate({"url_env": "HOOK", **settings})
    result = deliver({"text": "hé <b>"}, webhook, environment={"HOOK": sink.url}, pause=pauses.append)
    return result, pauses


@pytest.mark.network
def test_the_payload_arrives_as_json(sink: Sink) -> None:
    delivery, pauses = send(sink)

    assert delivery == Delivery(True, 1)
    assert sink.got == [("/hook/secret-token", "application/json; charset=utf-8", {"text": "hé <b>"})]
    assert pauses == []


@pytest.mark.network
@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again_with_growing_pauses(sink: Sink, code: int) -> None:
    sink.codes = [code, code, 200]
    delivery, pauses = send(sink)

    assert delivery == Delivery(True, 3)
    assert pauses == [1.0, 2.0]


@pytest.mark.network
@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(sink: Sink, code: int) -> None:
    sink.codes = [code]
    delivery, pauses = send(sink)

    assert delivery == Delivery(False, 1, f"it answered HTTP {code}")
    assert pauses == []


@pytest.mark.network
def test_a_server_that_stays_down_is_given_up_after_the_attempts(sink: Sink) -> None:
    sink.codes = [503]
    delivery, pauses = send(sink, attempts=3)

    assert delivery == Delivery(False, 3, "it answered HTTP 503")
    assert len(sink.got) == 3
    assert pauses == [1.0, 2.0]


@pytest.mark.network
def test_retry_after_is_followed_up_to_half_a_minute(sink: Sink) -> None:
    sink.codes, sink.headers = [429, 200], {"Retry-After": "7"}
    assert send(sink)[1] == [7.0]

    sink.codes, sink.headers = [429, 200], {"Retry-After": "3600"}
    assert send(sink)[1] == [30.0]

    sink.codes, sink.headers = [429, 200], {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert send(sink)[1] == [1.0]


@pytest.mark.network
def test_a_silent_server_costs_the_timeout_and_no_more(sink: Sink) -> None:
    sink.silent_s = 20
    delivery, _ = send(sink, timeout_s=0.2, attempts=2)

    assert delivery == Delivery(False, 2, "no answer within 0.2 s")


@pytest.mark.network
def test_a_redirect_is_not_followed(sink: Sink) -> None:
    sink.codes, sink.headers = [302], {"Location": "http://127.0.0.1:9/elsewhere"}

    assert send(sink)[0] == Delivery(False, 1, "it answered HTTP 302")


@pytest.mark.network
def test_a_closed_port_is_tried_again() -> None:
    delivery, pauses = send(Sink(url="http://127.0.0.1:9/secret-token"), attempts=2)

    assert delivery == Delivery(False, 2, "no connection")
    assert pauses == [1.0]


@pytest.mark.parametrize("address", ["ftp://host/secret-token", "secret-token", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_named_by_its_variable_only(address: str) -> None:
    delivery, _ = send(Sink(url=address))

    assert delivery == Delivery(False, 0, "HOOK does not hold an http or https address")


def test_a_missing_variable_is_named() -> None:
    assert send(Sink(url=""))[0] == Delivery(False, 0, "the environment variable HOOK is not set")
