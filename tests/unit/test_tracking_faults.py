"""What is wrong with a registry is said rightly, with its address and without its credentials."""

import contextlib
import resource
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.tracking.client import Client, is_unborn
from headway.components._shared.tracking.faults import without_credentials
from tests.disks import make_read_only, small_disk
from tests.registry_samples import new_state


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return Path(new_state(tmp_path / "state")) / "mlflow.db"


def write_to(path: Path) -> None:
    Client(f"sqlite:///{path}").create_registered_model("dev.flights", description="x" * 200_000)


def fault_of(path: Path) -> HeadwayError:
    """The error of writing to a database; it comes soon and names the file."""
    started = time.monotonic()
    with pytest.raises(HeadwayError) as caught:
        write_to(path)
    assert time.monotonic() - started < 30
    assert f"database sqlite:///{path} " in caught.value.message
    return caught.value


def fill(folder: Path) -> None:
    with (folder / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_named_and_nothing_that_was_registered_is_lost(tmp_path: Path, database: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = Path(shutil.copy(database, disk / "mlflow.db"))
        Client(f"sqlite:///{path}").create_registered_model("dev.before")
        fill(disk)
        for fault in (fault_of(path), fault_of(disk / "new.db")):
            assert fault.code == "registry.disk_full"
            assert "is full: database or disk is full" in fault.message
            assert fault.remedy.startswith("Free space there and run the step again")
        assert sorted(p.name for p in disk.iterdir()) == ["filling", "mlflow.db"]
        (disk / "filling").unlink()
        write_to(path)
        found = Client(f"sqlite:///{path}").search_registered_models()
        assert sorted(model.name for model in found) == ["dev.before", "dev.flights"]


def test_a_file_size_limit_is_named_as_a_fault_of_the_disk(database: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database.stat().st_size, before[1]))
    try:
        fault = fault_of(database)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert fault.code == "registry.disk_failed"
    assert "a limit on the size of files" in fault.remedy


def test_a_database_that_may_only_be_read_is_read_and_not_written(tmp_path: Path, database: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        path = Path(shutil.copy(database, disk / "mlflow.db"))
        make_read_only(disk)
        assert Client(f"sqlite:///{path}").search_registered_models() == []
        fault = fault_of(path)
        assert fault.code == "registry.read_only"
        assert "may be read and not written" in fault.message
        assert fault_of(disk / "new.db").code == "registry.read_only"


@pytest.mark.parametrize("content", [b"Dear diary, " * 1000, "damaged"])
def test_a_file_that_is_no_database_or_a_damaged_one_is_named_at_once(database: Path, content: bytes | str) -> None:
    whole = database.read_bytes()
    database.write_bytes(content if isinstance(content, bytes) else whole[:4096] + b"\xff" * 200_000)
    started = time.monotonic()
    fault = fault_of(database)
    assert time.monotonic() - started < 10
    assert fault.code == "registry.corrupt"
    assert fault.remedy.startswith("Restore the file from a backup")


def test_a_place_where_no_database_can_be_is_named_with_the_systems_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path, reason in (
        (tmp_path / "file" / "mlflow.db", "File exists"),
        (tmp_path / "folder", "Is a directory"),
        (Path("/proc/nowhere/mlflow.db"), "No such file or directory"),
    ):
        fault = fault_of(path)
        assert fault.code == "registry.unreachable"
        assert f"cannot be opened: {reason}" in fault.message


def test_a_database_that_cannot_be_looked_at_is_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert is_unborn(f"sqlite:///{tmp_path}/absent.db")
    assert not is_unborn(f"sqlite:///{tmp_path}/file/mlflow.db")
    assert not is_unborn("http://mlflow:5000")


def test_a_database_of_another_mlflow_is_named_with_the_command_that_mends_it(database: Path) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '97727af70f4d'")
    fault = fault_of(database)
    assert fault.code == "registry.outdated"
    assert f"`mlflow db upgrade sqlite:///{database}`" in fault.remedy


@contextlib.contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[str]:
    """A server that gives everyone the same answer, as a broken MLflow or a proxy in front of it does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (401, b"who are you?", "registry.denied", "refuses these credentials (status 401)"),
        (403, b"no", "registry.denied", "refuses these credentials (status 403)"),
        (404, b"nope", "registry.not_mlflow", "is no MLflow server (status 404"),
        (302, b"", "registry.not_mlflow", "is no MLflow server (status 302"),
        (200, b"<html>Welcome</html>", "registry.not_mlflow", "is no MLflow server (status 200"),
        (429, b"", "registry.server_failed", "answers with an error (status 429)"),
        (500, b'{"error_code": "INTERNAL_ERROR"}', "registry.server_failed", "answers with an error (status 500)"),
        (503, b"starting", "registry.server_failed", "answers with an error (status 503)"),
    ],
)
def test_a_server_that_answers_otherwise_than_mlflow_is_named_by_what_it_says(
    status: int, body: bytes, code: str, says: str
) -> None:
    with answering(status, body) as address, pytest.raises(HeadwayError) as caught:
        Client(f"http://user:secret@{address}")
    assert caught.value.code == code
    assert says in caught.value.message
    assert f"http://{address} " in caught.value.message
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (
            "http://user:secret@127.0.0.1:9",
            "registry.unreachable",
            "server at http://127.0.0.1:9 does not answer: Connection refused.",
        ),
        (
            "http://user:secret@registry.invalid:80",
            "registry.unreachable",
            "server at http://registry.invalid:80 does not answer: the name of its host cannot be resolved (",
        ),
        ("http://user:secret@127.0.0.1:http", "registry.address_invalid", "http://127.0.0.1:http is no address"),
        (
            "postgresql+nothing://user:secret@127.0.0.1:9/db",
            "registry.driver_missing",
            "database postgresql+nothing://127.0.0.1:9/db cannot be opened here",
        ),
        ("carrier-pigeon://user:secret@there", "registry.failed", "carrier-pigeon://there"),
    ],
)
def test_a_registry_that_cannot_be_reached_is_named_soon_and_without_credentials(
    given: str, code: str, says: str
) -> None:
    started = time.monotonic()
    with pytest.raises(HeadwayError) as caught:
        Client(given)
    assert time.monotonic() - started < 30
    assert caught.value.code == code
    assert says in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_speak_tls_is_named() -> None:
    with (
        answering(200) as address,
        pytest.raises(HeadwayError, match=rf"unreachable.*https://{address}.*wrong version"),
    ):
        Client(f"https://{address}")


def test_a_server_that_never_answers_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(HeadwayError, match=r"registry.unreachable.*[Tt]imed? ?out"),
    ):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_credentials_are_never_shown() -> None:
    assert without_credentials("https://me:pw@mlflow.example.com/x") == "https://mlflow.example.com/x"
    assert without_credentials("sqlite:////a/b@c/mlflow.db") == "sqlite:////a/b@c/mlflow.db"
