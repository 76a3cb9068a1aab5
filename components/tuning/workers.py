"""A process that judges parameters: started once, asked fold by fold, replaced when it dies."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import Setting

# What is kept of the log of a process that died; the kubelet keeps about as much of a pod's.
LOG_LINES, LOG_CHARACTERS = 20, 2048
# One thread a worker: the workers are what runs side by side.
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class WorkerLost(Exception):  # noqa: N818 - it says what happened
    """The process ended or did not answer in time; `log` holds its last lines, if it said anything."""

    def __init__(self, message: str, log: str | None = None) -> None:
        self.log = log
        super().__init__(message)


class Worker:
    """One `python -m headway.components.training worker`.

    Args:
        spec: File of the TrialSpec.
    """

    def __init__(self, spec: Path) -> None:
        # The process can outlive a killed step for a moment: it must hold none of the step's own streams.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headway.components.training", "worker", "--spec", str(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **ENVIRONMENT},
        )
        self._unread = b""
        self._setting: Setting | None = None

    def setting(self, deadline: float | None = None) -> Setting:
        """What it works on; waits until it has read its data.

        Raises:
            HeadwayError: What is wrong with the data or the estimator.
            WorkerLost: It died.
        """
        if self._setting is None:
            self._setting = Setting.model_validate(_checked(self._answer(deadline))["setting"])
        return self._setting

    def score(self, params: Mapping[str, Any], fold: int, deadline: float | None = None) -> float:
        """The objective of some parameters on one fold.

        Raises:
            HeadwayError: Why they cannot be judged.
            WorkerLost: It died or did not answer before the deadline.
        """
        self.setting(deadline)
        request = json.dumps({"params": dict(params), "fold": fold}) + "\n"
        try:
            os.write(_fileno(self._process.stdin), request.encode())
        except OSError:
            raise self._lost() from None
        return float(_checked(self._answer(deadline))["value"])

    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process, whatever it is doing; whoever waits for its answer gets `WorkerLost`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process and lets go of its streams; nobody may be waiting for it."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _answer(self, deadline: float | None) -> dict[str, Any]:
        stdout = _fileno(self._process.stdout)
        while b"\n" not in self._unread:
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not select.select([stdout], [], [], left)[0]:
                raise WorkerLost("it did not answer in time")
            data = os.read(stdout, 65536)
            if not data:
                raise self._lost()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _lost(self) -> WorkerLost:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = f"its process ended with {how}" + (f": {lines[-1][:300]}" if lines else "")
        return WorkerLost(said, "\n".join(lines[-LOG_LINES:])[-LOG_CHARACTERS:] or None)


def _checked(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "error" in answer:
        error = answer["error"]
        raise HeadwayError(error["code"], error["message"], value=error["value"], remedy=error["remedy"])
    return answer


def _fileno(stream: Any) -> int:
    return int(stream.fileno())
