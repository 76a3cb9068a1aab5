"""collect_window: a window of a log that real servers' writers wrote, with labels, and everything that can be wrong."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest, write_manifest
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.schemas import Column, Schema
from headway.components.monitoring.window.collect import collect_window
from headway.components.serving.log import LogWriter
from tests.deployment_samples import flights, train_sample

DAY = datetime(2026, 3, 1, tzinfo=UTC)
START, END = "2026-03-01", "2026-03-02"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose labels have a time at which they became known."""
    folder = train_sample(tmp_path_factory.mktemp("model"))
    manifest = read_manifest(folder)
    columns = (*manifest.schema_.columns, Column(name="known", type="datetime", roles=("label_time",)))
    write_manifest(folder, manifest.model_copy(update={"schema_": Schema(columns=columns)}))
    return folder


@pytest.fixture(scope="module")
def loaded(model):
    return load_model(model)


@pytest.fixture
def place(tmp_path, model):
    (tmp_path / "state").mkdir()
    return Place(tmp_path, model)


class Place:
    """A state folder with a log."""

    def __init__(self, folder, model):
        self.folder, self.model = folder, model
        self.log = folder / "state" / "logs" / "flights"

    def write(self, loaded, requests, **changes):
        """Requests as (time, ids); the writer ends, as a server does."""
        writer = LogWriter(str(self.log), loaded.manifest.model_copy(update=changes), flush_s=60, max_rows=10_000)
        for time, ids in requests:
            writer.put(answered(loaded, time, ids))
        writer.close()

    def labels(self, rows, **more):
        frame = pl.DataFrame({"id": [i for i, *_ in rows], "late": [label for _, label, *_ in rows]}, strict=False)
        times = [known for *_, known in rows if isinstance(known, datetime)]
        if times:
            frame = frame.with_columns(known=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
        write_dataset({"labels": frame.with_columns(**more)}, self.folder / "labels")

    def collect(self, start=START, end=END, **given):
        outputs = [LocalArtifact(str(self.folder / n)) for n in ("window", "summary.json", "metrics", "report.html")]
        if (self.folder / "labels").exists():
            given["labels"] = LocalArtifact(str(self.folder / "labels"))
        given = {"state_uri": str(self.folder / "state"), "model_name": "flights", **given}
        collect_window(LocalArtifact(str(self.model)), *outputs, start=start, end=end, **given)
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def rows(self):
        return open_dataset(self.folder / "window").read()


def answered(loaded, time, ids, status=200):
    if status != 200:
        return Served(time=time, request_id=ids[0], status=status)
    frame = flights(len(ids), seed=len(ids)).select(f.name for f in loaded.manifest.features)
    frame = frame.cast({"distance": pl.Float64})
    predictions = loaded.predict(frame)
    values = predictions.values.tolist()
    frame = frame.with_columns(id=pl.Series(ids, dtype=pl.String()))
    return Served(time=time, request_id=ids[0], frame=frame, values=values, probabilities=predictions.probabilities)


def at(hour, minute=0):
    return DAY + timedelta(hours=hour, minutes=minute)


def test_a_window_has_the_rows_of_its_half_open_span_with_their_labels(place, loaded):
    place.write(loaded, [(at(-1, 59), ["before"]), (at(0), ["a", "b"]), (at(23, 59), ["c"]), (at(24), ["after"])])
    place.labels([("a", "late", at(5)), ("c", "on time", at(30)), ("after", "late", at(31))])
    summary = place.collect()
    rows = place.rows
    assert rows["_id"].to_list() == ["a", "b", "c"]
    assert rows["late"].to_list() == ["late", None, "on time"]
    assert set(rows.columns) >= {"_time", "carrier", "_prediction", "_probability_late", "_latency_ms"}
    assert (summary["rows"], summary["requests"], summary["labelled"]) == (3, 2, 2)
    assert summary["hourly"] == {"2026-03-01T00:00:00Z": [2, 1], "2026-03-01T23:00:00Z": [1, 1]}
    assert summary["labels"]["other_windows"] == 1
    assert summary["labels"]["delay_s"][0] == pytest.approx((5 * 3600 + 6 * 3600 + 60) / 2)
    page = (place.folder / "report.html").read_text()
    assert "3 rows of 2 requests" in page
    assert "Complete" in page


def test_at_an_earlier_cutoff_later_labels_are_not_there(place, loaded):
    place.write(loaded, [(at(1), ["a", "b"])])
    place.labels([("a", "late", at(5)), ("b", "late", at(30))])
    summary = place.collect(label_cutoff="2026-03-02")
    assert place.rows["late"].to_list() == ["late", None]
    assert (summary["labels"]["later"], summary["label_cutoff"]) == (1, "2026-03-02T00:00:00Z")
    assert place.collect(label_cutoff="2026-03-03")["labelled"] == 2


def test_the_same_log_gives_the_same_bytes_in_whatever_order_servers_wrote_it(place, loaded, tmp_path):
    requests = [(at(1, minute), [f"r{minute}"]) for minute in range(20)]
    place.write(loaded, requests[::2])
    place.write(loaded, requests[1::2])
    first = place.collect()
    shutil.rmtree(place.log)
    shutil.rmtree(tmp_path / "state" / "history")
    place.write(loaded, list(reversed(requests)))
    again = place.collect()
    assert again["fingerprint"] == first["fingerprint"]
    assert again["rows"] == 20


def test_a_window_that_is_collected_again_says_what_has_changed(place, loaded):
    place.write(loaded, [(at(1), ["a"])])
    assert place.collect()["changed"] is None
    assert place.collect()["changed"] is None
    place.write(loaded, [(at(2), ["b"])])  # of a server that was late
    assert place.collect()["changed"] == {"rows": [1, 2]}
    assert "collected before and was another one: rows 1 then, 2 now" in (place.folder / "report.html").read_text()


def test_a_row_that_was_asked_for_twice_counts_once_also_over_hours(place, loaded):
    place.write(loaded, [(at(1), ["a"]), (at(1, 1), ["a"]), (at(3), ["a", "b"]), (at(4), ["b"])])
    summary = place.collect()
    assert place.rows["_id"].to_list() == ["a", "b"]
    assert place.rows["_time"].to_list() == [at(1), at(3)]
    assert (summary["duplicates"], summary["requests"]) == (3, 3)


def test_what_another_version_answered_and_what_was_refused_is_counted_and_left_out(place, loaded):
    place.write(loaded, [(at(1), ["a"])])
    place.write(loaded, [(at(1), ["x", "y"])], model_digest="f" * 64)
    writer = LogWriter(str(place.log), loaded.manifest, flush_s=60, max_rows=100)
    writer.put(answered(loaded, at(2), ["r"], status=400))
    writer.close()
    summary = place.collect()
    assert place.rows["_id"].to_list() == ["a"]
    assert summary["other_models"] == {"f" * 12: 2}
    assert summary["unregistered"] == ["f" * 12]
    assert summary["refused"] == {"400": 1}


def test_another_versions_other_features_are_no_damage(place, loaded):
    place.write(loaded, [(at(1), ["a"])])
    place.write(loaded, [(at(1), ["x"])], model_digest="f" * 64, features=loaded.manifest.features[:2])
    summary = place.collect()
    assert (summary["rows"], summary["other_models"], summary["foreign"]) == (1, {"f" * 12: 1}, [])


@pytest.mark.parametrize("keep", [0, 100, -60])
def test_a_file_that_was_written_by_half_is_named_and_the_rest_is_used(place, loaded, keep):
    place.write(loaded, [(at(1), ["a"])])
    place.write(loaded, [(at(1), ["b"])])
    broken = max(place.log.rglob("*.parquet"))
    broken.write_bytes(broken.read_bytes()[:keep])
    summary = place.collect()
    assert summary["rows"] == 1
    assert summary["damaged"] == [str(broken)]
    assert "cannot be read" in (place.folder / "report.html").read_text()


def test_a_file_that_is_damaged_in_the_middle_is_left_out_whole(place, loaded):
    place.write(loaded, [(at(1), ["a"])])
    place.write(loaded, [(at(1), [f"b{i}" for i in range(500)])])
    broken = max(place.log.rglob("*.parquet"), key=lambda file: file.stat().st_size)
    content = bytearray(broken.read_bytes())
    content[10 : len(content) // 2] = bytes(len(content) // 2 - 10)
    broken.write_bytes(bytes(content))
    summary = place.collect()
    assert (summary["rows"], summary["damaged"]) == (1, [str(broken)])


def test_a_window_without_rows_says_what_is_there_instead(place, loaded):
    place.write(loaded, [(at(1), ["x", "y"])], model_digest="f" * 64)
    with pytest.raises(HeadwayError, match=r"\[window.empty\].*but 2 rows of other versions"):
        place.collect()
    with pytest.raises(HeadwayError, match=r"\[window.empty\].*but nothing"):
        place.collect("2026-04-01", "2026-04-02")


def test_labels_that_contradict_each_other_are_counted_and_the_last_one_holds(place, loaded):
    place.write(loaded, [(at(1), ["a", "b", "c"])])
    place.labels(
        [("a", "late", at(5)), ("a", "on time", at(6)), ("b", "late", at(5)), ("b", "late", at(7)), ("c", None, at(5))]
    )
    labels = place.collect()["labels"]
    assert place.rows["late"].to_list() == ["on time", "late", None]
    assert {name: labels[name] for name in ("given", "conflicts", "repeated", "missing")} == {
        "given": 5,
        "conflicts": 1,
        "repeated": 1,
        "missing": 1,
    }
    place.labels([("a", "late"), ("a", "on time"), ("b", "late"), ("b", "late")])
    labels = place.collect()["labels"]
    assert place.rows["late"].to_list() == [None, "late", None]
    assert (labels["conflicts"], labels["repeated"], labels["delay_s"]) == (1, 1, None)


def test_labels_of_a_wrong_clock_are_counted(place, loaded):
    place.write(loaded, [(at(1), ["a", "b"])])
    place.labels([("a", "late", at(0)), ("b", "late", at(2))])
    assert place.collect()["labels"]["before_prediction"] == 1
    assert "a clock is wrong" in (place.folder / "report.html").read_text()


def test_labels_that_cannot_be_joined_are_refused(place, loaded):
    place.write(loaded, [(at(1), ["a"])])
    place.labels([("a", "later")])
    with pytest.raises(HeadwayError, match=r"\[labels.no_class_known\]"):
        place.collect()
    place.labels([("a", "late")])
    with pytest.raises(HeadwayError, match=r"\[labels.no_time\]"):
        place.collect(label_cutoff="2026-03-02")
    write_dataset({"labels": pl.DataFrame({"key": ["a"], "late": ["late"]})}, place.folder / "labels")
    with pytest.raises(HeadwayError, match=r"\[data.column_missing\]"):
        place.collect()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"start": "2026-03-02", "end": "2026-03-02"}, "window.backwards"),
        ({"start": "[[ScheduledTime]]"}, "time.unreadable"),
        ({"state_uri": None}, "window.no_log"),
        ({"model_name": "No Name"}, "model.name_invalid"),
    ],
)
def test_what_cannot_be_is_refused(place, loaded, given, code):
    place.write(loaded, [(at(1), ["a"])])
    with pytest.raises(HeadwayError, match=rf"\[{code}\]"):
        place.collect(**given)


def test_numbers_are_labels_too(place, loaded, tmp_path):
    model = train_sample(tmp_path / "numbers", target=flights()["hour"].cast(pl.Float64).alias("delay"))
    place.model, number = model, load_model(model)
    place.write(number, [(at(1), ["a", "b"])])
    write_dataset({"labels": pl.DataFrame({"id": ["b"], "delay": [7]})}, place.folder / "labels")
    place.collect()
    assert place.rows["delay"].to_list() == [None, 7.0]
    assert place.rows["_prediction"].dtype == pl.Float64()
