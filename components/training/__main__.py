"""Runs trials outside the tuning step: `python -m headway.components.training worker|trial --spec FILE`.

`worker` answers on stdout, one JSON object a line: first the setting, then for every request line
`{"params": {...}, "fold": 0}` on stdin a `{"value": 0.71}` or `{"error": {...}}`.

`trial` judges one set of parameters and appends a JSON line a fold to `--metrics`: the objective's mean over the
folds so far as a string (Katib reads strings only; take the latest) and the fold's own, with the digests of code and
data. FILE may be an address (`s3://...`); a trial that falls behind the bars beside it ends early.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import TrialSpec, falls_behind
from headway.components._shared.times import format_time, now
from headway.components.training.remote import read_bars, read_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit code."""
    parser = argparse.ArgumentParser(prog="python -m headway.components.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="answer requests until stdin ends")
    trial = commands.add_parser("trial", help="judge one set of parameters")
    for command in (worker, trial):
        command.add_argument("--spec", required=True, help="JSON file of a TrialSpec; for a trial also its address")
    trial.add_argument("--metrics", type=Path, required=True, help="JSON lines file to write")
    for flag, what in (("double", "a number"), ("int", "a whole number"), ("choice", "JSON")):
        trial.add_argument(f"--{flag}", action="append", default=[], metavar="NAME=VALUE", help=f"{what}, repeatable")
    trial.add_argument(
        "--coded", action="append", default=[], metavar="NAME=TEXT", help="as a search service writes it, repeatable"
    )
    trial.add_argument("--result", type=Path, help="file that gets the value of every fold at the end")
    trial.add_argument("--at-least", type=float, default=0.0, metavar="SECONDS", help="do not end earlier than this")
    given = parser.parse_args(arguments)
    if given.command == "worker":
        return _work(parse(TrialSpec, json.loads(Path(given.spec).read_text()), parameter="spec"))
    return _run_trial(given)


def _work(spec: TrialSpec) -> int:
    answers, requests = _own_stdout(), _requests(sys.stdin)
    from headway.components.training.trials import Trials

    try:
        trials = Trials(spec)
    except HeadwayError as error:
        _answer(answers, {"error": _as_record(error)})
        return 1
    _answer(answers, {"setting": trials.setting.model_dump(mode="json")})
    for request in requests:
        try:
            _answer(answers, {"value": trials.score(request["params"], request["fold"])})
        except HeadwayError as error:
            _answer(answers, {"error": _as_record(error)})
    return 0


def _run_trial(given: argparse.Namespace) -> int:
    begun = time.monotonic()
    if os.getpid() == 1:
        # The first process of a pod is spared signals that it does not handle. A trial whose pod is evicted would go on
        # to its end, and its result would go with the pod; one that fails is run again.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    metrics: Path = given.metrics
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.touch()
    try:
        with tempfile.TemporaryDirectory() as folder:
            values = _judge(read_spec(given.spec, Path(folder)), given, metrics)
        if given.result is not None:
            given.result.write_text(json.dumps({"folds": values}))
    except HeadwayError as error:
        print(error, file=sys.stderr)
        return 1
    # Katib's collector fails a trial that has ended before it looks for its process.
    time.sleep(max(0.0, begun + given.at_least - time.monotonic()))
    return 0


def _judge(spec: TrialSpec, given: argparse.Namespace, metrics: Path) -> list[float]:
    """The value of every fold, written down one by one."""
    from headway.components.training.trials import Trials

    trials = Trials(spec)
    setting, params = trials.setting, _params(given, spec)
    if spec.code_digest not in (None, setting.code_digest):
        raise HeadwayError(
            "trial.other_code",
            "The trial's image holds other code than the step that started it.",
            value=setting.code_digest,
            remedy="Give the trials the step's own image.",
        )
    if spec.data_fingerprint not in (None, setting.data_fingerprint):
        raise HeadwayError(
            "trial.other_data",
            "The trial finds other data than the step that started it.",
            value=setting.data_fingerprint,
            remedy="See that nothing writes to the shards, or to the state folder, while a search runs.",
        )
    values: list[float] = []
    for fold in range(setting.folds):
        values.append(trials.score(params, fold))
        line = {
            "timestamp": format_time(now()),
            setting.objective: repr(sum(values) / len(values)),
            f"fold_{fold + 1}": repr(values[-1]),
            "fold": str(fold),
            "code_digest": setting.code_digest,
            "data_fingerprint": setting.data_fingerprint,
        }
        with metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if params and fold + 1 < setting.folds and falls_behind(values, read_bars(given.spec), setting.direction):
            break
    return values


def _params(given: argparse.Namespace, spec: TrialSpec) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for values, read in ((given.double, float), (given.int, int), (given.choice, json.loads)):
        params.update({name: read(text) for name, _, text in (pair.partition("=") for pair in values)})
    for name, _, text in (pair.partition("=") for pair in given.coded):
        params[name] = spec.codings[name].decode(text)
    return params


def _own_stdout() -> TextIO:
    """Keeps stdout for answers: whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _requests(stream: TextIO) -> Iterator[dict[str, Any]]:
    """The request lines. A worker whose parent is gone ends at once, also in the middle of a fit."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def _answer(answers: TextIO, record: dict[str, Any]) -> None:
    answers.write(json.dumps(record) + "\n")
    answers.flush()


def _as_record(error: HeadwayError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "value": error.value, "remedy": error.remedy}


if __name__ == "__main__":
    sys.exit(main())
