"""A stand-in for the API server of Kubeflow Pipelines, which comes from no registry: the calls that start a run.

As strict as the real one where that could hide a fault of ours: it refuses paths, query parameters and JSON fields that
v2beta1 does not have, filters with a key or operation that it does not know, versions that are not there and, as a
multi-user installation, requests without a token and runs without an experiment.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

RUN_FIELDS = {"display_name", "description", "pipeline_version_reference", "runtime_config", "experiment_id"}
RUN_FIELDS |= {"service_account"}
LISTS = {"runs": "run_id", "pipelines": "pipeline_id", "experiments": "experiment_id"}


class RefusedError(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Kfp:
    """The server.

    Attributes:
        address: Where it answers.
        store: Kind to objects.
        token: That it wants; None wants none, as an installation for one user.
        broken: Status that every request gets; None answers.
        started: Bodies of the runs that were started.
    """

    def __init__(self, token: str | None = None) -> None:
        self.address = ""
        self.store: dict[str, list[dict[str, Any]]] = {"runs": [], "pipelines": [], "experiments": []}
        self.token = token
        self.broken: int | None = None
        self.started: list[dict[str, Any]] = []

    def upload(self, name: str, namespace: str = "") -> None:
        """A pipeline."""
        identity = f"p-{len(self.store['pipelines'])}"
        self.store["pipelines"].append({"pipeline_id": identity, "display_name": name, "namespace": namespace})

    def answer(self, method: str, path: str, token: str | None, body: dict[str, Any] | None) -> dict[str, Any]:
        """What a request gets.

        Raises:
            RefusedError: As the real server refuses.
        """
        if self.broken:
            raise RefusedError(self.broken, "upstream connect error")
        if self.token and token != f"Bearer {self.token}":
            raise RefusedError(401, "Failed to authorize with API: there is no user identity header")
        parts = urlsplit(path)
        kind = parts.path.removeprefix("/apis/v2beta1/")
        if kind not in LISTS:
            raise RefusedError(404, f"Not Found: {path}")
        asked = {key: values[0] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if method == "GET":
            return self._list(kind, asked)
        assert body is not None
        return self._create_run(body) if kind == "runs" else self._create_experiment(body)

    def _list(self, kind: str, asked: dict[str, str]) -> dict[str, Any]:
        if unknown := set(asked) - {"filter", "namespace", "page_size", "page_token", "sort_by"}:
            raise RefusedError(400, f"parsing field: no field {unknown} found in message")
        found = self.store[kind]
        if kind != "pipelines" and self.token and "namespace" not in asked:
            raise RefusedError(400, "A namespace must be given in multi-user mode")
        if "namespace" in asked or kind == "pipelines":
            found = [each for each in found if each.get("namespace", "") == asked.get("namespace", "")]
        for predicate in json.loads(asked.get("filter", "{}")).get("predicates", []):
            if predicate["operation"] != "EQUALS" or predicate["key"] != "display_name":
                raise RefusedError(400, f"no support for filter {predicate}")
            found = [each for each in found if each["display_name"] == predicate["string_value"]]
        return {kind: found, "total_size": len(found)} if found else {}

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(body) - RUN_FIELDS:
            raise RefusedError(400, f"unknown field {unknown}")
        reference = body["pipeline_version_reference"]
        if set(reference) - {"pipeline_id", "pipeline_version_id"}:
            raise RefusedError(400, f"unknown field in {reference}")
        if reference["pipeline_id"] not in {each["pipeline_id"] for each in self.store["pipelines"]}:
            raise RefusedError(404, "Failed to fetch a pipeline version: ResourceNotFoundError")
        if not isinstance(body["runtime_config"]["parameters"], dict):
            raise RefusedError(400, "Invalid IR runtime config")
        experiments = {each["experiment_id"]: each for each in self.store["experiments"]}
        if self.token and body.get("experiment_id") not in experiments:
            raise RefusedError(400, "Run must have an experiment in multi-user mode")
        self.started.append(body)
        namespace = experiments.get(body.get("experiment_id"), {}).get("namespace", "")
        run = {"run_id": f"run-{len(self.started)}", "display_name": body["display_name"], "namespace": namespace}
        self.store["runs"].append(run)
        return run

    def _create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        if set(body) - {"display_name", "description", "namespace"}:
            raise RefusedError(400, f"unknown field in {body}")
        made = {"experiment_id": f"e-{len(self.store['experiments'])}", "namespace": "", **body}
        self.store["experiments"].append(made)
        return made


@contextmanager
def kfp_api(token: str | None = None) -> Iterator[Kfp]:
    """A server that answers while the block runs."""
    kfp = Kfp(token)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET", None)

        def do_POST(self) -> None:
            self._answer("POST", json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, method: str, body: dict[str, Any] | None) -> None:
            try:
                status, said = 200, kfp.answer(method, self.path, self.headers.get("authorization"), body)
            except RefusedError as refused:
                status, said = refused.status, {"error": str(refused), "code": 3, "message": str(refused)}
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kfp.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kfp
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
