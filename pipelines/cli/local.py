"""Runs a pipeline on this machine and tells each step as it ends: its time, and what it decided."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import Step, record_failure
from headway.components._shared.times import now
from headway.pipelines.cli.stops import Stopped

_STARTED = re.compile(r"Executing task '?([a-z0-9-]+)'?")
_ADOPTED = re.compile(r"Task '?([a-z0-9-]+)'? cache hit \(key=([0-9a-f]+)\)")
_ENDED = re.compile(r"Task '?([a-z0-9-]+)'? finished with status '?([A-Z]+)'?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_POLL_S = 0.05
_DAMAGE = (".changed", ".unreadable", ".missing", ".file_missing")


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
    """A run on this machine: its id, its folders, the step that is running and how the others ended.

    `adopted` are the cache's entries of the results that were served again.
    """

    run_id: str
    home: Path
    state: State
    ends: list[StepEnd] = field(default_factory=list)
    running: str | None = None
    since: datetime = field(default_factory=now)
    ok: bool = False
    stopped: Stopped | None = None
    adopted: list[Path] = field(default_factory=list)

    @property
    def met_damage(self) -> bool:
        """Whether a step failed over an artifact that is not what was written; results of earlier runs are suspect."""
        return any(str(end.record.get("code", "")).endswith(_DAMAGE) for end in self.ends)

    @property
    def refused(self) -> bool:
        """Whether a step refused to let the model go on."""
        return any(end.record.get("details", {}).get("outcome") == "refused" for end in self.ends)

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
        The run; `ok` says whether every step succeeded, `stopped` which signal ended it and its steps.

    Raises:
        HeadwayError: `run.path_unusable`: kfp.local rewrites the text `python3` wherever it stands in an argument.
    """
    home = home.absolute()
    _refuse_python3(str(home), parameters)
    run_id = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    state_uri = str(parameters.get("state_uri") or home / "state")
    run = LocalRun(run_id, home, State(state_uri))
    run.log.parent.mkdir(parents=True, exist_ok=True)
    cache = _cache(home)
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
    try:
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
        for end in _ends(run, child, cache):
            run.ends.append(end)
            on_step(end)
        run.ok = child.wait() == 0
    except Stopped as stopped:
        run.stopped = stopped
    finally:
        _end(child)
    if run.stopped:
        _record_stop(run, run.stopped)
    if run.met_damage:
        for entry in run.adopted:
            entry.unlink(missing_ok=True)
    return run


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and its steps, if they have not ended."""
    assert child.stdin is not None
    with suppress(BrokenPipeError):
        child.stdin.close()  # the child's lifeline
    if child.wait() != 0:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _record_stop(run: LocalRun, stopped: Stopped) -> None:
    """Says why the run ended early, as a failure of the step that was running, else of the run itself."""
    error = HeadwayError(
        "run.stopped",
        f"{stopped} ended the run.",
        remedy="Start the run again: steps that ended are not computed a second time.",
    )
    record_failure(Step(run.running or "run", run.state, run.run_id), error, run.since)


def forget_results(home: Path) -> None:
    """Makes the next run compute every step."""
    shutil.rmtree(home.absolute() / "cache", ignore_errors=True)


def is_computed_anew(home: Path) -> bool:
    """Whether results of earlier runs are there, but of other code or libraries, so that none of them is adopted."""
    cache = _cache(home.absolute())
    return cache.parent.is_dir() and not cache.exists() and any(cache.parent.iterdir())


def _cache(home: Path) -> Path:
    return home / "cache" / suite_digest()[:16]


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
    with run.log.open(errors="replace") as log:
        while True:
            ended = child.poll() is not None
            for line in log:
                event = _COLOUR.sub("", line)
                if started := _STARTED.search(event):
                    run.running, run.since = _component(started[1]), now()
                elif adopted := _ADOPTED.search(event):
                    yield StepEnd(
                        _component(adopted[1]), "adopted", 0.0, _adopt(run, _component(adopted[1]), cache, adopted[2])
                    )
                elif finished := _ENDED.search(event):
                    step = _component(finished[1])
                    failed, seconds = finished[2] != "SUCCESS", (now() - run.since).total_seconds()
                    folder = "failures" if failed else "steps"
                    record = _read(run, f"{folder}/{step}.json")
                    run.running = None
                    yield StepEnd(step, "failed" if failed else "succeeded", seconds, record)
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
    entries = list(cache.glob(f"{key}*.json"))
    run.adopted += entries
    source = next((found for entry in entries if (found := _maker(run, entry))), None)
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
