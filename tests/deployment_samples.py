"""Small trained models, released and registered, for the tests of serving and deployment."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from headway.components._shared.artifacts import LocalArtifact, manifest_digest, read_manifest, write_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.estimators import load_model
from headway.components._shared.releases import write_release
from headway.components._shared.schemas import Column, Schema, write_schema
from headway.components._shared.state import State
from headway.components._shared.tracking import Registration, write_registration
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.verdicts import GateOutcome, Verdict, write_verdict
from headway.components.deployment.deploy import deploy
from headway.components.deployment.engines import Address
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Deployment
from headway.components.registration.versions import register_version
from headway.components.training.train import train

FEATURES = ("carrier", "hour", "distance", "peak", "day")
PLANTED = "jane.doe@example.org"


def flights(rows: int = 500, seed: int = 0) -> pl.DataFrame:
    """Rows with every feature type, missing values, and a personal column."""
    rng = np.random.default_rng(seed)
    hour = rng.integers(0, 24, rows)
    return pl.DataFrame(
        {
            "id": [f"f{i}" for i in range(rows)],
            "email": [PLANTED] * rows,
            "carrier": rng.choice(["AA", "UA", "DL"], rows),
            "hour": hour,
            "distance": [None if i % 9 == 0 else float(d) for i, d in enumerate(rng.normal(1000, 200, rows))],
            "peak": rng.random(rows) > 0.5,
            "day": pl.Series([20_000 + i % 300 for i in range(rows)], dtype=pl.Int32).cast(pl.Date),
            "late": np.where(hour + rng.normal(0, 4, rows) > 12, "late", "on time"),
        }
    )


COLUMNS = (
    Column(name="id", type="string", roles=("id",)),
    Column(name="email", type="string", roles=("personal",)),
    Column(name="carrier", type="string"),
    Column(name="hour", type="integer", nullable=False),
    Column(name="distance", type="number"),
    Column(name="peak", type="boolean"),
    Column(name="day", type="date"),
)
SCHEMA = Schema(columns=(*COLUMNS, Column(name="late", type="string", roles=("target",))))


def train_sample(folder: Path, *, depth: int = 3, target: pl.Series | None = None) -> Path:
    """A model folder from train_model; another depth is another model, a float target makes a regression."""
    rows, schema, estimator = flights(), SCHEMA, "HistGradientBoostingClassifier"
    if target is not None:
        rows = rows.drop("late").with_columns(target)
        kind = "number" if target.dtype.is_float() else "integer"
        schema = Schema(columns=(*COLUMNS, Column(name=target.name, type=kind, roles=("target",))))
        estimator = "HistGradientBoostingRegressor" if target.dtype.is_float() else estimator
    write_dataset({"rows": rows}, folder / "data")
    write_schema(schema, folder / "schema.json")
    train(
        LocalArtifact(str(folder / "data")),
        LocalArtifact(str(folder / "schema.json")),
        LocalArtifact(str(folder / "model")),
        LocalArtifact(str(folder / "metrics")),
        estimator=f"sklearn.ensemble.{estimator}",
        params={"max_iter": 20, "max_depth": depth},
        class_weight={},
    )
    return folder / "model"


@dataclass
class Delivery:
    """One model on its way to traffic: all inputs of deploy_model, and where its outputs go.

    Attributes:
        folder: Where artifacts are.
        state: State folder.
        model: Model folder.
        judged_by: The model that gives the golden predictions, where it is not the model itself.
        threshold: Decision threshold of the verdict.
        serving: The parameter.
        engine: The parameter.
    """

    folder: Path
    state: Path
    model: Path
    judged_by: Path | None = None
    threshold: float | None = 0.3
    serving: Mapping[str, object] = field(default_factory=dict)
    registration: Registration | None = None
    engine: str = "local"

    @property
    def digest(self) -> str:
        """The model's."""
        return read_manifest(self.model).model_digest

    def judge(self, *, blessed: bool = True, skew: float = 0.0, **changes: object) -> None:
        """Writes golden rows and the verdict, as evaluate_model does; `skew` makes the golden probabilities wrong."""
        loaded, rows = load_model(self.judged_by or self.model), flights(60, seed=1).drop("email", "late")
        predictions = loaded.predict(rows)
        assert predictions.probabilities is not None
        probabilities = {
            f"probability_{c}": predictions.probabilities[:, i] + skew for i, c in enumerate(loaded.manifest.classes)
        }
        labels = pl.Series(predictions.decided(loaded.manifest.classes, self.threshold))
        golden = write_dataset(
            {"golden": rows.with_columns(prediction=labels, **probabilities)}, self.folder / "golden"
        )
        gate = GateOutcome(gate="roc_auc at least 0.6", metric="roc_auc", passed=blessed, reason="0.9 is above 0.6")
        verdict = Verdict(
            model_digest=self.digest,
            manifest_sha256=manifest_digest(self.model),
            data_fingerprint="e" * 64,
            golden_fingerprint=golden.fingerprint,
            task="binary",
            threshold=self.threshold,
            gates=(gate,),
            blessed=blessed,
            reason="all 1 gates passed" if blessed else "1 of 1 gates failed",
            time="2026-11-24T12:00:00Z",
        ).model_copy(update=changes)
        write_verdict(verdict, self.folder / "verdict.json")

    def register(self) -> None:
        """Releases and registers the model, as register_model does."""
        state = State(str(self.state))
        uri, release = write_release(state, "flights", self.model, self.folder / "verdict.json")
        planned = Registration(
            outcome="registered",
            reason="all 1 gates passed",
            model_name="flights",
            environment="dev",
            registered_model="dev.flights",
            model_digest=self.digest,
            manifest_sha256=release.manifest_sha256,
            release_uri=uri,
            tracking_uri="auto",
        )
        client = Client(tracking_address("auto", str(self.state)))
        self.registration = register_version(client, state, planned, description="", tags={}, run=None)
        write_registration(self.registration, self.folder / "registration.json")

    def deploy(self, **changes: object) -> Deployment:
        """Calls the step."""
        arguments = {"model_name": "flights", "serving": self.serving, "state_uri": str(self.state)}
        arguments |= {"engine": self.engine, **changes}
        return deploy(*self.artifacts(), **arguments)  # type: ignore[arg-type]

    def artifacts(self) -> list[LocalArtifact]:
        """Inputs and outputs in the order of the component."""
        names = ("registration.json", "verdict.json", "golden", "deployment.json", "report.html")
        return [LocalArtifact(str(self.folder / name)) for name in names]

    def command(self) -> list[str]:
        """A process of its own that calls the step, to be killed."""
        code = "import sys, json; from headway.components.deployment.deploy import deploy; "
        code += "from headway.components._shared.artifacts import LocalArtifact as A; "
        code += "options = {'serving': json.loads(sys.argv[1]), 'state_uri': sys.argv[2], 'engine': sys.argv[3]}; "
        code += "deploy(*map(A, sys.argv[4:]), model_name='flights', **options)"
        paths = [artifact.path for artifact in self.artifacts()]
        return [sys.executable, "-c", code, json.dumps(self.serving), str(self.state), self.engine, *paths]


def prepare(folder: Path, state: Path, model: Path, **options: object) -> Delivery:
    """A delivery that is ready to deploy."""
    folder.mkdir(parents=True, exist_ok=True)
    delivery = Delivery(folder, state, model, **options)  # type: ignore[arg-type]
    delivery.judge()
    delivery.register()
    return delivery


def ask(url: str, body: object, *, path: str = "/v2/models/flights/infer", method: str = "POST") -> tuple[int, dict]:
    """A request as any client makes it: status and JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data if method == "POST" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


class Load:
    """A caller that asks all the time on one connection and on new ones, and counts what fails."""

    def __init__(
        self,
        url: str,
        body: bytes,
        path: str = "/v2/models/flights/infer",
        headers: Mapping[str, str] | None = None,
        pause_s: float = 0.01,
        kept: bool = True,
    ) -> None:
        self.url = url
        self.pause_s = pause_s
        self.headers = dict(headers or {})
        self.body = body
        self.path = path
        self.digests: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in {kept, False}]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep: bool) -> None:
        connection = None
        while not self._stop.is_set():
            if connection is None or not keep:
                connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
            try:
                connection.request("POST", self.path, body=self.body, headers=self.headers)
                answer = connection.getresponse()
                json.loads(answer.read())
                if answer.status == 200:
                    self.digests.append(answer.headers["headway-model-digest"])
                else:
                    self.failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
            time.sleep(self.pause_s)


@contextmanager
def served(model: Path, *arguments: str) -> Iterator[str]:
    """A model server of its own; gives its address."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "headway.components.serving", "--model-dir", str(model), "--model-name", "flights"]
    command += ["--host", "127.0.0.1", "--port", str(port), *arguments]
    log = model.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{url}/v2/models/flights/ready", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        assert process.wait(20) is not None


def golden_of(model: Path, rows: int = 5) -> Golden:
    """Rows with the predictions of a model, as evaluate_model writes them."""
    loaded, frame = load_model(model), flights(rows)
    predictions = loaded.predict(frame)
    assert predictions.probabilities is not None
    probabilities = {f"probability_{c}": predictions.probabilities[:, i] for i, c in enumerate(loaded.manifest.classes)}
    return Golden(frame.with_columns(prediction=pl.Series(predictions.values), **probabilities), read_manifest(model))


def outputs(golden: Golden, **changed: object) -> dict[str, object]:
    """What a model server answers that is right about golden rows, but for what is changed."""
    values = {**golden.expected(), **changed}
    return {"outputs": [{"name": name, "data": list(data)} for name, data in values.items()]}


@contextmanager
def answering(status: int, body: object, *, delay_s: float = 0.0) -> Iterator[Address]:
    """A server that gives everyone the same answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            time.sleep(delay_s)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Address(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def broken_model(model: Path, folder: Path) -> Path:
    """A copy whose files match their manifest and which cannot be loaded."""
    shutil.copytree(model, folder)
    (folder / "model.skops").write_bytes(b"not a model")
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update={"model_digest": "0" * 64}))
    return folder
