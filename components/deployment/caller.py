"""Asks a model server over HTTP, as any client would."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did."""

    status: int
    body: Any
    seconds: float


class Caller:
    """One connection to a server, kept open between requests.

    Args:
        url: Of the server.
        model_name: The model that is asked.
    """

    def __init__(self, url: str, model_name: str) -> None:
        self.model_name = model_name
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)

    def infer(self, body: bytes) -> Answer:
        """Asks for predictions by the Open Inference Protocol v2."""
        return self.post(f"/v2/models/{self.model_name}/infer", body)

    def post(self, path: str, body: bytes) -> Answer:
        """Sends a request to any path."""
        started = time.perf_counter()
        try:
            self._connection.request("POST", path, body=body, headers={"content-type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(0, {"error": type(error).__name__}, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        try:
            return Answer(answer.status, json.loads(content), seconds)
        except ValueError:
            return Answer(answer.status, {"error": "no JSON"}, seconds)
