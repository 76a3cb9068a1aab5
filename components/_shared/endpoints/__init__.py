"""The endpoints of this machine, kept below the state folder: what each one serves, how it is, how to end it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headway.components._shared.audit import record_event
from headway.components._shared.config import Config, parse
from headway.components._shared.endpoints import processes
from headway.components._shared.endpoints.log import InferenceLog
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, checked_model_name, dump_json
from headway.components._shared.storage import local_folder

ROUTER = "router"
# What an endpoint remembers of itself, beside its record.
ROLLOUT, HISTORY = "rollout.json", "history.json"
_RECORD = "endpoint.json"
_STOP_GRACE_S = 10.0


class Backend(Config):
    """A model server behind an endpoint, with all that is needed to start it again.

    Attributes:
        process: Its name among the endpoint's processes.
        port: Where it listens on 127.0.0.1; callers use the endpoint's own port.
        model_digest: What it serves.
        manifest_sha256: Of that model's manifest, from its verdict.
        threshold: Decision threshold of the verdict.
        max_rows: Most rows of one request.
        log: Its inference log.
        version: Version in the registry.
        environment: dev, staging or prod.
    """

    process: str
    port: int
    model_digest: str
    manifest_sha256: str
    threshold: float | None = None
    max_rows: int
    log: InferenceLog | None = None
    version: str | None = None
    environment: str

    @property
    def address(self) -> str:
        """Where this server alone answers."""
        return f"http://127.0.0.1:{self.port}"


class Endpoint(Config):
    """One endpoint's record; the router follows it, so replacing the file is what moves the traffic.

    Attributes:
        model_name: The name in the address.
        port: The address that stays the same over all deployments.
        stopped: Whether someone stopped it on purpose.
        current: What has the traffic.
        candidate: What a rollout has started beside it.
        weight: Share of the traffic in percent that the candidate has.
    """

    schema_version: Literal[1] = 1
    model_name: str
    port: int
    stopped: bool = False
    current: Backend
    candidate: Backend | None = None
    weight: int = 0

    @property
    def url(self) -> str:
        """The address that callers use."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Status:
    """How an endpoint is.

    Attributes:
        endpoint: Its record.
        state: `serving`; `stopped` on purpose; or `dead`, since a process of it ended by itself.
        log: What the process that ended had to say, for a dead one.
    """

    endpoint: Endpoint
    state: Literal["serving", "stopped", "dead"]
    log: Path | None = None


def endpoint_folder(state_uri: str, model_name: str) -> Path:
    """Where an endpoint's record, locks and logs are.

    Raises:
        HeadwayError: `endpoint.state_remote`: processes of this machine are not kept in a bucket.
    """
    return _root(state_uri) / checked_model_name(model_name)


def read_endpoint(folder: Path) -> Endpoint | None:
    """An endpoint's record, or None where there is none yet."""
    try:
        record = json.loads((folder / _RECORD).read_bytes())
    except FileNotFoundError:
        return None
    return parse(Endpoint, record, parameter=_RECORD)


def write_endpoint(folder: Path, endpoint: Endpoint | None) -> None:
    """Replaces an endpoint's record in one piece; None removes it."""
    if endpoint is None:
        (folder / _RECORD).unlink(missing_ok=True)
        return
    aside = folder / f".aside-{_RECORD}"
    aside.write_bytes(dump_json(endpoint.model_dump(mode="json")))
    aside.replace(folder / _RECORD)


def endpoint_status(folder: Path) -> Status | None:
    """How the endpoint of a folder is, or None where there is none yet."""
    endpoint = read_endpoint(folder)
    if endpoint is None:
        return None
    living = processes.living(folder)
    ended = [name for name in (endpoint.current.process, ROUTER) if name not in living]
    if not ended:
        return Status(endpoint, "serving")
    if endpoint.stopped:
        return Status(endpoint, "stopped")
    return Status(endpoint, "dead", processes.log_file(folder, ended[0]))


def list_endpoints(state_uri: str) -> list[Status]:
    """Every endpoint of a state folder, by name."""
    folders = sorted(path.parent for path in _root(state_uri).glob(f"*/{_RECORD}"))
    return [status for folder in folders if (status := endpoint_status(folder))]


def stop_endpoint(state_uri: str, model_name: str) -> Status:
    """Ends an endpoint's processes; its address, its release and the one before it stay on record.

    Returns:
        How the endpoint was before.

    Raises:
        HeadwayError: `endpoint.unknown`, or `endpoint.busy` while a deployment is under way.
    """
    with _changing(state_uri, model_name) as folder:
        return _stop(state_uri, folder, model_name)


def remove_endpoint(state_uri: str, model_name: str) -> Status:
    """Stops an endpoint and forgets it: its address, what it served, its logs. Releases and audit trail stay.

    Returns:
        How the endpoint was before.

    Raises:
        HeadwayError: as `stop_endpoint`.
    """
    with _changing(state_uri, model_name) as folder:
        found = _stop(state_uri, folder, model_name)
        write_endpoint(folder, None)
        for path in (folder / ROLLOUT, folder / HISTORY, *folder.glob("*.log")):
            path.unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def deploying(folder: Path, model_name: str, *, patience_s: float) -> Iterator[None]:
    """Only one at a time changes an endpoint; a holder that dies gives the lock back.

    Raises:
        HeadwayError: `endpoint.busy`.
    """
    with processes.exclusive(folder / "deploy.lock", patience_s=patience_s) as mine:
        if not mine:
            raise HeadwayError(
                "endpoint.busy",
                f"Another deployment to this endpoint has been under way for {patience_s:.0f} s.",
                value=model_name,
                remedy="Wait until it has ended and run the step again.",
            )
        yield


@contextlib.contextmanager
def _changing(state_uri: str, model_name: str) -> Iterator[Path]:
    """The folder of an endpoint, while nobody else changes it."""
    folder = endpoint_folder(state_uri, model_name)
    if not folder.is_dir():
        raise _unknown(state_uri, model_name)
    with deploying(folder, model_name, patience_s=_STOP_GRACE_S):
        yield folder


def _stop(state_uri: str, folder: Path, model_name: str) -> Status:
    found = endpoint_status(folder)
    if found is None:
        raise _unknown(state_uri, model_name)
    for name in processes.living(folder):
        processes.stop(folder, name, grace_s=_STOP_GRACE_S)
    if not found.endpoint.stopped:
        _record_event(state_uri, found.endpoint, "stopped")
        write_endpoint(folder, found.endpoint.model_copy(update={"stopped": True, "candidate": None, "weight": 0}))
    return found


def _unknown(state_uri: str, model_name: str) -> HeadwayError:
    names = ", ".join(status.endpoint.model_name for status in list_endpoints(state_uri))
    return HeadwayError(
        "endpoint.unknown",
        f"There is no endpoint {model_name} in {state_uri}.",
        value=model_name,
        remedy=f"Name one of these: {names}." if names else "There is none at all here; give the folder with --home.",
    )


def _record_event(state_uri: str, endpoint: Endpoint, action: str) -> None:
    digest, evidence = endpoint.current.model_digest, {"endpoint": endpoint.url}
    record_event(State(state_uri), endpoint.model_name, action, model_digest=digest, evidence=evidence)


def _root(state_uri: str) -> Path:
    folder = local_folder(state_uri)
    if folder is None:
        raise HeadwayError(
            "endpoint.state_remote",
            "Endpoints of this machine need a local state folder.",
            value=state_uri,
            remedy="Give a folder as state_uri, or deploy with the engine kserve.",
        )
    return folder / "endpoints"
