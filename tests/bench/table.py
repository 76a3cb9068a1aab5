"""What every benchmark prints: the command, the versions, a table of medians, and the ratio as the last line."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Measured:
    """Medians over the repeats of one contender: wall and CPU seconds, and of whole commands the peak memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float | None = None


def measure(run: Callable[[], object], repeats: int = 5) -> Measured:
    """Runs something whose work happens in child processes, and gives medians."""
    walls, cpus = [], []
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - start)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Measured(statistics.median(walls), statistics.median(cpus))


def measure_command(command: Sequence[str], repeats: int = 5, **environment: str) -> Measured:
    """Runs a whole process several times and gives medians, its own peak memory among them."""
    walls, cpus, peaks = [], [], []
    for _ in range(repeats):
        start = time.perf_counter()
        child = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        error = child.stderr.read() if child.stderr else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(error.decode()[-2000:])
        walls.append(time.perf_counter() - start)
        cpus.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss / 1024)
    return Measured(statistics.median(walls), statistics.median(cpus), statistics.median(peaks))


def say(title: str, packages: Sequence[str], rows: Sequence[tuple[str, Measured]], ratio: tuple[str, float]) -> None:
    """Prints the table and `NAME ratio=R`."""
    print(f"{title}\ncommand: {sys.executable.rsplit('/', 1)[-1]} {' '.join(sys.argv)}")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"versions: Python {platform.python_version()}, {versions}; {os.cpu_count()} cores")
    print(f"{'contender':<52}{'wall s':>10}{'CPU s':>10}{'peak MiB':>10}")
    for name, measured in rows:
        peak = "" if measured.peak_mib is None else f"{measured.peak_mib:.0f}"
        print(f"{name:<52}{measured.wall_s:>10.3f}{measured.cpu_s:>10.3f}{peak:>10}")
    print(f"{ratio[0]} ratio={ratio[1]:.2f}")
