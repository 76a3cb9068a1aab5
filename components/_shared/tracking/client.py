"""The one way to MLflow: which server, in bounded time, without noise, and with every failure named."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import local_folder
from headway.components._shared.tracking.faults import named, without_credentials

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_ATTEMPTS = 6

# What the loser of two writers is told, by SQLite about the file and by any database about a row; it may try again.
_LOST_RACES = ("database is locked", "IntegrityError", "UniqueViolation")

# MLflow's own limits let one request to a dead server take four minutes. What the user has set wins.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_address(tracking_uri: str, state_uri: str | None) -> str:
    """The MLflow server or database that a `tracking_uri` parameter means.

    Args:
        tracking_uri: An address, or `auto`: `MLFLOW_TRACKING_URI` if it is set, else a database in the state folder.
        state_uri: Where the suite keeps its state.

    Raises:
        HeadwayError: `registry.not_configured`: `auto` without a variable and without a local state folder.
    """
    if tracking_uri != "auto":
        return tracking_uri
    if configured := os.environ.get(TRACKING_VARIABLE):
        return configured
    folder = local_folder(state_uri) if state_uri else None
    if folder is not None:
        return f"{_SQLITE}{folder}/mlflow.db"
    raise HeadwayError(
        "registry.not_configured",
        "No MLflow server is configured, and none can be assumed when the state is not a local folder.",
        value=state_uri,
        remedy=f"Set the parameter tracking_uri or the environment variable {TRACKING_VARIABLE}.",
    )


def is_unborn(address: str) -> bool:
    """Whether an address is a database that nobody has made yet, so that nothing can be registered in it."""
    if not address.startswith(_SQLITE):
        return False
    try:
        Path(address.removeprefix(_SQLITE)).stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it cannot be looked at, which is another thing than that it is not there
    return False


class Client:
    """`mlflow.MlflowClient` with named errors: every verb of that class works here too.

    A call to a busy or unreachable registry is repeated a bounded number of times. What is absent or already
    there raises `AbsentError` or `ExistsError`.

    Args:
        address: From `tracking_address`. A new SQLite database is made whole or not at all, by exactly one process.

    Raises:
        HeadwayError: `registry.*`, as `faults.named` has them; here and from every verb.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        if address.startswith(_SQLITE):
            self._ask(lambda: _open_database(Path(address.removeprefix(_SQLITE))))
        self._client = self._ask(lambda: mlflow.MlflowClient(tracking_uri=address, registry_uri=address))
        self.search_registered_models(max_results=1)

    @property
    def is_database(self) -> bool:
        """Whether the address is a database that this process opens itself, and not a server."""
        return not self.address.startswith(("http://", "https://", "databricks"))

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(self._client, verb)
        return lambda *args, **kwargs: self._ask(lambda: method(*args, **kwargs))

    def _ask(self, call: Callable[[], Any]) -> Any:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except (MlflowException, SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
                if any(sign in str(error) for sign in _LOST_RACES) and attempt < _ATTEMPTS:
                    time.sleep(0.05 * 2**attempt * (1 + secrets.randbelow(100) / 100))
                    continue
                raise named(error, without_credentials(self.address)) from error
        raise AssertionError("the last attempt returns or raises")


def _open_database(path: Path) -> None:
    """Makes the database if it is absent; a damaged one fails here at once, where MLflow tries for two minutes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not path.exists():
        _make_database(path)
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.execute("SELECT count(*) FROM sqlite_master")


def _make_database(path: Path) -> None:
    """Makes an SQLite database beside its place and links it there: processes that start together all find one."""
    from mlflow import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    aside = path.with_name(f".aside-{secrets.token_hex(8)}.db")
    aside.touch()  # fails at once where nothing can be written
    event.listen(Engine, "connect", _without_syncing)
    try:
        MlflowClient(tracking_uri=f"{_SQLITE}{aside}", registry_uri=f"{_SQLITE}{aside}").search_experiments()
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        event.remove(Engine, "connect", _without_syncing)
        for leftover in path.parent.glob(f"{aside.name}*"):
            leftover.unlink(missing_ok=True)


def _without_syncing(connection: Any, _: object) -> None:
    """Forty migrations that each wait for the disk take ten times as long, for a file that nobody sees yet."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
