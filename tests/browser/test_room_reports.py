"""The reports of the rooms, made by their own steps on a small set with a planted address, in a browser."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import read_schema
from headway.components._shared.state import RUN_ID_VARIABLE
from headway.components.deployment.deploy import deploy
from headway.components.evaluation.evaluate import evaluate
from headway.components.registration.register import register
from headway.components.training.train import train
from headway.components.tuning.tune import tune
from headway.components.validation.infer import infer_schema
from headway.components.validation.validate import validate_data
from tests.browser.conftest import AssertGoodPage
from tests.tabular_samples import CLASSIFIER, customer_schema, customers, stored

pytestmark = pytest.mark.browser

REPORTS = ("infer", "validate", "validate_bad", "tune", "evaluate", "card", "deploy")
SPACE = {
    "learning_rate": {"type": "double", "min": 0.01, "max": 0.3, "log": True},
    "max_depth": {"type": "categorical", "list": [2, 3, None]},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one report of each kind."""
    folder = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_ID_VARIABLE, "run-1")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        _write_reports(folder)
    return folder


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_of_a_room_is_good(assert_good_page: AssertGoodPage, reports: Path, report: str) -> None:
    assert_good_page(reports / f"{report}.html")


@pytest.mark.parametrize("report", REPORTS)
def test_no_personal_value_is_in_a_report(reports: Path, report: str) -> None:
    assert "@example.org" not in (reports / f"{report}.html").read_text(encoding="utf-8")


def _write_reports(folder: Path) -> None:
    """Every step that writes a report, one after the other; the model is refused, so nothing is served."""

    def artifact(name: str) -> LocalArtifact:
        return LocalArtifact(str(folder / name))

    learn, schema = stored(folder / "train", customers(), customer_schema())
    test, _ = stored(folder / "test", customers(300, seed=1), customer_schema())
    state: Mapping[str, Any] = {"state_uri": str(folder / "state")}
    contract = read_schema(schema.path).model_dump(mode="json")
    infer_schema(learn, artifact("inferred.json"), artifact("d.json"), artifact("infer.html"), roles={}, current={})
    for name, limit in (("validate", None), ("validate_bad", 3)):
        columns = [{**c, "maximum": limit} if c["name"] == "months" else c for c in contract["columns"]]
        made = [artifact(f"{name}.{part}") for part in ("schema", "profile", "findings", "metrics", "html")]
        with pytest.raises(HeadwayError, match=r"data\.invalid") if limit else contextlib.nullcontext():
            validate_data(learn, *made, contract={**contract, "columns": columns}, checks={}, reference=None)
    search: Mapping[str, Any] = {
        "search_space": SPACE,
        "study": {"trials": 4, "parallel": 1, "cv": {"folds": 2}},
        "engine": "local",
    }
    tune(learn, schema, artifact("t"), artifact("tm"), artifact("tune.html"), estimator=CLASSIFIER, params={}, **search)
    settings: dict[str, Any] = {"estimator": CLASSIFIER, "params": {"max_iter": 20}, "class_weight": {}}
    model, champion = artifact("model"), artifact("champion")
    train(learn, schema, model, artifact("m1"), **settings)
    train(learn, schema, champion, artifact("m2"), **{**settings, "params": {"max_iter": 5}})
    verdict, golden = artifact("verdict.json"), artifact("golden")
    gates = {"high": {"kind": "metric", "metric": "roc_auc", "at_least": 0.99}}
    evaluate(model, test, verdict, golden, artifact("em"), artifact("evaluate.html"), champion=champion, gates=gates)
    registration = artifact("registration.json")
    register(model, verdict, registration, artifact("card.html"), model_name="churn", **state)
    deploy(
        registration, verdict, golden, artifact("deployment.json"), artifact("deploy.html"), model_name="churn", **state
    )
