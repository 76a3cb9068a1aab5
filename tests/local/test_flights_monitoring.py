"""A year of flights out of New York, month by month: what monitoring says of a model that learned from its first half.

Known: 25 % of the flights of the first half were more than 15 minutes late. In the windows of four weeks after that it
were 33, 25, 15, 15, 17 and 27 %, while what is known of a flight when its schedule is made hardly changes.
"""

from datetime import UTC, datetime

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.schemas import Column, Schema, write_schema
from headway.components._shared.state import State
from headway.components.monitoring.fleet.monitor import monitor_models
from headway.components.serving.replay import replay
from headway.components.training.train import train
from tests.real_rows import flights
from tests.served_samples import serve

FEATURES = {"carrier": "string", "origin": "string", "dest": "string", "distance": "integer", "hour": "integer"}
FEATURES |= {"weekday": "integer"}
JULY = datetime(2013, 7, 1, tzinfo=UTC)
# As the evaluation on July found it.
PROMISED = {"roc_auc": {"value": 0.69, "low": 0.66, "high": 0.72}}


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """The second half of the year as windows of four weeks, judged: start of each to its decision."""
    folder = tmp_path_factory.mktemp("flights")
    rows = flights().select(
        pl.int_range(pl.len()).cast(pl.String).alias("id"),
        pl.datetime("year", "month", "day", "hour", time_zone="UTC").alias("at"),
        *(name for name in FEATURES if name != "weekday"),
        pl.datetime("year", "month", "day").dt.weekday().cast(pl.Int64).alias("weekday"),
        (pl.col("arr_delay") > 15).alias("late"),
    )
    known = rows.filter(pl.col("late").is_not_null() & (pl.col("at") < JULY)).sample(60_000, seed=0).sort("id")
    write_dataset({"rows": known.select("id", *FEATURES, "late")}, folder / "data")
    columns = [Column(name="id", type="string", roles=("id",))]
    columns += [Column(name=name, type=kind) for name, kind in FEATURES.items()]
    columns += [Column(name="late", type="boolean", roles=("target",))]
    write_schema(Schema(columns=tuple(columns)), folder / "schema.json")
    places = [LocalArtifact(str(folder / name)) for name in ("data", "schema.json", "model", "metrics")]
    train(
        *places, estimator="sklearn.ensemble.HistGradientBoostingClassifier", params={"max_iter": 60}, class_weight={}
    )
    state = State(str(folder / "state"))
    (folder / "state").mkdir()
    release = serve(state, "flights", folder / "model", PROMISED, folder)
    later = rows.filter(pl.col("at") >= JULY)
    write_dataset({"rows": later}, folder / "later")
    replay(release, str(folder / "later"), time_column="at", log_uri=state.uri_of("logs/flights"))
    later.drop_nulls("late").select("id", "late").write_parquet(folder / "labels.parquet")
    settings = {
        "windows": {"every": "28d", "since": "2013-07-01"},
        "labels": {"uris": [str(folder / "labels.parquet")]},
    }
    outputs = [LocalArtifact(str(folder / name)) for name in ("decisions.json", "metrics.json", "report.html")]
    fleet = monitor_models(
        *outputs, models={"flights": {}}, monitoring=settings, as_of="2013-12-31", state_uri=state.uri
    )
    assert fleet.models[0].problem is None
    return {decision.start[:10]: decision for decision in fleet.models[0].judged}


def test_that_lateness_becomes_rarer_is_found_in_the_first_window_in_which_it_is_so(year):
    assert list(year) == ["2013-07-01", "2013-07-29", "2013-08-26", "2013-09-23", "2013-10-21", "2013-11-18"]
    found = [[n for n in ("too_high", "too_low") if each.signals[n].fired] for each in year.values()]
    assert found == [["too_low"], [], ["too_high"], ["too_high"], ["too_high"], []]


def test_one_window_is_told_and_two_ask_for_retraining(year):
    outcomes = [decision.outcome for decision in year.values()]
    assert outcomes[:4] == ["alert", "ok", "alert", "retrain"]
    assert year["2013-07-29"].recovered == "2013-07-01T00:00:00Z"
    assert year["2013-09-23"].rule == "probabilities too high twice"
    assert year["2013-09-23"].incident.id == "2013-08-26T00:00:00Z"


def test_features_show_none_of_it(year):
    for start in ("2013-08-26", "2013-09-23"):
        assert not year[start].signals["much_drift"].fired
