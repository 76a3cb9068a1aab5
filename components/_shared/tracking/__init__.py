"""The registry: versions of a model, one a digest, and which of them is the champion.

`deploy_model` calls, once the traffic is there,

    promotion = tracking.promote(registration, state)      # registration = tracking.read_registration(path)

It moves the alias `champion` to the registered version. Calling it again changes nothing. What was champion before is
returned, kept in the version's tag `previous_champion` and in the audit event `promoted`. A rollback promotes the
`registered_version` that has its traffic again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headway.components._shared.audit import record_event
from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, checked_model_name, dump_json
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.tracking.faults import AbsentError, without_credentials

CHAMPION = "champion"
CHALLENGER = "challenger"
Environment = Literal["dev", "staging", "prod"]


class Registration(Config):
    """What became of a model at the registry; the content of the artifact `registration`.

    Attributes:
        outcome: `registered`, `unchanged` (this digest had its version already) or `refused` (the verdict is negative).
        reason: Why, in one sentence.
        model_name: The one name of the model.
        environment: dev, staging or prod.
        registered_model: Name in the registry, such as `dev.flights`.
        version: Version in the registry; None when refused.
        model_digest: sha256 that identifies the model.
        manifest_sha256: Hash of the release's manifest, which binds every file of the release.
        release_uri: The release: `model/`, `verdict.json`, `release.json`; None when refused.
        tracking_uri: The registry, without credentials.
    """

    schema_version: Literal[1] = 1
    outcome: Literal["registered", "unchanged", "refused"]
    reason: str
    model_name: str
    environment: Environment
    registered_model: str
    version: str | None = None
    model_digest: str
    manifest_sha256: str
    release_uri: str | None = None
    tracking_uri: str


@dataclass(frozen=True)
class Promotion:
    """What `promote` did.

    Attributes:
        moved: False when the version was the champion already.
        previous: The champion before it; None if there was none, or if it cannot be deployed again.
    """

    moved: bool
    previous: Registration | None


def read_registration(path: str | Path) -> Registration:
    """Reads a registration record.

    Raises:
        HeadwayError: `registration.unreadable`.
    """
    try:
        content = dict(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        raise HeadwayError(
            "registration.unreadable",
            "There is no registration record here.",
            value=str(path),
            remedy="Pass the registration of register_model.",
        ) from None
    return parse(Registration, content, parameter="registration")


def write_registration(registration: Registration, path: str | Path) -> None:
    """Writes a registration record (one JSON file)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_json(registration.model_dump(mode="json")))


def registered_name(model_name: str, environment: str) -> str:
    """Name of a model in the registry: `dev.flights`.

    Raises:
        HeadwayError: `model.name_invalid` or `registry.environment_unknown`.
    """
    if environment not in ("dev", "staging", "prod"):
        raise HeadwayError(
            "registry.environment_unknown",
            "There is no such environment.",
            value=environment,
            remedy="Use dev, staging or prod.",
        )
    return f"{environment}.{checked_model_name(model_name)}"


def find_champion(client: Client, model_name: str, environment: str) -> Registration | None:
    """The present champion of a model, or None.

    Raises:
        HeadwayError: `registry.champion_foreign`: the alias stands on a version that `register_model` did not make,
            or made for another model.
    """
    name = registered_name(model_name, environment)
    version = aliases_of(client, name).get(CHAMPION)
    if version is None:
        return None
    found = _registration(client, client.get_model_version(name, version), "the present champion")
    if found is None or found.model_name != model_name:
        raise HeadwayError(
            "registry.champion_foreign",
            f"The champion of {name} was not registered for {model_name!r} by register_model.",
            value=f"{name} version {version}",
            remedy="Remove its alias `champion`, or bring it in with adopt_model, evaluate_model and register_model.",
        )
    return found


def registered_version(
    model_name: str, environment: str, version: str | None, state: State, *, tracking_uri: str = "auto"
) -> Registration | None:
    """The registration of a version; None where there is none by that number, or `register_model` did not make it."""
    if version is None:
        return None
    client = Client(tracking_address(tracking_uri, state.uri))
    try:
        found = client.get_model_version(registered_name(model_name, environment), version)
    except AbsentError:
        return None
    return _registration(client, found, "deployed before")


def promote(
    registration: Registration,
    state: State,
    *,
    tracking_uri: str = "auto",
    evidence: Mapping[str, object] | None = None,
) -> Promotion:
    """Makes a registered version the champion of its environment; call it once the version has its traffic.

    Args:
        registration: Of the version.
        state: Where the audit event goes.
        tracking_uri: As in the components.
        evidence: JSON values for the audit event, such as the endpoint and the checks that it passed.

    Raises:
        HeadwayError: `registry.not_registered` for a refused registration; `registry.absent` if the version is gone.
    """
    if registration.version is None:
        raise HeadwayError(
            "registry.not_registered",
            "A model that was refused cannot become champion.",
            value=registration.model_digest,
            remedy="Deploy only what register_model registered.",
        )
    client = Client(tracking_address(tracking_uri, state.uri))
    name, version = registration.registered_model, registration.version
    aliases = aliases_of(client, name)
    before = aliases.get(CHAMPION)
    moved = before != version
    if moved:
        client.set_model_version_tag(name, version, "previous_champion", before or "")
        _forget_audit(client, registration, "promoted")
        client.set_registered_model_alias(name, CHAMPION, version)
    if aliases.get(CHALLENGER) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    previous = _previous(client, registration)
    audit_once(
        client,
        state,
        registration,
        "promoted",
        {"previous_digest": previous.model_digest if previous else None, **(evidence or {})},
    )
    return Promotion(moved, previous)


def previous_champion(registration: Registration, state: State, *, tracking_uri: str = "auto") -> Registration | None:
    """The champion that a version replaced, ready to be deployed and promoted again; None if there was none."""
    return _previous(Client(tracking_address(tracking_uri, state.uri)), registration)


def aliases_of(client: Client, name: str) -> dict[str, str]:
    """Alias to version of a registered model; empty if there is no such model."""
    try:
        return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except AbsentError:
        return {}


def audit_once(
    client: Client,
    state: State,
    registration: Registration,
    action: str,
    evidence: Mapping[str, object],
    once_by: Sequence[str] = (),
) -> None:
    """Records an event about a version unless it has one: a step killed in between records it on its next try.

    The version's tag holds number and hash of the event, so the registry also vouches for the audit trail.
    """
    name, version, tag = registration.registered_model, registration.version, f"audit_{action}"
    if client.get_model_version(name, version).tags.get(tag):
        return
    event = record_event(
        state,
        registration.model_name,
        action,
        model_digest=registration.model_digest,
        evidence={"registered_model": name, "version": version, **evidence},
        once_by=once_by,
    )
    client.set_model_version_tag(name, version, tag, event)


def _registration(client: Client, version: Any, reason: str) -> Registration | None:
    """The record of a version that `register_model` made; None for any other."""
    tags = version.tags
    if not {"model_name", "model_digest", "manifest_sha256", "release_uri"} <= tags.keys():
        return None
    return Registration(
        outcome="unchanged",
        reason=reason,
        model_name=tags["model_name"],
        environment=version.name.partition(".")[0],
        registered_model=version.name,
        version=str(version.version),
        model_digest=tags["model_digest"],
        manifest_sha256=tags["manifest_sha256"],
        release_uri=tags["release_uri"],
        tracking_uri=without_credentials(client.address),
    )


def _previous(client: Client, registration: Registration) -> Registration | None:
    name = registration.registered_model
    before = client.get_model_version(name, registration.version).tags.get("previous_champion")
    if not before:
        return None
    try:
        return _registration(client, client.get_model_version(name, before), "the champion before")
    except AbsentError:
        return None


def _forget_audit(client: Client, registration: Registration, action: str) -> None:
    """Promoting a version for a second time, after a rollback, is an event of its own."""
    client.set_model_version_tag(registration.registered_model, registration.version, f"audit_{action}", "")
