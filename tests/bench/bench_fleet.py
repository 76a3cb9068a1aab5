"""What it costs to watch many models: one process that judges a day of each, with labels; its start-up included.

`make bench-fleet` takes 100 models of 100,000 rows and 20 columns; `MODELS=10 ROWS=100000 make bench-fleet` fewer.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from headway.components._shared.artifacts import LocalArtifact, ModelManifest, read_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.endpoints.served import Served
from headway.components._shared.estimators import load_model
from headway.components._shared.schemas import Column, Schema, write_schema
from headway.components._shared.state import State
from headway.components.serving.log import LogWriter
from headway.components.training.train import train

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.served_samples import serve

MODELS = int(os.environ.get("MODELS", "100"))
ROWS = int(os.environ.get("ROWS", "100000"))
DAY = datetime(2026, 3, 2, tzinfo=UTC)
NUMBERS = [f"x{n}" for n in range(14)]
CATEGORIES = [f"c{n}" for n in range(6)]
PROMISED = {"roc_auc": {"value": 0.8, "low": 0.79, "high": 0.81}}
FENCE_S, FENCE_MIB = 120, 1024


def rows(count: int, seed: int) -> pl.DataFrame:
    """20 columns, of which a few tell the label."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(0, 1, count) for name in NUMBERS}
    columns |= {name: rng.integers(0, 5 + 10 * n, count).astype(str) for n, name in enumerate(CATEGORIES)}
    late = columns["x0"] + columns["x1"] + rng.normal(0, 2, count) > 0
    return pl.DataFrame({"id": [f"{seed}-{i}" for i in range(count)], **columns, "label": np.where(late, "yes", "no")})


def one_model(folder: Path) -> Path:
    """Trains the model that all of them are."""
    columns = [Column(name="id", type="string", roles=("id",)), *(Column(name=n, type="number") for n in NUMBERS)]
    columns += [*(Column(name=n, type="string") for n in CATEGORIES)]
    write_dataset({"rows": rows(50_000, 0)}, folder / "data")
    write_schema(
        Schema(columns=(*columns, Column(name="label", type="string", roles=("target",)))), folder / "schema.json"
    )
    places = [LocalArtifact(str(folder / name)) for name in ("data", "schema.json", "model", "metrics")]
    estimator = "sklearn.ensemble.HistGradientBoostingClassifier"
    train(*places, estimator=estimator, params={"max_iter": 50}, class_weight={})
    return folder / "model"


def make(folder: Path) -> None:
    """Releases the model under every name, and gives each name the same day of log and labels."""
    model, state = one_model(folder), State(str(folder / "state"))
    manifest = read_manifest(model)
    frame = rows(ROWS, 1)
    frame.select("id", "label").write_parquet(folder / "labels.parquet")
    for number in range(MODELS):
        name = f"fleet-{number:03}"
        serve(state, name, model, PROMISED, folder)
        log = folder / "state" / "logs" / name
        if number:
            shutil.copytree(folder / "state/logs/fleet-000", log, copy_function=os.link)
        else:
            write_log(log, model, manifest, frame)


def write_log(log: Path, model: Path, manifest: ModelManifest, frame: pl.DataFrame) -> None:
    """A file an hour, as a server writes them."""
    answers = load_model(model).predict(frame.select(feature.name for feature in manifest.features))
    assert answers.probabilities is not None
    asked, values = frame.drop("label"), answers.values.tolist()
    writer = LogWriter(str(log), manifest, flush_s=3600, max_rows=2 * ROWS)
    each = -(-ROWS // 24)
    for hour in range(24):
        part = slice(hour * each, (hour + 1) * each)
        frame_of = asked[part]
        writer.put(
            Served(
                time=DAY + timedelta(hours=hour),
                request_id=f"r{hour}",
                frame=frame_of,
                values=values[part],
                probabilities=answers.probabilities[part],
            )
        )
    writer.close()


PROGRAM = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.monitoring.fleet.monitor import monitor_models
folder, models = sys.argv[1], int(sys.argv[2])
outputs = [LocalArtifact(f"{folder}/{name}") for name in ("decisions.json", "metrics.json", "report.html")]
settings = {"windows": {"since": "2026-03-02"}, "labels": {"uris": [f"{folder}/labels.parquet"]}}
names = {f"fleet-{number:03}": {} for number in range(models)}
fleet = monitor_models(
    *outputs, models=names, monitoring=settings, as_of="2026-03-03T01:00", state_uri=f"{folder}/state"
)
assert all(len(each.judged) == 1 for each in fleet.models), fleet.models[0].problem
"""


def main() -> int:
    """Gives 1 where it takes more than it may."""
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as scratch:
        make(Path(scratch))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", PROGRAM, scratch, str(MODELS)], check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    mib = after.ru_maxrss / 1024
    print(f"{MODELS} models, {ROWS:,} rows of 20 columns each: {cpu_s:.0f} CPU s, {mib:,.0f} MiB at most")
    print(f"{cpu_s / MODELS:.2f} CPU s a model; the fence for 100 of 100,000 rows is {FENCE_S} s and {FENCE_MIB} MiB")
    whole = (MODELS, ROWS) == (100, 100_000)
    return int(whole and (cpu_s > FENCE_S or mib > FENCE_MIB))


if __name__ == "__main__":
    sys.exit(main())
