"""resolve_champion: what is in service, checked, or a record that nothing is."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from headway.components._shared import tracking
from headway.components._shared.artifacts import LocalArtifact, hash_files, is_champion, manifest_digest
from headway.components._shared.audit import verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.tracking import Registration
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.verdicts import read_verdict
from headway.components.registration.champion import ARTIFACTS_VARIABLE, resolve
from headway.components.registration.register import register
from tests.registry_samples import make_model, make_verdict, new_state, outputs


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RUN_ID_VARIABLE, ARTIFACTS_VARIABLE, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(new_state(tmp_path / "state"))


def champion_of(state: State, folder: Path, **more: str) -> Registration:
    """Registers and promotes a model; `more` goes to make_model."""
    model = make_model(folder / "model", **more)
    out = outputs(folder)
    verdict = make_verdict(folder / "verdict.json", model)
    result = register(
        LocalArtifact(str(model)),
        LocalArtifact(str(verdict)),
        out.registration,
        out.card,
        model_name="flights",
        state_uri=state.uri,
    )
    tracking.promote(result, state)
    return result


def test_the_champion_is_copied_with_all_its_files(state: State, tmp_path: Path) -> None:
    registered = champion_of(state, tmp_path / "a")
    champion = LocalArtifact(str(tmp_path / "champion"))
    verdict = LocalArtifact(str(tmp_path / "verdict.json"))
    found = resolve(champion, verdict, model_name="flights", state_uri=state.uri)
    assert found is not None
    assert found.version == registered.version
    assert read_verdict(verdict.path).model_digest == registered.model_digest
    assert champion.path == str(tmp_path / "champion")
    assert is_champion(champion.path)
    assert hash_files(Path(champion.path)) == hash_files(tmp_path / "a" / "model")
    assert champion.metadata["outcome"] == "found"
    assert champion.metadata["model_digest"] == registered.model_digest


def test_without_a_champion_a_record_says_so(state: State, tmp_path: Path) -> None:
    champion = LocalArtifact(str(tmp_path / "champion"))
    verdict = LocalArtifact(str(tmp_path / "verdict.json"))
    assert resolve(champion, verdict, model_name="flights", state_uri=state.uri) is None
    assert not is_champion(champion.path)
    assert json.loads(Path(verdict.path).read_text())["kind"] == "no_champion"
    assert [p.name for p in Path(champion.path).iterdir()] == ["headway.json"]
    assert json.loads((Path(champion.path) / "headway.json").read_text()) == {
        "schema_version": 1,
        "kind": "no_champion",
        "reason": "dev.flights has no champion yet",
    }


def test_a_challenger_is_not_a_champion(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    out = outputs(tmp_path)
    verdict = LocalArtifact(str(make_verdict(tmp_path / "verdict.json", model)))
    where = {"model_name": "flights", "state_uri": state.uri}
    register(LocalArtifact(str(model)), verdict, out.registration, out.card, **where)
    assert resolve(LocalArtifact(str(tmp_path / "champion")), **where) is None


def test_a_local_run_points_at_the_release_so_that_its_address_stays_the_same(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARTIFACTS_VARIABLE, str(tmp_path / "artifacts"))
    first, second = LocalArtifact(str(tmp_path / "run-1")), LocalArtifact(str(tmp_path / "run-2"))
    resolve(first, model_name="flights", state_uri=state.uri)
    resolve(second, model_name="flights", state_uri=state.uri)
    assert first.path == second.path
    assert not is_champion(first.path)
    registered = champion_of(state, tmp_path / "a")
    resolve(first, model_name="flights", state_uri=state.uri)
    assert first.path == f"{registered.release_uri}/model"


def resolve_fails(state: State, champion: Path) -> HeadwayError:
    with pytest.raises(HeadwayError) as caught:
        resolve(LocalArtifact(str(champion)), model_name="flights", state_uri=state.uri)
    assert not champion.exists()
    return caught.value


def do_as_told(error: HeadwayError) -> None:
    """Runs the command that an error's remedy ends with."""
    command = error.remedy.partition("no champion: ")[2]
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_champion_whose_release_is_gone_is_named_and_can_be_restored(state: State, tmp_path: Path) -> None:
    registered = champion_of(state, tmp_path / "a")
    shutil.move(registered.release_uri or "", tmp_path / "backup")
    error = resolve_fails(state, tmp_path / "champion")
    assert error.code == "release.missing"
    assert error.message == (
        "The champion, version 1 of dev.flights, cannot be compared with. "
        f"There is no finished release at {registered.release_uri}."
    )
    assert error.remedy.startswith("Restore the folder from a backup. Without one, take the title away")
    shutil.move(tmp_path / "backup", registered.release_uri or "")
    found = resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)
    assert found is not None


@pytest.mark.parametrize(("fault", "salt"), [("missing", "other bytes"), ("changed", "")])
def test_after_the_remedy_the_next_run_finds_no_champion_and_the_same_model_can_be_champion_again(
    state: State, tmp_path: Path, fault: str, salt: str
) -> None:
    registered = champion_of(state, tmp_path / "a")
    release = Path(registered.release_uri or "")
    if fault == "changed":
        (release / "model" / "MLmodel").write_text("edited")
        error = resolve_fails(state, tmp_path / "champion")
        assert "Without one, remove it and take the title away" in error.remedy
        shutil.rmtree(release)
    else:
        shutil.rmtree(release)
        error = resolve_fails(state, tmp_path / "champion")
    assert error.code == f"release.{fault}"
    do_as_told(error)
    champion = LocalArtifact(str(tmp_path / "champion"))
    assert resolve(champion, model_name="flights", state_uri=state.uri) is None
    again = champion_of(state, tmp_path / "b", salt=salt)
    assert (again.outcome, again.version) == ("unchanged", registered.version)
    assert ("its lost release was written again" in again.reason) == bool(salt)
    found = resolve(champion, model_name="flights", state_uri=state.uri)
    assert found is not None
    assert hash_files(Path(champion.path)) == hash_files(tmp_path / "b" / "model")
    actions = [event["action"] for event in verify_events(state, "flights")]
    assert actions.count("released_again") == (1 if salt else 0)


def test_a_marker_that_somebody_wrote_for_other_files_does_not_reach_the_registry(state: State, tmp_path: Path) -> None:
    """The same digest in other bytes, put into the release with a marker of its own but without a verdict."""
    release = Path(champion_of(state, tmp_path / "a").release_uri or "")
    forged = make_model(tmp_path / "forged", salt="forged")
    shutil.rmtree(release / "model")
    shutil.copytree(forged, release / "model")
    marker = json.loads((release / "release.json").read_text())
    (release / "release.json").write_text(json.dumps({**marker, "manifest_sha256": manifest_digest(forged)}))
    with pytest.raises(HeadwayError, match=r"release.changed.*No positive verdict is about its files"):
        champion_of(state, tmp_path / "b", salt="forged again")
    assert resolve_fails(state, tmp_path / "champion").code == "release.changed"


def test_a_state_folder_that_was_moved_has_its_champion_still(state: State, tmp_path: Path) -> None:
    champion_of(state, tmp_path / "a")
    moved = State(str(shutil.move(state.uri, tmp_path / "moved")))
    champion = LocalArtifact(str(tmp_path / "champion"))
    found = resolve(champion, model_name="flights", state_uri=moved.uri)
    assert found is not None
    assert hash_files(Path(champion.path)) == hash_files(tmp_path / "a" / "model")
    assert champion_of(moved, tmp_path / "b").outcome == "unchanged"
    now = resolve(champion, model_name="flights", state_uri=moved.uri)
    assert now is not None
    assert (now.release_uri or "").startswith(moved.uri)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data/model.skops", "data/model.skops"),
        ("headway.json", "headway.json is gone or differs"),
    ],
)
def test_a_champion_whose_files_were_changed_is_an_error(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str, local: bool
) -> None:
    registered = champion_of(state, tmp_path / "a")
    with (Path(registered.release_uri) / "model" / name).open("ab") as file:
        file.write(b"}")
    if local:
        monkeypatch.setenv(ARTIFACTS_VARIABLE, str(tmp_path / "artifacts"))
    with pytest.raises(HeadwayError, match=f"release.changed.*{message}"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)
    assert not (tmp_path / "champion").exists()


def test_a_champion_that_lost_a_file_is_an_error(state: State, tmp_path: Path) -> None:
    registered = champion_of(state, tmp_path / "a")
    (Path(registered.release_uri) / "model" / "MLmodel").unlink()
    with pytest.raises(HeadwayError, match=r"release.changed.*One of its files is gone"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)


def test_a_release_that_was_replaced_by_another_whole_model_is_an_error(state: State, tmp_path: Path) -> None:
    first = champion_of(state, tmp_path / "a")
    second = champion_of(state, tmp_path / "b", name="b")
    shutil.rmtree(second.release_uri)
    shutil.copytree(first.release_uri, second.release_uri)
    with pytest.raises(HeadwayError, match=r"release.changed.*marker is not the one that the registry knows"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)


def test_a_registry_that_names_another_digest_is_an_error(state: State, tmp_path: Path) -> None:
    champion_of(state, tmp_path / "a")
    Client(tracking_address("auto", state.uri)).set_model_version_tag("dev.flights", "1", "model_digest", "0" * 64)
    with pytest.raises(HeadwayError, match=r"registry.digest_differs.*version 1 of dev.flights"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)


def test_a_champion_that_somebody_else_put_there_is_named(state: State, tmp_path: Path) -> None:
    client = Client(tracking_address("auto", state.uri))
    client.create_registered_model("dev.flights")
    client.create_model_version("dev.flights", source="gs://elsewhere/model")
    client.set_registered_model_alias("dev.flights", "champion", "1")
    with pytest.raises(HeadwayError, match=r"registry.champion_foreign.*'dev.flights version 1'.*adopt_model"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)


def test_a_champion_of_another_model_is_named(state: State, tmp_path: Path) -> None:
    champion_of(state, tmp_path / "a")
    Client(tracking_address("auto", state.uri)).set_model_version_tag("dev.flights", "1", "model_name", "churn")
    with pytest.raises(HeadwayError, match=r"registry.champion_foreign.*not registered for 'flights'"):
        resolve(LocalArtifact(str(tmp_path / "champion")), model_name="flights", state_uri=state.uri)


def test_an_unreachable_registry_is_no_reason_to_say_that_there_is_no_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(HeadwayError, match=r"registry.unreachable.*Connection refused"):
        resolve(LocalArtifact(str(tmp_path / "c")), model_name="flights", tracking_uri="http://127.0.0.1:9")
    assert not (tmp_path / "c").exists()
