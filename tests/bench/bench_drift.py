"""What it costs to look for drift: whole processes with start-up, on the same files.

`make bench-drift`: ours, Evidently's default preset and a bare scan of polars over a million rows of 20 columns; ours
over twenty million, too. `ROWS=100000 TIMES=2 REPEATS=1 make bench-drift` takes fewer. Gives 1 where a fence is broken.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import Process
from pathlib import Path

import numpy as np
import polars as pl

from headway.components._shared.datasets import open_dataset, write_dataset, write_shard
from headway.components._shared.profiles import profile_dataset, write_profile
from headway.components._shared.schemas import Column, Schema

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.table import measure_command, say

ROWS = int(os.environ.get("ROWS", "1000000"))
TIMES = int(os.environ.get("TIMES", "20"))
REPEATS = int(os.environ.get("REPEATS", "3"))
NUMBERS = [f"x{n}" for n in range(14)]
CATEGORIES = [f"c{n}" for n in range(6)]
EVIDENTLY_OVER_OURS, OURS_OVER_SCAN, MIB = 30, 6, 400

OURS = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.monitoring.drift.detect import detect_drift
folder, window = sys.argv[1:]
made = [LocalArtifact(f"{folder}/{name}") for name in ("findings.json", "profile.json", "metrics", "report.html")]
detect_drift(LocalArtifact(window), LocalArtifact(f"{folder}/reference.json"), *made, drift={})
"""
SCAN = """
import sys
import polars as pl
pl.scan_parquet(f"{sys.argv[2]}/*.parquet").select(pl.all().max()).collect(engine="streaming")
"""
EVIDENTLY = """
import sys
import pandas as pd
from evidently import Dataset, Report
from evidently.presets import DataDriftPreset
folder, window = sys.argv[1:]
now, before = (Dataset.from_pandas(pd.read_parquet(place)) for place in (window, f"{folder}/reference"))
Report([DataDriftPreset()]).run(now, before).save_html(f"{folder}/evidently.html")
"""


def rows(count: int, seed: int, shift: float = 0.2) -> pl.DataFrame:
    """20 columns, of which three have moved."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(shift if n < 3 else 0, 1, count) for n, name in enumerate(NUMBERS)}
    columns |= {name: rng.integers(0, 5 + 10 * n, count).astype(str) for n, name in enumerate(CATEGORIES)}
    return pl.DataFrame(columns)


def make(folder: Path) -> None:
    """A reference and its profile, a window, and one of so many times the rows."""
    columns = [*(Column(name=n, type="number") for n in NUMBERS), *(Column(name=n, type="string") for n in CATEGORIES)]
    reference = write_dataset({"rows": rows(ROWS, 0, 0.0)}, folder / "reference")
    write_profile(profile_dataset(reference, Schema(columns=tuple(columns))), folder / "reference.json")
    for name, parts in (("window", 1), ("many", TIMES)):
        (folder / name).mkdir()
        for part in range(parts):
            write_shard(rows(ROWS, 1 + part), folder / name / f"{part:02}.parquet", {})
        open_dataset(folder / name)


def broken(found: dict[str, float]) -> Iterator[str]:
    """The fences that do not hold."""
    if found["Evidently / ours"] < EVIDENTLY_OVER_OURS:
        yield f"Evidently takes {found['Evidently / ours']:.1f} times our CPU, and not {EVIDENTLY_OVER_OURS}"
    if found["ours / scan"] > OURS_OVER_SCAN:
        yield f"ours takes {found['ours / scan']:.1f} times the CPU of a bare scan, more than {OURS_OVER_SCAN}"
    if found["MiB"] > MIB:
        yield f"ours takes {found['MiB']:.0f} MiB, more than {MIB}"


def main() -> int:
    """Prints the table; gives 1 where a fence is broken by a run of full size."""
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as scratch:
        folder = Path(scratch)
        # In a process of its own: what is forked counts its parent's memory as its own.
        maker = Process(target=make, args=(folder,))
        maker.start()
        maker.join()

        def run(program: str, window: str, repeats: int = REPEATS, **environment: str):  # type: ignore[no-untyped-def]
            command = [sys.executable, "-c", program, scratch, str(folder / window)]
            return measure_command(command, repeats, OMP_NUM_THREADS="1", **environment)

        ours, many, scan = run(OURS, "window"), run(OURS, "many", 1), run(SCAN, "window")
        theirs = run(EVIDENTLY, "window", 1, DO_NOT_TRACK="1")
    found = {
        "Evidently / ours": theirs.cpu_s / ours.cpu_s,
        "ours / scan": ours.cpu_s / scan.cpu_s,
        "MiB": max(ours.peak_mib or 0, many.peak_mib or 0),
    }
    measured = [
        ("detect_drift", ours),
        (f"detect_drift, {TIMES} times the rows", many),
        ("a bare scan of polars", scan),
        ("Evidently, its default preset", theirs),
    ]
    title = f"Drift of {ROWS:,} rows and 20 columns; ours takes {found['ours / scan']:.1f} times the CPU of a bare scan"
    say(title, ("polars", "evidently", "pandas"), measured, ("evidently_over_ours", found["Evidently / ours"]))
    problems = [*broken(found)] if ROWS >= 1_000_000 else []
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
