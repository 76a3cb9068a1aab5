"""Runs a pipeline on this machine and tells each step as it ends: its time, and what it decided."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.times import now

_STARTED = re.compile(r"Executing task '?([a-z0-9-]+)'?")
_ADOPTED = re.compile(r"Task '?([a-z0-9-]+)'? cache hit \(key=([0-9a-f]+)\)")
_ENDED = re.compile(r"Task '?([a-z0-9-]+)'? finished with status '?([A-Z]+)'?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_POLL_S = 0.05


@dataclass(frozen=True)
class StepEnd:
    """A step that ended.

    Attributes:
        step: Component's name.
        status: `succeeded`, `adopted` (served from an earlier run whose inputs were the same) or `failed`.
        seconds: Wall time, with the start of its process.
        record: What the step left under `runs/<run>/`, empty if it left nothing.
    """

    step: str
    status: str
    seconds: float
    record: dict[str, Any]


@dataclass
class LocalRun:
    """A run on this machine: its id, its folders and how its steps ended."""

    run_id: str
    home: Path
    state: State
    ends: list[StepEnd] = field(default_factory=list)
    ok: bool = False

    @property
    def log(self) -> Path:
        """kfp's own log of the run."""
        return self.home / "artifacts" / self.run_id / "run.log"

    def details(self, step: str) -> dict[str, Any]:
        """What a step recorded beside its decision; empty if it did not run."""
        return next((dict(end.record.get("details", {})) for end in self.ends if end.step == step), {})


def run_locally(
    pipeline: str, parameters: Mapping[str, Any], home: Path, on_step: Callable[[StepEnd], None]
) -> LocalRun:
    """Runs a pipeline through kfp.local in a child process.

    Args:
        pipeline: Name in the catalogue.
        parameters: Its parameters; `state_uri` is filled in when absent.
        home: Folder for state, artifacts and cache.
        on_step: Called as each step ends.

    Returns:
        The run; `ok` says whether every step succeeded.

    Raises:
        HeadwayError: `run.path_unusable`: kfp.local rewrites the text `python3` wherever it stands in an argument.
    """
    home = home.absolute()
    _refuse_python3(str(home), parameters)
    run_id = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    state_uri = str(parameters.get("state_uri") or home / "state")
    run = LocalRun(run_id, home, State(state_uri))
    run.log.parent.mkdir(parents=True, exist_ok=True)
    cache = home / "cache" / suite_digest()[:16]
    job = {
        "pipeline": pipeline,
        "parameters": {**parameters, "state_uri": state_uri},
        "pipeline_root": str(run.log.parent),
        "cache_root": str(cache),
    }
    environment = {**os.environ, RUN_ID_VARIABLE: run_id, "HEADWAY_ARTIFACTS": str(home / "artifacts")}
    with run.log.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "headway.pipelines.cli.execute"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    assert child.stdin is not None
    child.stdin.write(json.dumps(job).encode())
    child.stdin.close()
    try:
        for end in _ends(run, child, cache):
            run.ends.append(end)
            on_step(end)
    except BaseException:
        os.killpg(child.pid, signal.SIGTERM)
        raise
    run.ok = child.wait() == 0
    return run


def suite_digest() -> str:
    """sha256 over the suite's sources and every installed version: a cached result of other code is never adopted."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted([*(root / "components").rglob("*.py"), *(root / "pipelines").rglob("*.py")]):
        digest.update(path.read_bytes())
    digest.update("\n".join(sorted(f"{d.name}=={d.version}" for d in distributions())).encode())
    return digest.hexdigest()


def _refuse_python3(home: str, parameters: Mapping[str, Any]) -> None:
    text = json.dumps([home, dict(parameters)], default=str)
    found = re.search(r'[^"\s]*python3[^"\s]*', text)
    if found:
        raise HeadwayError(
            "run.path_unusable",
            "A path holds the text `python3`, which kfp.local rewrites in every argument.",
            value=found[0],
            remedy="Use a folder whose path lacks that text (--home), or package:// for data of a package.",
        )


def _ends(run: LocalRun, child: subprocess.Popen[bytes], cache: Path) -> Iterator[StepEnd]:
    """Follows the log until the child has ended."""
    last = time.monotonic()
    with run.log.open(errors="replace") as log:
        while True:
            ended = child.poll() is not None
            for line in log:
                event = _COLOUR.sub("", line)
                if _STARTED.search(event):
                    last = time.monotonic()
                elif adopted := _ADOPTED.search(event):
                    yield StepEnd(
                        _component(adopted[1]), "adopted", 0.0, _adopt(run, _component(adopted[1]), cache, adopted[2])
                    )
                elif finished := _ENDED.search(event):
                    step = _component(finished[1])
                    failed = finished[2] != "SUCCESS"
                    folder = "failures" if failed else "steps"
                    record = _read(run, f"{folder}/{step}.json")
                    yield StepEnd(step, "failed" if failed else "succeeded", time.monotonic() - last, record)
            if ended:
                return
            time.sleep(_POLL_S)


def _component(task: str) -> str:
    return task.replace("-", "_")


def _read(run: LocalRun, name: str) -> dict[str, Any]:
    key = run.state.run_key(run.run_id, name)
    return dict(run.state.read_json(key)) if run.state.storage.stat(key) else {}


def _adopt(run: LocalRun, step: str, cache: Path, key: str) -> dict[str, Any]:
    """Copies the record and report of the run whose outputs are served again, so that this run's page is complete."""
    source = next((found for entry in cache.glob(f"{key}*.json") if (found := _maker(run, entry))), None)
    if source is None:
        return {}
    storage = run.state.storage
    record_key, report_key = run.state.run_key(source, f"steps/{step}.json"), f"reports/{step}.html"
    if storage.stat(run.state.run_key(source, report_key)):
        storage.write(run.state.run_key(run.run_id, report_key), storage.read(run.state.run_key(source, report_key)))
    if not storage.stat(record_key):
        return {}
    record = {**run.state.read_json(record_key), "status": "adopted", "adopted_from": source}
    run.state.write_json(run.state.run_key(run.run_id, f"steps/{step}.json"), record)
    return record


def _maker(run: LocalRun, entry: Path) -> str | None:
    """Id of the run that made the outputs of a cache entry, from where they lie."""
    found = re.search(rf"{re.escape(str(run.home / 'artifacts'))}/([^/\"]+)/(?:training|delivery)-", entry.read_text())
    return found[1] if found else None
