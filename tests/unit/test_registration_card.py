"""The model card: what it tells, and what it must never tell."""

import html
import json
import re
from pathlib import Path

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, manifest_digest, read_manifest
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.tracking import Registration
from headway.components._shared.verdicts import read_verdict
from headway.components.registration.card import Card, description, label_shares, request_example, span, worries
from headway.components.registration.card_page import write_card
from headway.components.registration.config import IntendedUse
from headway.components.registration.register import register
from tests.registry_samples import make_model, make_verdict, new_state, outputs
from tests.tabular_samples import REGRESSOR, customer_schema, customers, trained

USE = IntendedUse(
    purpose="Warns <passengers> at booking.",
    owner="punctuality@airline.example",
    users="Booking site",
    limits=("New York only",),
    ethical_notes=("A wrong warning costs a booking.",),
)


@pytest.fixture(autouse=True)
def _outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def card_of(folder: Path, model: Path, use: IntendedUse = USE, **changes: object) -> Card:
    manifest, verdict = read_manifest(model), read_verdict(make_verdict(folder / "verdict.json", model))
    registration = Registration(
        outcome="registered",
        reason=verdict.reason,
        model_name="flights",
        environment="dev",
        registered_model="dev.flights",
        version="3",
        model_digest=manifest.model_digest,
        manifest_sha256=manifest_digest(model),
        release_uri="/state/releases/flights/x",
        tracking_uri="http://mlflow:5000",
    )
    return Card(registration, manifest, verdict.model_copy(update=changes), use, model)


def page_of(folder: Path, card: Card) -> str:
    write_card(card, folder / "card.html")
    return (folder / "card.html").read_text()


def words_of(page: str) -> str:
    """What a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", page.partition("<body")[2]))


def test_a_card_tells_what_people_must_know(tmp_path: Path) -> None:
    page = page_of(tmp_path, card_of(tmp_path, make_model(tmp_path / "model")))
    words = words_of(page)
    for told in (
        "dev.flights version 3",
        "Warns <passengers> at booking.",
        "punctuality@airline.example",
        "Booking site",
        "New York only",
        "A wrong warning costs a booking.",
        "ROC AUC",
        "0.7120 [0.7080, 0.7160]",
        "origin=EWR",
        "roc_auc lower bound at least 0.68",
        "max_iter",
        "d" * 64,
        "/state/releases/flights/x",
        "/v2/models/flights/infer",
    ):
        assert told in words
    assert "<passengers>" not in page


def test_metrics_have_their_names_and_only_what_ends_at_1_shares_a_chart(tmp_path: Path) -> None:
    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    metrics = {
        **{name: figure(0.7) for name in ("roc_auc", "cost", "calibration_slope", "log_loss")},
        **{name: figure(0.5) for name in ("latency_p50_ms", "size_mb", "ece")},
    }
    words = words_of(page := page_of(tmp_path, card_of(tmp_path, make_model(tmp_path / "model"), metrics=metrics)))
    for told in ("Cost per row", "Calibration slope", "Latency of one row, median (ms)", "Calibration error (ECE)"):
        assert told in words
    assert not re.search("latency_p50_ms|size_mb|calibration_slope", words)
    chart = page[page.index("<figure>") : page.index("</figure>")]
    assert "ROC AUC" in chart
    assert not re.search("Cost|slope|Log loss", chart)


def test_a_card_of_a_refused_model_says_so(tmp_path: Path) -> None:
    state = State(new_state(tmp_path / "state"))
    model = make_model(tmp_path / "model")
    out = outputs(tmp_path)
    verdict = LocalArtifact(str(make_verdict(tmp_path / "no.json", model, blessed=False)))
    where = {"model_name": "flights", "state_uri": state.uri}
    register(LocalArtifact(str(model)), verdict, out.registration, out.card, **where)
    page = Path(out.card.path).read_text()
    assert "flights: not registered" in words_of(page)
    assert "neither released nor registered: 1 of 1 gates failed." in words_of(page)
    assert "Gate not passed: roc_auc lower bound at least 0.68. 0.708 is below 0.72" in words_of(page)


def test_what_nobody_said_is_a_worry(tmp_path: Path) -> None:
    found = worries(card_of(tmp_path, make_model(tmp_path / "model"), use=IntendedUse(), slices=()))
    assert any("Nobody has said what it is for" in worry for worry in found)
    assert any("Nobody is named who answers for it" in worry for worry in found)
    assert any("No part of the rows was measured apart" in worry for worry in found)


def test_the_worries_of_the_evaluation_stand_on_the_card(tmp_path: Path) -> None:
    card = card_of(tmp_path, make_model(tmp_path / "model"), warnings=("Calibration is off above 0.8.",))
    assert "Calibration is off above 0.8." in worries(card)


def test_the_description_in_the_registry_is_short_and_names_what_the_gates_asked_in_words(tmp_path: Path) -> None:
    told = description(card_of(tmp_path, make_model(tmp_path / "model")))
    assert told.startswith("Warns <passengers> at booking.")
    assert "* ROC AUC: 0.7120 [0.7080, 0.7160]" in told
    assert "on 2 features\n" in told
    assert "log" not in told.lower()
    assert "* limit: New York only" in told
    assert len(told) < 1000


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    model, _ = trained(folder, customers(300))
    return model


def test_a_card_tells_about_the_training_data_from_the_models_own_profile(tmp_path: Path, real: Path) -> None:
    card = card_of(tmp_path, real)
    shares = label_shares(card)
    assert set(shares) == {"False", "True"}
    assert sum(shares.values()) == pytest.approx(1)
    assert span(card) == "2024-01-01T00:00:00Z to 2024-01-13T11:00:00Z"
    page = page_of(tmp_path, card)
    assert "300" in page
    assert "charge" in page


def test_a_card_holds_no_personal_value_and_no_id(tmp_path: Path, real: Path) -> None:
    card = card_of(tmp_path, real)
    page = page_of(tmp_path, card)
    for content in (page, words_of(page), description(card)):
        assert "@example.org" not in content
        assert "c00001" not in content


def test_the_example_request_is_one_that_the_model_takes(tmp_path: Path, real: Path) -> None:
    from headway.components._shared.endpoints.requests import Inputs, Tensor

    example = json.loads(request_example(card_of(tmp_path, real)))
    tensors = [Tensor(t["name"], t["datatype"], t["shape"], t["data"]) for t in example["inputs"]]
    frame = Inputs(read_manifest(real), max_rows=10).read_tensors(tensors)
    assert frame.height == 1
    assert isinstance(next(t["data"][0] for t in example["inputs"] if t["name"] == "months"), int)


def test_rare_labels_are_not_named(tmp_path: Path) -> None:
    rows = customers(200)
    plans = ["only once" if i == 7 else plan for i, plan in enumerate(rows["plan"])]
    model, _ = trained(tmp_path, rows.with_columns(plan=pl.Series(plans)), customer_schema("plan"))
    shares = label_shares(card_of(tmp_path, model))
    assert set(shares) == {"basic", "plus", "pro", "other"}
    assert shares["other"] == pytest.approx(1 / 200)


def test_a_regression_has_a_card_too(tmp_path: Path) -> None:
    model, _ = trained(tmp_path, customers(200), customer_schema("spend"), estimator=REGRESSOR)
    metrics = {"rmse": {"value": 40.0, "low": 38.0, "high": 42.5}}
    page = page_of(tmp_path, card_of(tmp_path, model, task="regression", threshold=None, metrics=metrics))
    assert re.search(r"40(\.00)? \[38(\.00)?, 42\.50?\]", words_of(page))
