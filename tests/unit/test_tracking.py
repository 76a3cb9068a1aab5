"""The registry behind one interface: an SQLite database, and a real MLflow server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.components._shared import tracking
from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.audit import verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.tracking import Registration
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.tracking.experiments import close_run
from headway.components.registration.champion import resolve
from headway.components.registration.register import register
from tests.registry_samples import make_model, make_verdict, new_state, outputs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server that keeps artifacts itself, as a team's server does."""
    folder = Path(new_state(tmp_path_factory.mktemp("server") / "state"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        start_new_session=True,
    )
    try:
        _await_health(f"http://127.0.0.1:{port}/health", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        log.close()


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)


@pytest.fixture(params=["database", "server"])
def address(request: pytest.FixtureRequest) -> str:
    return "auto" if request.param == "database" else request.getfixturevalue("server")


@pytest.fixture(autouse=True)
def _outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(new_state(tmp_path / "state"))


class Team:
    """A team that registers models under a name of its own, so that tests may share a server."""

    def __init__(self, state: State, address: str, folder: Path) -> None:
        self.state, self.address, self.folder = state, address, folder
        self.name = f"m{abs(hash(str(folder))) % 10**12}"

    def client(self) -> Client:
        return Client(tracking_address(self.address, self.state.uri))

    def register(self, name: str) -> Registration:
        folder = self.folder / name
        model = make_model(folder / "model", name=name)
        verdict = make_verdict(folder / "verdict.json", model)
        out = outputs(folder)
        return register(
            LocalArtifact(str(model)),
            LocalArtifact(str(verdict)),
            out.registration,
            out.card,
            model_name=self.name,
            tracking_uri=self.address,
            state_uri=self.state.uri,
        )

    def promote(self, registration: Registration) -> tracking.Promotion:
        return tracking.promote(registration, self.state, tracking_uri=self.address)

    def champion(self) -> Registration | None:
        champion = LocalArtifact(str(self.folder / "champion"))
        where = {"tracking_uri": self.address, "state_uri": self.state.uri}
        return resolve(champion, model_name=self.name, **where)


@pytest.fixture
def team(state: State, address: str, tmp_path: Path) -> Team:
    return Team(state, address, tmp_path)


def test_a_model_is_registered_promoted_and_found_as_champion(team: Team) -> None:
    assert team.champion() is None
    registered = team.register("a")
    promotion = team.promote(registered)
    assert (promotion.moved, promotion.previous) == (True, None)
    found = team.champion()
    assert found is not None
    assert (found.version, found.model_digest, found.release_uri) == (
        registered.version,
        registered.model_digest,
        registered.release_uri,
    )
    assert team.register("a").outcome == "unchanged"
    assert [event["action"] for event in verify_events(team.state, team.name)] == ["registered", "promoted"]


def test_promoting_again_changes_nothing(team: Team) -> None:
    registered = team.register("a")
    team.promote(registered)
    assert team.promote(registered).moved is False
    assert len(verify_events(team.state, team.name)) == 2


def test_a_promotion_remembers_the_champion_before_so_that_it_can_be_taken_back(team: Team) -> None:
    first, second = team.register("a"), team.register("b")
    team.promote(first)
    promotion = team.promote(second)
    assert promotion.previous is not None
    assert promotion.previous.model_digest == first.model_digest
    assert team.promote(second).previous == promotion.previous
    before = tracking.previous_champion(second, team.state, tracking_uri=team.address)
    assert before == promotion.previous
    team.promote(before)
    champion = team.champion()
    assert champion is not None
    assert champion.version == first.version
    actions = [(event["action"], event["model_digest"]) for event in verify_events(team.state, team.name)]
    assert actions[-2:] == [("promoted", second.model_digest), ("promoted", first.model_digest)]


def test_the_registry_vouches_for_the_audit_trail(team: Team) -> None:
    registered = team.register("a")
    team.promote(registered)
    tags = team.client().get_model_version(registered.registered_model, registered.version).tags
    receipts = [tags["audit_registered"], tags["audit_promoted"]]
    verify_events(team.state, team.name, receipts)
    for kind in ("events", "witnesses"):
        team.state.storage.delete(f"{kind}/{team.name}/00000/00000002.json")
    verify_events(team.state, team.name)
    with pytest.raises(HeadwayError, match=r"audit.broken.*event 2 is not the one whose receipt was kept"):
        verify_events(team.state, team.name, receipts)


def test_a_promoted_version_is_no_challenger_any_more(team: Team) -> None:
    first, second = team.register("a"), team.register("b")
    team.promote(first)
    aliases = team.client().get_registered_model(first.registered_model).aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {
        "champion": first.version,
        "challenger": second.version,
    }


def test_a_version_says_where_its_release_is(team: Team) -> None:
    registered = team.register("a")
    version = team.client().get_model_version(registered.registered_model, registered.version)
    assert version.tags["release_uri"] == registered.release_uri
    assert version.source.endswith(f"{registered.release_uri}/model")


def test_a_run_is_continued_and_closed(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, f"run-of-{team.name}")
    registered = team.register("a")
    team.register("a")
    assert close_run(team.state, f"run-of-{team.name}", succeeded=True) == 1
    client = team.client()
    experiment = client.get_experiment_by_name(registered.registered_model)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["register_model", f"run-of-{team.name}"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs[f"run-of-{team.name}"].info.run_id
    assert {a.path for a in client.list_artifacts(parent)} == {"model_card.html", "verdict.json"}


def test_runs_that_register_one_model_at_the_same_time_share_one_version(team: Team) -> None:
    folder = team.folder / "a"
    model = make_model(folder / "model")
    verdict = make_verdict(folder / "verdict.json", model)
    where = {"model_name": team.name, "tracking_uri": team.address, "state_uri": team.state.uri}

    def call(i: int) -> tuple[str, str | None]:
        (folder / str(i)).mkdir()
        out = outputs(folder / str(i))
        result = register(LocalArtifact(str(model)), LocalArtifact(str(verdict)), out.registration, out.card, **where)
        return result.outcome, result.version

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(call, range(4)))
    assert found == [("registered", "1"), *[("unchanged", "1")] * 3]
    assert len(team.client().search_model_versions(f"name = 'dev.{team.name}'")) == 1


def test_a_refused_model_cannot_be_promoted(team: Team) -> None:
    refused = team.register("a").model_copy(update={"outcome": "refused", "version": None})
    with pytest.raises(HeadwayError, match=r"registry.not_registered.*refused cannot become champion"):
        team.promote(refused)


def test_a_version_that_is_gone_cannot_be_promoted(team: Team) -> None:
    gone = team.register("a").model_copy(update={"version": "77"})
    with pytest.raises(HeadwayError, match=r"registry.absent.*77"):
        team.promote(gone)


def test_auto_takes_the_variable_then_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert tracking_address("auto", str(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_address("auto", f"file://{tmp_path}") == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_address("http://there", str(tmp_path)) == "http://there"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_address("auto", "gs://bucket/state") == "http://mlflow:5000"


@pytest.mark.parametrize("state_uri", ["gs://bucket/state", None])
def test_auto_without_a_server_or_a_local_state_says_what_to_set(state_uri: str | None) -> None:
    with pytest.raises(HeadwayError, match=r"registry.not_configured.*tracking_uri or the environment variable MLFLOW"):
        tracking_address("auto", state_uri)


def test_processes_that_touch_a_new_database_together_all_find_it_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from headway.components._shared.tracking.client import Client; "
        "Client('sqlite:///' + sys.argv[1]).create_registered_model('m' + sys.argv[2])"
    )
    path = tmp_path / "new" / "mlflow.db"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(i)], stderr=subprocess.PIPE) for i in range(3)
    ]
    said = [process.communicate(timeout=200)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert said == [b"", b"", b""]
    found = Client(f"sqlite:///{path}").search_registered_models()
    assert sorted(model.name for model in found) == ["m0", "m1", "m2"]
    assert [p.name for p in path.parent.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("content", ["", "[1]", "{nonsense"])
def test_a_registration_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "registration.json"
    path.write_text(content)
    with pytest.raises(HeadwayError, match=r"registration.unreadable.*register_model"):
        tracking.read_registration(path)
