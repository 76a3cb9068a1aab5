"""Releases in a bucket, against a real GCS server: create-if-absent, killed copies, changed files."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.components._shared import releases, tracking
from headway.components._shared.artifacts import LocalArtifact, hash_files, manifest_digest
from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import fetch_release, write_release
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.tracking.client import Client
from headway.components.registration.champion import resolve
from headway.components.registration.register import register
from tests.gcs import gcs_server
from tests.registry_samples import make_model, make_verdict, new_state, outputs


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with gcs_server("headway-state"):
        yield "gs://headway-state"


@pytest.fixture
def state(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    return State(f"{bucket}/{tmp_path.name}")


def test_a_model_is_released_to_a_bucket_and_comes_back_as_champion(state: State, tmp_path: Path) -> None:
    tracking_uri = f"sqlite:///{new_state(tmp_path / 'registry')}/mlflow.db"
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    out = outputs(tmp_path)
    where = {"model_name": "flights", "state_uri": state.uri, "tracking_uri": tracking_uri}
    for outcome in ("registered", "unchanged"):
        result = register(LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **where)
        assert result.outcome == outcome
    assert result.release_uri == f"{state.uri}/releases/flights/{result.model_digest}"
    assert Client(tracking_uri).get_model_version("dev.flights", "1").source == f"{result.release_uri}/model"
    tracking.promote(result, state, tracking_uri=tracking_uri)
    champion = LocalArtifact(str(tmp_path / "champion"))
    assert resolve(champion, **where) is not None
    assert hash_files(Path(champion.path)) == hash_files(model)
    assert [event["action"] for event in verify_events(state, "flights")] == ["registered", "promoted"]


def test_a_copy_that_was_killed_is_completed(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model)
    uri, _ = write_release(state, "flights", model, verdict)
    key = uri.removeprefix(f"{state.uri}/")
    for name in ("release.json", "model/MLmodel"):
        state.storage.delete(f"{key}/{name}")
    with pytest.raises(HeadwayError, match=r"release.missing"):
        fetch_release(uri, tmp_path / "copy")
    write_release(state, "flights", model, verdict)
    fetch_release(uri, tmp_path / "copy")
    assert hash_files(tmp_path / "copy") == hash_files(model)


def test_a_file_that_was_changed_in_the_bucket_is_noticed(state: State, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    uri, _ = write_release(state, "flights", model, make_verdict(tmp_path / "verdict.json", model))
    state.storage.write(f"{uri.removeprefix(f'{state.uri}/')}/model/MLmodel", os.urandom(10))
    with pytest.raises(HeadwayError, match=r"release.changed.*MLmodel"):
        fetch_release(uri, tmp_path / "copy")


def test_runs_that_copy_at_the_same_time_leave_one_whole_release(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "_POLL_S", 0.05)
    models = [make_model(tmp_path / f"model-{i}", salt=str(i // 2)) for i in range(4)]
    verdicts = [make_verdict(tmp_path / f"verdict-{i}.json", model) for i, model in enumerate(models)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: write_release(state, "flights", *pair), zip(models, verdicts, strict=True)))
    fetch_release(found[0][0], tmp_path / "copy")
    assert manifest_digest(tmp_path / "copy") in {manifest_digest(model) for model in models}


def test_writers_of_events_in_a_bucket_make_one_chain(state: State) -> None:
    with ThreadPoolExecutor(4) as pool:
        receipts = list(
            pool.map(lambda i: record_event(state, "flights", "x", model_digest=None, evidence={"i": i}), range(12))
        )
    assert len(verify_events(state, "flights", receipts)) == 12
