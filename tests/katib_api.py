"""An API server with a Katib, in this process: objects in memory, trials that end as a test says, requests counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import yaml

from headway.components._shared.times import format_time, now
from headway.components.tuning.katib.pod import CONTAINER
from headway.components.tuning.katib.watch import SIDECAR, state_of

Object = dict[str, Any]
STAMP = "2026-01-01T00:00:00Z"
OF = "katib.kubeflow.org/experiment"


@dataclass(frozen=True)
class Asked:
    """A request: what it wants of which object, and the client's port, which tells connections apart."""

    method: str
    plural: str
    name: str
    port: int


@dataclass
class KatibApi:
    """What the server holds and how it behaves. Time goes on whenever a client looks.

    Attributes:
        judge: Gives a trial's folds, or, for one that fails, what its container logged last. It is told how many
            trials were started before.
        on: Called before each request is answered.
        faults: Statuses of the next answers, in whose place nothing is done; 0 does it and cuts the connection.
        failure: Message of an Experiment that fails after its first trial; empty lets it go on.
        pending: Why pods wait; empty lets them run.
        katib: Whether the cluster knows Katib's kinds.
        objects: Everything that there is, by plural and name.
        asked: All requests.
        started: The Jobs that were started, by name.
    """

    judge: Callable[[int], Sequence[float] | str] = lambda _: (0.6, 0.6, 0.6)
    on: Callable[[Asked], None] = lambda _: None
    faults: list[int] = field(default_factory=list)
    failure: str = ""
    pending: str = ""
    katib: bool = True
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def all(self, plural: str, labels: Mapping[str, str] | None = None) -> list[Object]:
        """The objects of a kind."""
        found = [thing for (kind, _), thing in self.objects.items() if kind == plural]
        return [thing for thing in found if (labels or {}).items() <= thing["metadata"].get("labels", {}).items()]

    def go_on(self) -> None:
        """What runs ends, and what is to follow begins."""
        for job in [] if self.pending else self.all("jobs"):
            if not job["status"]:
                self._end(job)
        for experiment in self.all("experiments"):
            self._go_on_with(experiment)

    def apply(self, plural: str, name: str, sent: Object, dry_run: bool) -> Object:
        """Server-side apply, as far as a search uses it, and the merge patch of annotations."""
        if found := self.objects.get((plural, name)):
            found["metadata"].setdefault("annotations", {}).update(sent["metadata"].get("annotations", {}))
            return found
        stamped = {"uid": uuid4().hex, "creationTimestamp": format_time(now()), **sent["metadata"]}
        made = {**sent, "metadata": stamped, "status": {}}
        if not dry_run:
            self.objects[plural, name] = made
            if plural == "jobs":
                self._start_pod(made)
        return made

    def delete(self, plural: str, name: str) -> bool:
        """Takes an object away with what it owns."""
        gone = [key for key in self.objects if key == (plural, name) or key[1].startswith(f"{name}-")]
        for key in gone:
            del self.objects[key]
        return bool(gone)

    def _go_on_with(self, experiment: Object) -> None:
        spec, name = experiment["spec"], experiment["metadata"]["name"]
        states = [state_of(trial) for trial in self.all("trials", {OF: name})]
        if "Running" in states or experiment["status"]:
            return
        if states and self.failure:
            experiment["status"] = {"conditions": [_condition("Failed", self.failure)]}
        elif states.count("Failed") >= spec["maxFailedTrialCount"]:
            experiment["status"] = {"conditions": [_condition("Failed", "max failed count has reached")]}
        elif len(states) == spec["maxTrialCount"]:
            experiment["status"] = {"conditions": [_condition("Succeeded")]}
        else:
            trial, number = f"{name}-{len(states)}", len(states) + 1
            drawn = [{"name": p["name"], "value": _drawn(p["feasibleSpace"], number)} for p in spec["parameters"]]
            self.objects["trials", trial] = {
                "metadata": {"name": trial, "labels": {OF: name}},
                "spec": {"parameterAssignments": drawn},
                "status": {"conditions": [_condition("Running")]},
            }
            job = spec["trialTemplate"]["trialSpec"]
            self.apply("jobs", trial, {**job, "metadata": {**job["metadata"], "name": trial}}, dry_run=False)

    def _start_pod(self, job: Object) -> None:
        name = job["metadata"]["name"]
        unplaced = {"type": "PodScheduled", "status": "False", "message": self.pending}
        self.started.append(name)
        self.objects["pods", f"{name}-pod"] = {
            "metadata": {"name": f"{name}-pod", "labels": {**job["metadata"]["labels"], "job-name": name}},
            "spec": {"containers": [{"name": CONTAINER}, {"name": SIDECAR}]},
            "status": {"phase": "Pending", "conditions": [unplaced]} if self.pending else {"phase": "Running"},
        }

    def _end(self, job: Object) -> None:
        name = job["metadata"]["name"]
        said = self.judge(self.started.index(name))
        failed = isinstance(said, str)
        message = said if failed else json.dumps({"folds": list(said)})
        ended = {"exitCode": int(failed), "message": message, "startedAt": STAMP, "finishedAt": STAMP}
        job["status"] = {"conditions": [_condition("Failed" if failed else "Complete")]}
        self.objects["pods", f"{name}-pod"]["status"] = {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [{"name": CONTAINER, "state": {"terminated": ended}}],
        }
        if trial := self.objects.get(("trials", name)):
            numbers = [] if failed else [{"name": f"fold_{n}", "latest": repr(v)} for n, v in enumerate(said, 1)]
            trial["status"] = {
                "conditions": [_condition("Failed" if failed else "Succeeded")],
                "completionTime": STAMP,
                "observation": {"metrics": numbers},
            }


@contextmanager
def katib_api(folder: Path, **behaviour: Any) -> Iterator[tuple[KatibApi, Path]]:
    """A server that runs until the block ends, and a kubeconfig that leads to it."""
    api = KatibApi(**behaviour)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"api": api}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "models"}}],
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    try:
        yield api, folder / "kubeconfig"
    finally:
        server.shutdown()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: KatibApi

    def answer(self) -> None:
        parts, api = urlsplit(self.path), self.api
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        rest = parts.path.partition("/namespaces/models/")[2] or parts.path.rpartition("/v1/")[2]
        plural, _, name = rest.partition("/")
        with api.lock:
            asked = Asked(self.command, plural, name, self.client_address[1])
            api.asked.append(asked)
            api.on(asked)
            fault = api.faults.pop(0) if api.faults else None
            if fault:
                said = fault, _refusal(fault, "a bad minute")
            elif not api.katib and "/kubeflow.org/" in parts.path:
                said = 404, _refusal(404, "the server could not find the requested resource")
            else:
                said = self._found(plural, name, parse_qs(parts.query), sent)
            body = json.dumps(said[1]).encode()
        if fault == 0:
            self.close_connection = True
            return
        self.send_response(said[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def _found(self, plural: str, name: str, query: Mapping[str, list[str]], sent: Any) -> tuple[int, Object]:
        api, key = self.api, (plural, name)
        if self.command == "POST":
            return 201, {**sent, "status": {"allowed": True}}
        if self.command == "PATCH" and ("kind" in sent or key in api.objects):
            return 200, api.apply(plural, name, sent, "dryRun" in query)
        if self.command == "DELETE" and api.delete(plural, name):
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if self.command == "GET" and (plural == "jobs" or (plural == "experiments" and name)):
            api.go_on()
        if self.command == "GET" and not name:
            labels = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
            return 200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": api.all(plural, labels)}
        if self.command == "GET" and key in api.objects:
            return 200, api.objects[key]
        return 404, _refusal(404, f"{plural} {name} not found")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _condition(kind: str, message: str = "") -> Object:
    return {"type": kind, "status": "True", "message": message}


def _drawn(space: Mapping[str, Any], number: int) -> str:
    """A value that differs from trial to trial."""
    if space.get("list"):
        return str(space["list"][number % len(space["list"])])
    low, high = float(space["min"]), float(space["max"])
    value = low + (high - low) * (number % 10 + 1) / 12
    return repr(value) if "." in space["min"] else str(round(value))


def _refusal(status: int, message: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": message}
