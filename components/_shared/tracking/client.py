"""The one way to MLflow: which server, in bounded time, without noise, and with every failure named."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError

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


class AbsentError(HeadwayError):
    """The registry has no such thing."""


class ExistsError(HeadwayError):
    """The registry has such a thing already."""


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
    if state_uri is not None and "://" not in state_uri.removeprefix("file://"):
        return f"{_SQLITE}{Path(state_uri.removeprefix('file://')).absolute()}/mlflow.db"
    raise HeadwayError(
        "registry.not_configured",
        "No MLflow server is configured, and none can be assumed when the state is not a local folder.",
        value=state_uri,
        remedy=f"Set the parameter tracking_uri or the environment variable {TRACKING_VARIABLE}.",
    )


def is_unborn(address: str) -> bool:
    """Whether an address is a database that nobody has made yet, so that nothing can be registered in it."""
    return address.startswith(_SQLITE) and not Path(address.removeprefix(_SQLITE)).exists()


def without_credentials(address: str) -> str:
    """An address that may be shown and stored: user and password removed."""
    return re.sub(r"(?<=://)[^/@]+@", "", address)


class Client:
    """`mlflow.MlflowClient` with named errors: every verb of that class works here too.

    A call to a busy or unreachable registry is repeated a bounded number of times. What is absent or already
    there raises `AbsentError` or `ExistsError`.

    Args:
        address: From `tracking_address`. A new SQLite database is made whole or not at all, by exactly one process.

    Raises:
        HeadwayError: `registry.unreachable`, `registry.denied`, `registry.outdated`, `registry.driver_missing`,
            `registry.failed`.
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
            self._ask(lambda: _make_database(Path(address.removeprefix(_SQLITE))))
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
            except MlflowException as error:
                if any(sign in str(error) for sign in _LOST_RACES) and attempt < _ATTEMPTS:
                    time.sleep(0.05 * 2**attempt * (1 + secrets.randbelow(100) / 100))
                    continue
                raise _named(error, without_credentials(self.address)) from error
            except OSError as error:
                raise _unreachable(without_credentials(self.address), error.strerror or str(error)) from error
            except (ImportError, SQLAlchemyError) as error:
                raise HeadwayError(
                    "registry.driver_missing",
                    f"This kind of database cannot be opened here: {_short(str(error))}.",
                    value=without_credentials(self.address).partition("://")[0],
                    remedy="Use an MLflow server's http(s) address, or add the driver to the image.",
                ) from error
        raise AssertionError("the last attempt returns or raises")


def _named(error: Exception, address: str) -> HeadwayError:
    """Our error for one of MLflow's."""
    text, code = str(error), getattr(error, "error_code", "")
    cause = error.__cause__ or error.__context__
    if code == "RESOURCE_DOES_NOT_EXIST":
        return AbsentError("registry.absent", text, value=address, remedy="Check the name and the registry's address.")
    if code == "RESOURCE_ALREADY_EXISTS":
        return ExistsError("registry.exists", text, value=address, remedy="Use the one that is there.")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED") or re.search(
        "error code 40[13]", text
    ):
        return HeadwayError(
            "registry.denied",
            "The MLflow server refuses these credentials.",
            value=address,
            remedy="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        )
    if "out-of-date database schema" in text:
        return HeadwayError(
            "registry.outdated",
            "The MLflow database was made by another version of MLflow.",
            value=address,
            remedy="Back it up and run `mlflow db upgrade` with its address.",
        )
    if type(cause).__module__.startswith("requests.") or code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR"):
        return _unreachable(address, text)
    return HeadwayError(
        "registry.failed",
        f"MLflow refused a request: {_short(text)}.",
        value=address,
        remedy="Check the address, and that it is an MLflow 3 server or database.",
    )


def _unreachable(address: str, text: str) -> HeadwayError:
    return HeadwayError(
        "registry.unreachable",
        f"The MLflow server does not answer: {_short(text.rsplit(': ', 1)[-1])}.",
        value=address,
        remedy="Check the address and the network, or start the server; then run the step again.",
    )


def _short(text: str) -> str:
    return without_credentials(text.strip().partition("\n")[0][:300].strip(" .)\"'")) or "no reason given"


def _make_database(path: Path) -> None:
    """Makes an SQLite database beside its place and links it there: processes that start together all find one."""
    if path.exists():
        return
    from mlflow import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".aside-{secrets.token_hex(8)}.db")
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
