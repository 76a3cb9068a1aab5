"""report_to_evidently: our figures and Evidently's on real rows, and a workspace that its own UI reads."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import profile_dataset, write_profile
from headway.components._shared.schemas import Column, Schema
from headway.components.monitoring.drift.detect import detect_drift
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.evidently.report import draw, report_to_evidently
from tests.bicycle_windows import COLUMNS, bicycle_windows


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return bicycle_windows(tmp_path_factory.mktemp("bicycles"))


def test_the_history_of_a_model_is_in_evidentlys_own_ui_with_our_exact_figures(found, tmp_path):
    workspace = tmp_path / "workspace"
    for each in (*found.values(), *found.values()):  # every window twice, as a retried step does
        each.report(tmp_path / "report.html", workspace_uri=str(workspace))
    (project,) = [folder.name for folder in workspace.iterdir()]
    with ui(workspace) as url:
        assert [(each["id"], each["name"]) for each in get(f"{url}/api/projects")] == [(project, "bicycles")]
        reports = get(f"{url}/api/projects/{project}/reports")
        assert sorted(each["timestamp"][:10] for each in reports) == ["2011-07-01", "2011-10-01"]
        panels = get(f"{url}/api/v2/dashboards/{project}")["panels"]
        assert panels[0]["title"] == "Share of the features that drifted"
        series = [{"metric": v["metric"], "metric_labels": v["metric_labels"]} for p in panels for v in p["values"]]
        filters = [{"tags": [], "metadata": {}, **each} for each in series]
        shown = post(f"{url}/api/v2/snapshots/{project}/data_series_batch", {"series_filter": filters})
    drawn = {tuple(filters[each["filter_index"]]["metric_labels"].values()): each["values"] for each in shown["series"]}
    exact = [each.result for each in found.values()]
    assert drawn["drifted_share",] == pytest.approx([each.drifted_share for each in exact])
    assert drawn["rows",] == [each.rows for each in exact]
    temperature = [next(c for c in each.columns if c.name == "temp").finding("values").value for each in exact]
    assert drawn["wasserstein", "temp"] == pytest.approx(temperature)


def test_evidently_judges_its_samples_by_our_measures_and_limits(found):
    each = found[2]
    told = snapshot(each).dict()["metrics"]
    drift = {m["config"]["column"]: m for m in told if m["config"]["type"].endswith("ValueDrift")}
    assert set(drift) == set(COLUMNS)
    for column in each.result.columns:
        config = drift[column.name]["config"]
        theirs = {"wasserstein": "wasserstein", "jensen_shannon": "jensenshannon"}[column.measure]
        assert (config["method"], config["threshold"]) == (theirs, column.finding("values").limit)
        # Up to 5,000 rows the sample is all there is.
        assert drift[column.name]["value"] == pytest.approx(column.finding("values").value, abs=1e-6)


def test_a_dashboard_that_a_team_has_changed_stays(found, tmp_path):
    found[1].report(tmp_path / "report.html", workspace_uri=str(tmp_path / "workspace"))
    (dashboard,) = (tmp_path / "workspace").glob("*/dashboard.json")
    dashboard.write_text('{"tabs": [], "panels": []}')
    found[2].report(tmp_path / "report.html", workspace_uri=str(tmp_path / "workspace"))
    assert dashboard.read_text() == '{"tabs": [], "panels": []}'
    assert len([*dashboard.parent.glob("snapshots/*.json")]) == 2


def test_without_a_workspace_it_is_below_the_state_folder_and_without_that_nowhere(found, tmp_path):
    said = found[1].report(tmp_path / "report.html", state_uri=str(tmp_path / "state")).metadata
    assert Path(said["snapshot"]).is_relative_to(tmp_path / "state" / "evidently")
    assert "snapshot" not in found[1].report(tmp_path / "report.html").metadata


@pytest.mark.parametrize("values", [[None] * 400, [float("inf")] * 399 + [1.0], [2.0] * 400])
def test_columns_that_evidently_cannot_read_are_no_obstacle(tmp_path, values):
    rows = pl.DataFrame({"odd": pl.Series(values, dtype=pl.Float64), "even": [float(i) for i in range(400)]})
    before = rows.with_columns(odd=pl.col("even") / 2)
    columns = tuple(Column(name=name, type="number") for name in rows.columns)
    profiles = []
    for name, frame in (("before", before), ("now", rows)):
        write_dataset({"rows": frame}, tmp_path / name)
        profiles.append(profile_dataset(open_dataset(tmp_path / name), Schema(columns=columns)))
        write_profile(profiles[-1], tmp_path / f"{name}.json")
    artifacts = [LocalArtifact(str(tmp_path / name)) for name in ("f", "p", "m", "r")]
    detect_drift(
        LocalArtifact(str(tmp_path / "now")), LocalArtifact(str(tmp_path / "before.json")), *artifacts, drift={}
    )
    result = DriftResult.model_validate_json((tmp_path / "f").read_bytes())
    drawn, left_out = draw(*profiles, result, "bicycles", "2011-01-01", "2011-01-02")
    assert left_out == (["odd"] if values[0] is None else [])
    assert {m["config"].get("column") for m in drawn.dict()["metrics"]} >= {"even"}


def test_a_window_of_too_few_rows_has_a_report_without_presets(found, tmp_path):
    each = found[1]
    result = each.result.model_copy(update={"enough": False, "columns": (), "drifted_share": None, "separation": None})
    drawn = snapshot(each, result)
    assert [m["value"] for m in drawn.dict()["metrics"]] == [each.result.rows, 0]


def test_what_is_no_findings_is_refused(found, tmp_path):
    each = found[1]
    with pytest.raises(HeadwayError, match=r"\[input.unreadable\]"):
        report_to_evidently(
            each.reference, each.profile, each.profile, LocalArtifact(str(tmp_path / "r")), model_name="b", **each.span
        )


def snapshot(each, result=None):
    from headway.components._shared.profiles import read_profile

    profiles = [read_profile(side.path) for side in (each.reference, each.profile)]
    return draw(*profiles, result or each.result, "bicycles", **each.span)[0]


class ui:  # noqa: N801 - a context, as `open` is
    """Evidently's own service over a workspace, in a process that knows nothing of ours."""

    def __init__(self, workspace):
        self.workspace = workspace

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        program = shutil.which("evidently", path=Path(sys.executable).parent) or "evidently"
        command = [program, "ui", "--workspace", str(self.workspace), "--host", "127.0.0.1", "--port", str(port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env={**os.environ, "DO_NOT_TRACK": "1"}, **quiet)
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert self.process.poll() is None
            try:
                get(f"{url}/api/projects")
                return url
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Evidently's service does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return get(request)
