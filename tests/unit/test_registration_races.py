"""Releases and versions when two runs come at the same time, or one is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.components._shared import releases
from headway.components._shared.artifacts import LocalArtifact, hash_files, manifest_digest
from headway.components._shared.audit import verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import check_release, fetch_release, read_release, write_release
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.storage import FolderStorage
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components.registration import versions as versions_module
from headway.components.registration.register import register
from tests.registry_samples import make_model, make_verdict, new_state, outputs

_ROOT = Path(__file__).parents[2]
_REGISTER = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.registration import versions as versions_module
from headway.components.registration.register import register
model, verdict, out, state = sys.argv[1:]
result = register(LocalArtifact(model), LocalArtifact(verdict), LocalArtifact(out + "/r.json"),
                  LocalArtifact(out + "/card.html"), model_name="flights", state_uri=state)
print(result.outcome, result.version)
"""


@pytest.fixture(autouse=True)
def _outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def versions(state: State) -> list:
    return list(Client(tracking_address("auto", state.uri)).search_model_versions("name = 'dev.flights'"))


def test_processes_that_register_one_model_at_the_same_time_on_a_new_state_give_one_version(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    state = tmp_path / "state"
    started = []
    for i in range(3):
        (tmp_path / str(i)).mkdir()
        arguments = [str(model), str(verdict), str(tmp_path / str(i)), str(state)]
        environment = {**os.environ, RUN_ID_VARIABLE: f"run-{i}"}
        started.append(
            subprocess.Popen([sys.executable, "-c", _REGISTER, *arguments], stdout=subprocess.PIPE, env=environment)
        )
    said = sorted(process.communicate(timeout=200)[0].decode().split() for process in started)
    assert said == [["registered", "1"], ["unchanged", "1"], ["unchanged", "1"]]
    assert len(versions(State(str(state)))) == 1
    assert len(verify_events(State(str(state)), "flights")) == 1
    check_release(json.loads((tmp_path / "0" / "r.json").read_text())["release_uri"])


def test_two_versions_of_one_model_settle_on_the_lower_one(tmp_path: Path) -> None:
    """What happens when a claim's owner wakes up after the other run has passed it by."""
    state = State(new_state(tmp_path / "state"))
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    client = Client(tracking_address("auto", state.uri))
    gate, create = threading.Barrier(4), versions_module._create_version

    def at_once(*args: object) -> int:
        gate.wait(30)
        return create(*args)

    def call(i: int) -> str | None:
        (tmp_path / str(i)).mkdir()
        out = outputs(tmp_path / str(i))
        where = {"model_name": "flights", "state_uri": state.uri}
        return register(
            LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **where
        ).version

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(4) as pool:
        patch.setattr(versions_module, "_create_version", at_once)
        patch.setattr(versions_module, "_await_other_run", lambda *_: [])
        found = list(pool.map(call, range(4)))
    assert [str(v.version) for v in versions(state)] == ["1"]
    assert found == ["1"] * 4
    assert client.get_registered_model("dev.flights").aliases == {"challenger": versions(state)[0].version}


def test_a_claim_whose_owner_was_killed_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "_PATIENCE_S", 0.5)
    state = State(new_state(tmp_path / "state"))
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    uri, _ = write_release(state, "flights", model, verdict)
    (Path(uri) / "claims").mkdir()
    (Path(uri) / "claims" / "dev.json").write_text('{"run_id": "killed", "nonce": "x"}')
    out = outputs(tmp_path)
    result = register(
        LocalArtifact(str(model)),
        LocalArtifact(str(verdict)),
        out.registration,
        out.card,
        model_name="flights",
        state_uri=state.uri,
    )
    assert (result.outcome, result.version) == ("registered", "1")


def test_a_second_try_of_the_same_run_does_not_wait_for_its_own_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    monkeypatch.setattr(versions_module, "_PATIENCE_S", 1000)
    state = State(new_state(tmp_path / "state"))
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    uri, _ = write_release(state, "flights", model, verdict)
    (Path(uri) / "claims").mkdir()
    (Path(uri) / "claims" / "dev.json").write_text('{"run_id": "run-1", "nonce": "x"}')
    out = outputs(tmp_path)
    where = {"model_name": "flights", "state_uri": state.uri}
    result = register(LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **where)
    assert result.outcome == "registered"


def test_a_step_killed_while_it_copies_leaves_no_release_and_the_next_try_completes_it(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    for i in range(300):
        (model / "data" / f"part-{i}.bin").write_bytes(os.urandom(2000))
    make_model(model)
    verdict = make_verdict(tmp_path / "verdict.json", model)
    state = State(new_state(tmp_path / "state"))
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _REGISTER, str(model), str(verdict), str(tmp_path / "out"), state.uri],
        stdout=subprocess.PIPE,
    )
    releases_folder = Path(state.uri) / "releases"
    deadline = time.monotonic() + 120
    while len(list(releases_folder.rglob("*.bin"))) < 5:
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    unfinished = next(releases_folder.glob("flights/*"))
    if not (unfinished / "release.json").exists():
        with pytest.raises(HeadwayError, match=r"release.missing"):
            read_release(str(unfinished))
    out = outputs(tmp_path)
    where = {"model_name": "flights", "state_uri": state.uri}
    result = register(LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **where)
    assert result.version == "1"
    assert hash_files(check_release(result.release_uri)) == hash_files(model)


_DIE_AT = """
import os, sys
from headway.components._shared import storage
from headway.components._shared.releases import write_release
from headway.components._shared.state import State
model, verdict, state, left = *sys.argv[1:4], int(sys.argv[4])
link = storage._link
def dying(aside, target):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    return link(aside, target)
storage._link = dying
write_release(State(state), "flights", model, verdict)
"""


@pytest.mark.parametrize("copied", range(6))
def test_a_copy_may_be_killed_before_any_of_its_objects(tmp_path: Path, copied: int) -> None:
    """Four files of the model, the verdict, the marker: the manifest comes first, the marker last."""
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    state = State(str(tmp_path / "state"))
    killed = subprocess.run(
        [sys.executable, "-c", _DIE_AT, str(model), str(verdict), state.uri, str(copied + 1)], check=False
    )
    assert killed.returncode == 9
    release = Path(state.uri) / state.release_key("flights", releases.read_manifest(model).model_digest)
    with pytest.raises(HeadwayError, match=r"release.missing"):
        read_release(str(release))
    uri, _ = write_release(state, "flights", model, verdict)
    assert hash_files(check_release(uri)) == hash_files(model)


def test_two_trainings_of_one_model_never_mix_their_files(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    models = [make_model(tmp_path / f"model-{i}", salt=str(i)) for i in range(4)]
    verdicts = [make_verdict(tmp_path / f"verdict-{i}.json", model) for i, model in enumerate(models)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: write_release(state, "flights", *pair), zip(models, verdicts, strict=True)))
    assert len({uri for uri, _ in found}) == 1
    assert len({marker.manifest_sha256 for _, marker in found}) == 1
    folder = check_release(found[0][0])
    winner = next(model for model in models if manifest_digest(model) == manifest_digest(folder))
    assert hash_files(folder) == hash_files(winner)
    assert releases.release_verdict(found[0][0]).manifest_sha256 == manifest_digest(winner)


def test_a_copy_that_stands_still_is_taken_over_and_what_it_left_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(releases, "_POLL_S", 0.05)
    state = State(str(tmp_path / "state"))
    killed, model = make_model(tmp_path / "killed", salt="x"), make_model(tmp_path / "model", salt="y")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    key = state.release_key("flights", releases.read_manifest(killed).model_digest)
    half = FolderStorage(Path(state.uri) / key)
    for name in ("headway.json", "MLmodel"):
        half.upload(killed / name, f"model/{name}")
    half.create("model/data/left-behind.bin", b"x")
    half.create("verdict.json", make_verdict(tmp_path / "other.json", killed).read_bytes())
    uri, marker = write_release(state, "flights", model, verdict)
    assert marker.manifest_sha256 == manifest_digest(model)
    assert hash_files(check_release(uri)) == hash_files(model)
    assert releases.release_verdict(uri).manifest_sha256 == manifest_digest(model)


def test_an_owner_that_comes_back_after_it_was_passed_by_does_not_finish_the_release(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    slow, model = make_model(tmp_path / "slow", salt="x"), make_model(tmp_path / "model", salt="y")
    verdict = make_verdict(tmp_path / "verdict.json", slow)
    manifest = releases.read_manifest(slow)
    storage = FolderStorage(Path(state.uri) / state.release_key("flights", manifest.model_digest))
    storage.upload(model / "headway.json", "model/headway.json")
    release = releases.Release(
        model_name="flights", model_digest=manifest.model_digest, manifest_sha256=manifest_digest(slow)
    )
    releases._complete(storage, release, slow, verdict)
    assert storage.stat("release.json") is None


def test_a_waiting_run_gets_the_release_of_the_one_that_is_slowly_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "_PATIENCE_S", 1.5)
    monkeypatch.setattr(releases, "_POLL_S", 0.05)
    state = State(str(tmp_path / "state"))
    slow, model = make_model(tmp_path / "slow", salt="x"), make_model(tmp_path / "model", salt="y")
    verdict = make_verdict(tmp_path / "verdict.json", slow)
    key = state.release_key("flights", releases.read_manifest(slow).model_digest)
    storage = FolderStorage(Path(state.uri) / key)
    storage.upload(slow / "headway.json", "model/headway.json")

    def copy_slowly() -> None:
        for i in range(4):
            time.sleep(0.7)
            storage.create(f"model/sign-of-life-{i}", b"")
        write_release(state, "flights", slow, verdict)

    with ThreadPoolExecutor(1) as pool:
        slow_copy = pool.submit(copy_slowly)
        _, marker = write_release(state, "flights", model, make_verdict(tmp_path / "other.json", model))
        slow_copy.result()
    assert marker.manifest_sha256 == manifest_digest(slow)


def test_a_fetched_release_replaces_what_was_there_whole(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    model = make_model(tmp_path / "model")
    uri, _ = write_release(state, "flights", model, make_verdict(tmp_path / "verdict.json", model))
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    fetch_release(uri, target)
    assert hash_files(target) == hash_files(model)
