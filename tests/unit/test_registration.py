"""register_model and check_verdict: the door, the release, the version, the record."""

import json
import shutil
from pathlib import Path

import pytest

from headway.components._shared import tracking
from headway.components._shared.artifacts import MANIFEST, LocalArtifact
from headway.components._shared.audit import verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import check_release, read_release
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import decided, step
from headway.components._shared.tracking import Registration
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.tracking.experiments import close_run
from headway.components.registration.register import is_blessed, register
from tests.registry_samples import make_model, make_verdict, new_state, outputs


@pytest.fixture(autouse=True)
def _outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(new_state(tmp_path / "state"))


def call(state: State, model: Path, verdict: Path, **more: object) -> Registration:
    out = outputs(model.parent)
    arguments = {"model_name": "flights", "state_uri": state.uri, **more}
    return register(LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **arguments)


def versions(state: State, name: str = "dev.flights") -> list:
    return list(Client(tracking_address("auto", state.uri)).search_model_versions(f"name = '{name}'"))


def everything_but_runs(state: State) -> set[str]:
    """Keys of releases."""
    return {stat.key for stat in state.storage.list("releases")}


def test_a_blessed_model_is_released_and_becomes_the_challenger(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    out = outputs(tmp_path)
    result = register(
        LocalArtifact(str(model)),
        LocalArtifact(str(verdict)),
        out.registration,
        out.card,
        model_name="flights",
        state_uri=state.uri,
    )
    assert (result.outcome, result.version, result.registered_model) == ("registered", "1", "dev.flights")
    assert out.record == json.loads(result.model_dump_json())
    assert out.registration.metadata["outcome"] == "registered"
    folder = check_release(result.release_uri, manifest_sha256=result.manifest_sha256)
    assert {p.name for p in folder.rglob("*") if p.is_file()} == {p.name for p in model.rglob("*") if p.is_file()}
    client = Client(tracking_address("auto", state.uri))
    found = client.get_model_version_by_alias("dev.flights", "challenger")
    assert (str(found.version), found.source) == ("1", f"{result.release_uri}/model")
    assert found.tags["model_digest"] == result.model_digest
    assert found.tags["data_fingerprint"] == "d" * 64
    assert found.tags["code_digest"] == "c" * 64
    assert "ROC AUC: 0.7120 [0.7080, 0.7160]" in found.description
    assert [event["action"] for event in verify_events(state, "flights")] == ["registered"]


def test_the_same_model_again_is_unchanged(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    first, before = call(state, model, verdict), everything_but_runs(state)
    second = call(state, model, verdict)
    assert (second.outcome, second.version, second.release_uri) == ("unchanged", first.version, first.release_uri)
    assert second.reason == "this model is version 1 already"
    assert len(versions(state)) == 1
    assert everything_but_runs(state) == before
    assert len(verify_events(state, "flights")) == 1


def test_the_same_model_trained_again_keeps_the_files_of_its_first_release(state: State, tmp_path: Path) -> None:
    model, again = make_model(tmp_path / "a" / "model"), make_model(tmp_path / "b" / "model", salt="other bytes")
    first = call(state, model, make_verdict(tmp_path / "a" / "verdict.json", model))
    second = call(state, again, make_verdict(tmp_path / "b" / "verdict.json", again))
    assert (second.outcome, second.version) == ("unchanged", "1")
    assert second.manifest_sha256 == first.manifest_sha256
    check_release(second.release_uri, manifest_sha256=second.manifest_sha256)


def test_a_negative_verdict_is_refused_and_nothing_is_released_or_registered(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    result = call(state, model, make_verdict(tmp_path / "verdict.json", model, blessed=False))
    assert (result.outcome, result.version, result.release_uri) == ("refused", None, None)
    assert result.reason == "1 of 1 gates failed"
    assert everything_but_runs(state) == set()
    assert Client(tracking_address("auto", state.uri)).search_registered_models() == []
    assert [event["action"] for event in verify_events(state, "flights")] == ["refused"]


def test_a_refused_model_leaves_an_older_release_of_it_alone(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    call(state, model, make_verdict(tmp_path / "verdict.json", model))
    before = everything_but_runs(state)
    assert call(state, model, make_verdict(tmp_path / "no.json", model, blessed=False)).outcome == "refused"
    assert everything_but_runs(state) == before
    assert len(versions(state)) == 1


def test_a_missing_verdict_stops_the_step(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    with pytest.raises(HeadwayError, match=r"\[verdict.missing\] There is no verdict"):
        call(state, model, tmp_path / "nowhere.json")
    assert everything_but_runs(state) == set()


def test_a_verdict_about_another_model_stops_the_step(state: State, tmp_path: Path) -> None:
    model, other = make_model(tmp_path / "model"), make_model(tmp_path / "other", name="b")
    with pytest.raises(HeadwayError, match=r"\[verdict.other_model\] The verdict is about model \w{12}, not about"):
        call(state, model, make_verdict(tmp_path / "verdict.json", other))
    assert everything_but_runs(state) == set()


@pytest.mark.parametrize("name", ["data/model.skops", "MLmodel", MANIFEST])
def test_a_file_changed_after_the_verdict_stops_the_step(state: State, tmp_path: Path, name: str) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with (model / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(HeadwayError, match=rf"\[model.changed\] The model's files are not those .*{name}"):
        call(state, model, verdict)
    assert everything_but_runs(state) == set()


def test_a_file_added_after_the_verdict_stops_the_step(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    (model / "data" / "more.py").write_text("import os")
    with pytest.raises(HeadwayError, match=r"\[model.changed\] .*more.py"):
        call(state, model, verdict)


def test_a_folder_that_is_no_model_stops_the_step(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    (model / MANIFEST).unlink()
    with pytest.raises(HeadwayError, match=r"\[model.not_a_model\] .*headway.json"):
        call(state, model, verdict)


@pytest.mark.parametrize("content", ["", "{half", "[1]"])
def test_a_manifest_that_was_destroyed_stops_the_step(state: State, tmp_path: Path, content: str) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    (model / MANIFEST).write_text(content)
    with pytest.raises(HeadwayError, match=r"model.not_a_model.*no readable headway.json"):
        call(state, model, verdict)


def test_environments_are_registered_models_of_their_own(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    dev, prod = call(state, model, verdict), call(state, model, verdict, environment="prod")
    assert (prod.outcome, prod.registered_model, prod.release_uri) == ("registered", "prod.flights", dev.release_uri)
    assert (len(versions(state)), len(versions(state, "prod.flights"))) == (1, 1)


def test_an_unknown_environment_is_named(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with pytest.raises(HeadwayError, match=r"environment_unknown.*'test'.*Use dev, staging or prod"):
        call(state, model, verdict, environment="test")


def test_a_bad_model_name_is_named(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with pytest.raises(HeadwayError, match=r"model.name_invalid.*'Flights/1'"):
        call(state, model, verdict, model_name="Flights/1")


def test_without_a_state_nothing_can_be_released(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with pytest.raises(HeadwayError, match=r"state.not_configured.*Set the parameter state_uri"):
        register(
            LocalArtifact(str(model)),
            LocalArtifact(str(verdict)),
            *(outputs(tmp_path).registration, outputs(tmp_path).card),
            model_name="flights",
        )


def test_an_unknown_field_of_the_intended_use_is_named(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with pytest.raises(HeadwayError, match=r"config.invalid.*intended_use.purpos"):
        call(state, model, verdict, intended_use={"purpos": "x"})


def test_an_unreachable_registry_is_an_error_before_anything_is_released(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    with pytest.raises(HeadwayError, match=r"registry.unreachable.*does not answer: .*Connection refused.*127.0.0.1:9"):
        call(state, model, verdict, tracking_uri="http://127.0.0.1:9")
    assert everything_but_runs(state) == set()


def test_a_release_whose_copy_was_killed_is_completed_by_the_next_try(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    key = state.release_key("flights", call(state, model, verdict).model_digest)
    for name in ("release.json", "verdict.json", "model/data/model.skops"):
        state.storage.delete(f"{key}/{name}")
    again = call(state, model, verdict)
    assert again.outcome == "unchanged"
    check_release(again.release_uri)


def test_a_version_whose_step_was_killed_before_its_alias_and_event_gets_them_on_the_next_try(
    state: State, tmp_path: Path
) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    call(state, model, verdict)
    client = Client(tracking_address("auto", state.uri))
    client.delete_registered_model_alias("dev.flights", "challenger")
    client.delete_model_version_tag("dev.flights", "1", "audit_registered")
    shutil.rmtree(Path(state.uri) / "events")
    shutil.rmtree(Path(state.uri) / "witnesses")
    assert call(state, model, verdict).outcome == "unchanged"
    assert str(client.get_model_version_by_alias("dev.flights", "challenger").version) == "1"
    assert [event["action"] for event in verify_events(state, "flights")] == ["registered"]


def test_a_champion_does_not_become_its_own_challenger(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    tracking.promote(call(state, model, verdict), state)
    assert call(state, model, verdict).outcome == "unchanged"
    aliases = Client(tracking_address("auto", state.uri)).get_registered_model("dev.flights").aliases
    assert list(aliases) == ["champion"]


def test_mlflow_has_one_run_a_pipeline_run_with_its_steps_as_children(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-7")

    @step("train_model")
    def train(state_uri: str) -> None:
        decided("trained", rows=120, features=2, task="binary")

    @step("deploy_model")
    def deploy(state_uri: str) -> None:
        raise HeadwayError("deployment.unhealthy", "It did not come up.", remedy="Look at its log.")

    train(state.uri)
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    result = call(state, model, verdict)
    call(state, model, verdict)
    with pytest.raises(HeadwayError):
        deploy(state.uri)
    assert close_run(state, "run-7", succeeded=False) == 1
    client = Client(tracking_address("auto", state.uri))
    experiment = client.get_experiment_by_name("dev.flights").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert sorted(runs) == ["deploy_model", "register_model", "run-7", "train_model"]
    parent = runs["run-7"]
    assert parent.info.status == "FAILED"
    assert parent.data.params["estimator"].endswith("HistGradientBoostingClassifier")
    assert parent.data.params["params.max_iter"] == "50"
    assert {k: parent.data.metrics[k] for k in ("roc_auc", "roc_auc_low", "roc_auc_high", "log_loss")} == {
        "roc_auc": 0.712,
        "roc_auc_low": 0.708,
        "roc_auc_high": 0.716,
        "log_loss": 0.5,
    }
    assert parent.data.tags["data_fingerprint"] == "d" * 64
    assert parent.data.tags["code_digest"] == "c" * 64
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} == {"model_card.html", "verdict.json"}
    assert runs["train_model"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert runs["train_model"].data.metrics["rows"] == 120
    assert runs["train_model"].info.status == "FINISHED"
    assert runs["deploy_model"].info.status == "FAILED"
    assert runs["deploy_model"].data.tags["code"] == "deployment.unhealthy"
    assert client.get_model_version("dev.flights", result.version).run_id == parent.info.run_id


def test_closing_a_run_that_nothing_was_logged_for_sends_nothing(state: State) -> None:
    assert close_run(state, "run-8", succeeded=True) == 0


def test_check_verdict_tells_whether_a_model_is_blessed(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    assert is_blessed(LocalArtifact(str(make_verdict(tmp_path / "yes.json", model)))) is True
    assert is_blessed(LocalArtifact(str(make_verdict(tmp_path / "no.json", model, blessed=False)))) is False


def test_the_marker_of_a_release_names_its_model(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    result = call(state, model, make_verdict(tmp_path / "verdict.json", model))
    marker = read_release(result.release_uri)
    assert (marker.model_name, marker.model_digest) == ("flights", result.model_digest)
