"""The process that keeps an endpoint's address: hands every request to the server that the endpoint's record names.

It follows the record, so replacing that one file moves the traffic; a connection of a caller outlives the move. While
a rollout is under way the candidate gets its share of the requests, each picked by chance.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from headway.components._shared.endpoints import read_endpoint
from headway.components._shared.endpoints.inference import MAX_BODY_BYTES

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=2)
# A server may end between the look at the record and the request: predictions change nothing, so asking again is safe,
# and a candidate that breaks off is not asked twice.
_RETRY_AFTER_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
_OWN = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "content-length",
    "host",
    "expect",
}


class Router:
    """Forwards requests.

    Args:
        folder: The endpoint's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def connections(self, _: web.Application) -> AsyncIterator[None]:
        """Holds the connections to the servers while the router runs."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as self.session:
            yield

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request with what the current server says."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, "request.too_large", f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB.")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OWN}
        for tried, pause_s in enumerate(_RETRY_AFTER_S):
            await asyncio.sleep(pause_s)
            try:
                url = URL(f"http://127.0.0.1:{self._port(tried)}{request.raw_path}", encoded=True)
                async with self.session.request(
                    request.method, url, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    kept = {k: v for k, v in answer.headers.items() if k.lower() not in _OWN}
                    return web.Response(status=answer.status, headers=kept, body=await answer.read())
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                continue
            except TimeoutError:
                return web.json_response(
                    {"error": "The model server is too slow.", "code": "endpoint.slow"}, status=504
                )
        return web.json_response({"error": "No model server answers.", "code": "endpoint.down"}, status=503)

    def _port(self, tried: int) -> int:
        endpoint = read_endpoint(self.folder)
        if endpoint is None:
            raise aiohttp.ClientConnectionError
        if endpoint.candidate and not tried and 100 * random.random() < endpoint.weight:
            return endpoint.candidate.port
        return endpoint.current.port


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": f"[{code}] {message}", "code": code}, status=status)


def main() -> None:
    """Routes on a socket that was bound by the deployment, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m headway.components.deployment.local.router", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the endpoint's folder")
    parser.add_argument("--fd", type=int, required=True, help="the bound socket")
    options = parser.parse_args()
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    router = Router(options.folder)
    app.cleanup_ctx.append(router.connections)
    app.router.add_route("*", "/{path:.*}", router.handle)
    web.run_app(app, sock=socket.socket(fileno=options.fd), access_log=None, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
