"""Names what is wrong with a registry: the disk, the file, the address, the network, the server or the rights."""

from __future__ import annotations

import errno
import re
import socket
import sqlite3
from collections.abc import Iterator

from headway.components._shared.errors import HeadwayError


class AbsentError(HeadwayError):
    """The registry has no such thing."""


class ExistsError(HeadwayError):
    """The registry has such a thing already."""


def named(error: Exception, address: str) -> HeadwayError:
    """Our error for one of MLflow's, of the database's or of the operating system's.

    Args:
        error: What was raised.
        address: Of the registry, without credentials.
    """
    text, code = str(error), getattr(error, "error_code", "")
    chain = list(_chain(error))
    if code == "RESOURCE_DOES_NOT_EXIST":
        return AbsentError("registry.absent", text, value=address, remedy="Check the name and the registry's address.")
    if code == "RESOURCE_ALREADY_EXISTS":
        return ExistsError("registry.exists", text, value=address, remedy="Use the one that is there.")
    if "out-of-date database schema" in text:
        return HeadwayError(
            "registry.outdated",
            f"The MLflow database {address} was made by another version of MLflow.",
            value=address,
            remedy=f"Back it up, then run `mlflow db upgrade {address}`; if a newer MLflow made it, install that one.",
        )
    missing = next((e for e in chain if isinstance(e, ImportError) or type(e).__name__ == "NoSuchModuleError"), None)
    if missing is not None:
        return HeadwayError(
            "registry.driver_missing",
            f"The database {address} cannot be opened here: {_short(str(missing))}.",
            value=address.partition("://")[0],
            remedy="Use an MLflow server's http(s) address, or add the driver to the image.",
        )
    if address.startswith(("http://", "https://")):
        return _server(chain, text, address)
    return _database(chain, text, address)


def without_credentials(address: str) -> str:
    """An address that may be shown and stored: user and password removed."""
    return re.sub(r"(?<=://)[^/@]+@", "", address)


# What a database says (SQLite's words, the operating system's) to code, what happened, and what to do about it.
_DATABASE_FAULTS = (
    (
        ("is full", "No space left", "quota exceeded"),
        ("registry.disk_full", "The disk of the registry's database {address} is full: {reason}."),
        "Free space there and run the step again; what was registered before is safe.",
    ),
    (
        ("disk I/O error", "File too large"),
        (
            "registry.disk_failed",
            "The disk under the registry's database {address} fails: {reason}.",
        ),
        "Look for a full disk, a quota, a limit on the size of files, or a broken disk; then run the step again.",
    ),
    (
        ("readonly database", "Read-only file system"),
        ("registry.read_only", "The registry's database {address} may be read and not written: {reason}."),
        "Give this user the right to write the file and its folder, or name another registry in tracking_uri.",
    ),
    (
        ("not a database", "malformed"),
        ("registry.corrupt", "The registry's database {address} is damaged, or another kind of file: {reason}."),
        "Restore the file from a backup, or name another registry in tracking_uri.",
    ),
    (
        ("authentication failed", "Access denied", "permission denied for"),
        ("registry.denied", "The database {address} refuses these credentials."),
        "Check user and password in the address, and the user's rights.",
    ),
)


def _database(chain: list[BaseException], text: str, address: str) -> HeadwayError:
    original = next((found for e in chain if (found := getattr(e, "orig", None))), None)  # SQLAlchemy adds the SQL
    reason = _short(str(original) if original else _system_reason(chain) or text)
    for signs, (code, message), remedy in _DATABASE_FAULTS:
        if any(sign in reason for sign in signs):
            return HeadwayError(code, message.format(address=address, reason=reason), value=address, remedy=remedy)
    if original or any(isinstance(e, OSError | sqlite3.Error) for e in chain):
        return HeadwayError(
            "registry.unreachable",
            f"The registry's database {address} cannot be opened: {reason}.",
            value=address,
            remedy="Check the address, the path and the network; then run the step again.",
        )
    return _refused(text, address)


def _server(chain: list[BaseException], text: str, address: str) -> HeadwayError:
    status = re.search(r"error code (\d{3})|too many (\d{3}) error", text)
    answered = int(status[1] or status[2]) if status else 200 if "not in a valid JSON" in text else None
    if answered in (401, 403):
        return HeadwayError(
            "registry.denied",
            f"The MLflow server at {address} refuses these credentials (status {answered}).",
            value=address,
            remedy="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        )
    if answered is not None and (answered == 429 or answered >= 500):
        return HeadwayError(
            "registry.server_failed",
            f"The MLflow server at {address} answers with an error (status {answered}).",
            value=address,
            remedy="Look at the server's log; run the step again when it is well.",
        )
    if answered in (200, 404) or (answered is not None and 300 <= answered < 400):
        return HeadwayError(
            "registry.not_mlflow",
            f"What answers at {address} is no MLflow server (status {answered} for a path of MLflow's).",
            value=address,
            remedy="Check the address; behind a proxy it may need a path, or a sign-in that MLflow does not do.",
        )
    if any(type(e).__name__ in ("InvalidURL", "LocationParseError", "InvalidUrlException") for e in chain):
        return HeadwayError(
            "registry.address_invalid",
            f"{address} is no address of a server.",
            value=address,
            remedy="Write http(s)://host:port, or sqlite:///path of a database.",
        )
    if any(type(e).__module__.startswith(("requests.", "urllib3.")) for e in chain):
        reason = _system_reason(chain) or text.rsplit(": ", 1)[-1]
        return HeadwayError(
            "registry.unreachable",
            f"The MLflow server at {address} does not answer: {_short(reason)}.",
            value=address,
            remedy="Check the address and the network, or start the server; then run the step again.",
        )
    return _refused(text, address)


def _refused(text: str, address: str) -> HeadwayError:
    return HeadwayError(
        "registry.failed",
        f"MLflow refused a request to {address}: {_short(text)}.",
        value=address,
        remedy="Check the address, and that it is an MLflow 3 server or database.",
    )


def _system_reason(chain: list[BaseException]) -> str | None:
    """What the operating system said, without its number."""
    for error in reversed(chain):
        if isinstance(error, socket.gaierror):
            return f"the name of its host cannot be resolved ({error.strerror})"
        if isinstance(error, OSError) and type(error).__module__ in ("builtins", "socket", "ssl"):
            known = error.errno in errno.errorcode and type(error).__module__ != "ssl"
            return error.strerror if known and error.strerror else str(error)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _short(text: str) -> str:
    return without_credentials(text.strip().partition("\n")[0][:300].strip(" .")) or "no reason given"
