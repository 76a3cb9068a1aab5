"""Processes that outlive the step that started them, found again by a lock that each holds for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_POLL_S = 0.02
_STARTED_S = 10.0


def start_detached(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    name: str,
    *,
    fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Starts a Python module in a session of its own; its output goes to `<name>.log`, so nobody waits for it.

    The process inherits the lock on `<name>.pid`: the kernel frees that lock when the process ends, however it ends,
    and a process number that was given away again is never mistaken for ours.

    Args:
        module: What `python -m` runs.
        arguments: Its command line.
        folder: Where lock and log are; made if it is not there.
        name: What the process is found by.
        fds: File descriptors that it inherits.
        environment: Variables on top of ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pid_file = _pid_file(folder, name)
    with pid_file.open("w") as lock, log_file(folder, name).open("ab") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The new process writes its own number: were it written here, a kill in between would leave an unknown process.
        writes_pid = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(pid_file)]
        process = subprocess.Popen(
            [*writes_pid, sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.fileno(), *fds),
            env={**os.environ, **(environment or {})},
        )
    # Nobody will wait for it here; its end is seen by the lock.
    process.returncode = 0


def pid_of(folder: Path, name: str) -> int | None:
    """The process number if that process lives."""
    deadline = time.monotonic() + _STARTED_S
    try:
        while time.monotonic() < deadline:
            with _pid_file(folder, name).open() as lock:
                try:
                    # Shared, so that two who look at the same time don't take each other for the process.
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    if number := lock.read().strip():
                        return int(number)
                    time.sleep(_POLL_S)
                else:
                    return None
    except FileNotFoundError:
        return None
    return None


def living(folder: Path) -> list[str]:
    """Names of all processes of a folder that live."""
    return sorted(path.stem for path in folder.glob("*.pid") if pid_of(folder, path.stem))


def stop(folder: Path, name: str, *, grace_s: float) -> None:
    """Ends a process: asks it to finish what it is doing, and kills it when that takes longer than `grace_s`."""
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        pid = pid_of(folder, name)
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while pid_of(folder, name) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    _pid_file(folder, name).unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path, *, patience_s: float) -> Iterator[bool]:
    """Holds a lock that dies with its holder; gives False when another one keeps it longer than `patience_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(_POLL_S)
            else:
                yield True
                return


def log_file(folder: Path, name: str) -> Path:
    """Where a process writes what it has to say."""
    return folder / f"{name}.log"


def last_lines(folder: Path, name: str, lines: int = 12) -> str:
    """The end of a process's log, for an error message."""
    path = log_file(folder, name)
    text = path.read_text(errors="replace") if path.is_file() else ""
    return "\n".join(text.splitlines()[-lines:])[-2000:]


def _pid_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pid"
