"""Starts a kserve.ModelServer that serves one verified model, and lets nothing but predictions through."""

from __future__ import annotations

import logging
import re
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from fastapi.exceptions import RequestValidationError
from kserve import ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound
from kserve.logging import configure_logging
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from prometheus_client import Counter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.components._shared.artifacts import verify_model
from headway.components._shared.endpoints.inference import DIGEST_HEADER, MAX_BODY_BYTES, PROBE_HEADER
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.estimators.payloads import require_libraries
from headway.components.serving.log import CURRENT, LogWriter
from headway.components.serving.model import Refusal, TabularModel

log = logging.getLogger("headway.serving")

# kserve has more routes (load and unload of models, explanations, versions); a client of ours needs these.
_ROUTES = re.compile(
    r"GET /|GET /metrics|GET /v1/models(/[^/:]+)?|POST /v1/models/[^/:]+:predict"
    r"|GET /v2(/health/(live|ready)|/models(/[^/]+(/ready)?)?)?|POST /v2/models/[^/]+/infer"
)
_STATUS = {
    "request.too_large": 413,
    "request.route_unknown": 404,
    "request.model_unknown": 404,
    "server.bug": 500,
}
_FORM = 'Send {"inputs": [{"name": ..., "shape": [n], "datatype": ..., "data": [...]}, ...]} or {"instances": [...]}.'
_REQUESTS = Counter("headway_requests", "Requests by route and status.", ["route", "status"])


def serve(
    model_dir: str | Path,
    model_name: str,
    *,
    host: str,
    port: int,
    fd: int | None,
    grpc_port: int | None,
    manifest_sha256: str | None,
    threshold: float | None,
    max_rows: int,
    ending_file: str | None = None,
    log_uri: str | None = None,
    log_flush_s: float = 60,
    log_max_rows: int = 200_000,
) -> None:
    """Verifies a model folder, loads it and answers until SIGTERM; requests in progress are finished first.

    Args:
        model_dir: The model folder.
        model_name: The name in the address.
        host: Address to listen on: `127.0.0.1` on a laptop, `0.0.0.0` in a pod.
        port: HTTP port.
        fd: A socket that was bound already, instead of host and port.
        grpc_port: Port of the v2 protocol over gRPC; None leaves it off. kserve opens it on every address.
        manifest_sha256: What the model's manifest must hash to; None trusts the manifest.
        threshold: Decision threshold of the verdict.
        max_rows: Most rows of one request.
        ending_file: Once it is there, every answer closes its connection, so that no caller keeps one to a server that
            is about to end.
        log_uri: Where the inference log is written; None writes none.
        log_flush_s: Longest time until a request is in the log, in seconds.
        log_max_rows: Most rows that wait to be written; what does not fit is dropped and counted.

    Raises:
        HeadwayError: `model.not_a_model`, `model.changed`, `model.library_differs`, or why it cannot be loaded;
            `log.name_taken`.
    """
    manifest = verify_model(model_dir, manifest_sha256)
    require_libraries(manifest)
    loaded = load_model(model_dir)
    _log_no_values()
    written = LogWriter(log_uri, manifest, flush_s=log_flush_s, max_rows=log_max_rows) if log_uri else None
    model = TabularModel(model_name, loaded, threshold=threshold, max_rows=max_rows, log=written)
    guard = {"model_digest": manifest.model_digest, "ending_file": ending_file, "inference_log": written}
    model_server.app.add_middleware(Guard, **guard)
    server = Server(host, fd, http_port=port, grpc_port=grpc_port or 0, enable_grpc=grpc_port is not None)
    log.info(f"serving {model_name} {manifest.model_digest}")
    try:
        server.start([model])
    finally:
        if written:
            written.close()


class Server(ModelServer):  # type: ignore[misc]
    """kserve's server on an address of our choice, with a repository that cannot be changed from outside.

    Args:
        host: Address to listen on.
        fd: A bound socket to listen on instead.
        options: kserve's own.
    """

    def __init__(self, host: str, fd: int | None, **options: Any) -> None:
        super().__init__(workers=1, enable_latency_logging=False, **options)
        self.host = host
        self.fd = fd
        self.model_repository_extension = ClosedRepository(self.registered_models)

    async def _serve(self) -> None:
        rest = self._rest_server
        rest.config.host = self.host
        if self.fd is not None:
            # Not by uvicorn's option `fd`: it takes every socket for a Unix one, and answers then wait 40 ms (Nagle).
            rest._server.serve = partial(rest._server.serve, sockets=[socket.socket(fileno=self.fd)])
        kserves_handlers = rest._add_exception_handlers

        def add_exception_handlers(app: Any) -> None:
            kserves_handlers(app)
            for kind, handler in _HANDLERS.items():
                app.add_exception_handler(kind, handler)

        rest._add_exception_handlers = add_exception_handlers
        await super()._serve()


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]
    """Refuses to load or unload models on a client's word, over REST and over gRPC."""

    async def load(self, model_name: str) -> NoReturn:  # noqa: ARG002 - kserve's signature
        """Refuses."""
        raise Refusal(_closed())

    async def unload(self, model_name: str) -> NoReturn:  # noqa: ARG002 - kserve's signature
        """Refuses."""
        raise Refusal(_closed())


class Guard:
    """The outermost layer: known routes only, bounded bodies, the digest on every answer, no 500 with a value in it.

    Args:
        app: What it guards.
        model_digest: The model that answers.
        ending_file: Once it is there, every answer closes its connection.
        inference_log: Takes every request for predictions, but those of a deployment's own checks.
    """

    def __init__(
        self,
        app: ASGIApp,
        model_digest: str,
        ending_file: str | None = None,
        inference_log: LogWriter | None = None,
    ) -> None:
        self.app = app
        self.log = inference_log
        self.ending = Path(ending_file) if ending_file else None
        self.digest = model_digest.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        known = _ROUTES.fullmatch(f"{scope['method']} {scope['path']}")
        started = False
        arrived = time.perf_counter()
        served = self._begin(scope) if known and scope["method"] == "POST" else None

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message.setdefault("headers", [])
                headers.append((DIGEST_HEADER.encode(), self.digest))
                if served:
                    served.status = message["status"]
                    if served.request_id.isascii() and served.request_id.isprintable():
                        headers.append((b"x-request-id", served.request_id.encode()))
                if self.ending and self.ending.exists():
                    headers.append((b"connection", b"close"))
                route = re.sub(r"(models/)[^/:]+", r"\1{name}", scope["path"]) if known else "other"
                _REQUESTS.labels(route, message["status"]).inc()
            await send(message)

        try:
            if not known:
                raise _closed()
            body = await _read_body(Request(scope, receive))
            await self.app({**scope, "headers": _as_json(scope["headers"])}, body, answer)
        except HeadwayError as error:
            await _response(error)(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the border of the process: whatever it is, no value leaves it
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
            log.error(f"{type(error).__name__} at {where}")
            if not started:
                await _response(_bug())(scope, receive, answer)
        finally:
            if self.log and served and PROBE_HEADER.encode() not in dict(scope["headers"]):
                served.seconds = time.perf_counter() - arrived
                self.log.put(served)
        return None

    @staticmethod
    def _begin(scope: Scope) -> Served:
        """The request's entry in the log, which the model fills in."""
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("ascii", "ignore")
        served = Served(request_id=given[:200]) if given else Served()
        CURRENT.set(served)
        return served


async def _read_body(request: Request) -> Receive:
    """Reads the body within the limit and hands it on as one piece."""
    if "inference-header-content-length" in request.headers:
        raise HeadwayError(
            "request.binary_unsupported", "Tensors in binary form are not read.", remedy="Send the data as JSON."
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HeadwayError(
                "request.too_large",
                f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB.",
                remedy="Send fewer rows at once, or use batch prediction.",
            )
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return await request.receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _as_json(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Whatever the caller calls the body, JSON is all that is read: kserve has other ways, and guesses among them."""
    kept = [(k, v) for k, v in headers if k != b"content-type" and not k.startswith(b"ce-")]
    return [*kept, (b"content-type", b"application/json")]


def _closed() -> HeadwayError:
    return HeadwayError(
        "request.route_unknown",
        "This server answers predictions, health, metadata and metrics, and nothing else.",
        remedy="Use POST /v2/models/NAME/infer or POST /v1/models/NAME:predict.",
    )


def _bug() -> HeadwayError:
    return HeadwayError("server.bug", "The server failed on this request.", remedy="Report it with the server's log.")


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refusal):
        return _response(error.error)
    return _response(HeadwayError("request.malformed", f"The request cannot be read: {error}.", remedy=_FORM))


async def _unknown_model(_: Request, error: Exception) -> JSONResponse:
    return _response(HeadwayError("request.model_unknown", str(error), remedy="GET /v2/models lists what is served."))


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    where = sorted({".".join(map(str, problem["loc"]))[:80] for problem in error.errors()})
    message = "The body is not a request of the Open Inference Protocol."
    return _response(HeadwayError("request.malformed", message, value=where[:5], remedy=_FORM))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = "request.malformed" if error.status_code < 500 else "server.bug"
    found = HeadwayError(code, f"The request cannot be read: {error.detail}.", remedy=_FORM)
    return JSONResponse({"error": str(found), "code": code}, status_code=error.status_code)


def _response(error: HeadwayError) -> JSONResponse:
    status = _STATUS.get(error.code, 400)
    return JSONResponse({"error": str(error), "code": error.code}, status_code=status)


_HANDLERS = {
    InvalidInput: _invalid,
    ModelNotFound: _unknown_model,
    RequestValidationError: _malformed,
    HTTPException: _http_error,
}


def _log_no_values() -> None:
    """kserve logs each refused request with its exception; ours say what matters and hold no value of a request."""
    warnings.simplefilter("ignore")
    configure_logging()
    for name in ("kserve", "kserve.trace", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
