"""A replay writes the log that a server would have written, had it been asked at those times."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from headway.components._shared.artifacts import read_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.inference_logs import log_columns
from headway.components._shared.state import State
from headway.components.serving.replay import replay
from tests.deployment_samples import PLANTED, Delivery, flights, train_sample

BEGIN = datetime(2026, 3, 1, 5, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def delivery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    (folder / "state").mkdir()
    made = Delivery(folder, folder / "state", train_sample(folder / "model"))
    made.judge()
    made.register()
    return made


def rows():
    times = [BEGIN + timedelta(minutes=20 * (i // 10)) for i in range(100)]
    return flights(100, seed=5).with_columns(
        at=pl.Series(times, dtype=pl.Datetime("us", "UTC")), hour=pl.col("hour").cast(pl.Int8)
    )


def test_rows_stand_in_the_log_at_their_times_as_the_model_answers_them(delivery, tmp_path):
    write_dataset({"rows": rows()}, tmp_path / "data")
    log = tmp_path / "log"
    asked = ["--release", delivery.registration.release_uri, "--data", str(tmp_path / "data")]
    command = [sys.executable, "-m", "headway.components.serving.replay", *asked]
    done = subprocess.run([*command, "--time-column", "at", "--log-uri", str(log)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "100 rows\n"), done.stderr
    manifest = read_manifest(delivery.model)
    found = pl.concat([pl.read_parquet(f, hive_partitioning=False) for f in sorted(log.rglob("*.parquet"))])
    assert dict(found.schema) == log_columns(manifest), "as a server writes it"
    assert sorted({f.parent.name for f in log.rglob("*.parquet")}) == ["hour=05", "hour=06", "hour=07", "hour=08"]
    known = rows().sort("id")
    assert found.sort("_id")["_time"].to_list() == known["at"].to_list()
    assert found["_request"].n_unique() == 10
    loaded = load_model(delivery.model)
    answers = loaded.predict(known.select(f.name for f in manifest.features))
    assert found.sort("_id")["_prediction"].to_list() == answers.decided(manifest.classes, 0.3)
    assert PLANTED not in str(found.to_dicts()), "personal columns are not logged"


def test_rows_that_lack_a_feature_are_refused(delivery, tmp_path):
    write_dataset({"rows": rows().drop("carrier")}, tmp_path / "data")
    with pytest.raises(HeadwayError, match=r"data\.column_missing.*'carrier'"):
        replay(
            delivery.registration.release_uri, str(tmp_path / "data"), time_column="at", log_uri=str(tmp_path / "log")
        )
    assert State(str(tmp_path)).storage.list("log") == []
