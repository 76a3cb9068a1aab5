"""Asks a model server over HTTP, as any client would."""

from __future__ import annotations

import http.client
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headway.components._shared.endpoints.inference import DIGEST_HEADER, PROBE_HEADER
from headway.components.deployment.engines import Address


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did.

    Attributes:
        status: HTTP status.
        body: What the JSON says.
        seconds: How long it took.
        model_digest: Which model answered, by its own word.
    """

    status: int
    body: Any
    seconds: float
    model_digest: str | None = None


class Caller:
    """One connection to a server, kept open between requests.

    Args:
        address: Of the server.
        model_name: The model that is asked.
    """

    def __init__(self, address: Address, model_name: str) -> None:
        self.model_name = model_name
        parts = urlsplit(address.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=30)
        self._path = parts.path.rstrip("/")
        self._address = address

    def infer(self, body: bytes) -> Answer:
        """Asks for predictions by the Open Inference Protocol v2."""
        return self.post(f"/v2/models/{self.model_name}/infer", body)

    def post(self, path: str, body: bytes) -> Answer:
        """Sends a request to any path."""
        return self._ask("POST", path, body)

    def ready(self) -> Answer:
        """Asks whether the model is ready."""
        return self._ask("GET", f"/v2/models/{self.model_name}/ready", None)

    def resident_bytes(self) -> float | None:
        """The server's memory, from its metrics; None where it does not tell."""
        headers = self._headers()
        try:
            self._connection.request("GET", f"{self._path}/metrics", headers=headers)
            answer = self._connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        found = re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found and answer.status == 200 else None

    def _headers(self) -> dict[str, str]:
        return {"content-type": "application/json", PROBE_HEADER: "1", **self._address.request_headers()}

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = self._headers()
        started = time.perf_counter()
        try:
            self._connection.request(method, self._path + path, body=body, headers=headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(0, {"error": type(error).__name__}, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        try:
            return Answer(answer.status, json.loads(content), seconds, answer.headers[DIGEST_HEADER])
        except ValueError:
            return Answer(answer.status, {"error": "no JSON"}, seconds, answer.headers[DIGEST_HEADER])
