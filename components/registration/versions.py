"""Gives a released model its one version in the registry, whoever else is doing the same."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from headway.components._shared.audit import record_event
from headway.components._shared.releases import changed_release, has_release, release_verdict
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.tracking import CHALLENGER, CHAMPION, Registration, aliases_of, audit_once
from headway.components._shared.tracking.client import Client
from headway.components._shared.tracking.faults import ExistsError

_PATIENCE_S = 15.0


def register_version(
    client: Client,
    state: State,
    registration: Registration,
    *,
    description: str,
    tags: Mapping[str, str],
    run: str | None,
) -> Registration:
    """Gives a released model its one version in the registry and the alias `challenger`.

    MLflow has no create-if-absent for versions. A claim in the state lets one of several runs go first; should two
    versions of a digest come to be all the same, the lower number stays and whoever made the other one removes it.

    Args:
        client: The registry.
        state: Where the claim and the audit event go.
        registration: What to register: `release_uri` and the digests must be set; outcome and version are found here.
        description: Markdown about the model.
        tags: More of the version's tags.
        run: MLflow run that it comes from.

    Returns:
        The registration with outcome `registered` or `unchanged`, its version, and the manifest of the release.
    """
    name = registration.registered_model
    versions = _versions(client, registration)
    created = None
    if not versions:
        _ensure_model(client, name)
        versions = _await_other_run(client, state, registration)
    if not versions:
        created = _create_version(client, registration, description, tags, run)
        versions = _versions(client, registration)
    version = min(versions)
    if created is not None and created != version:
        client.delete_model_version(name, str(created))
    if aliases_of(client, name).get(CHAMPION) != str(version):
        client.set_registered_model_alias(name, CHALLENGER, str(version))
    outcome, reason = ("unchanged", f"this model is version {version} already")
    if created == version:
        outcome, reason = ("registered", registration.reason)
    result = registration.model_copy(update={"outcome": outcome, "reason": reason, "version": str(version)})
    if outcome == "unchanged" and _follow_release(client, state, result):
        result = result.model_copy(update={"reason": f"{reason}, and its lost release was written again"})
    once = ("registered_model", "version")  # also where another run is just writing the same event
    audit_once(client, state, result, "registered", {"reason": registration.reason}, once)
    return result


def _versions(client: Client, registration: Registration) -> list[int]:
    """Versions of this very model; more than one only in the instant of a race."""
    name, digest = registration.registered_model, registration.model_digest
    found = client.search_model_versions(f"name = '{name}' and tag.model_digest = '{digest}'")
    return [int(version.version) for version in found]


def _ensure_model(client: Client, name: str) -> None:
    try:
        client.create_registered_model(name)
    except ExistsError:
        return


def _await_other_run(client: Client, state: State, registration: Registration) -> list[int]:
    """Claims the right to create the version; without it, gives the other run time to create it.

    A claim of this very pipeline run is an earlier try of this step. One whose owner was killed is passed by.
    """
    owner = {"schema_version": 1, "run_id": run_id(), "nonce": secrets.token_hex(8)}
    release = state.release_key(registration.model_name, registration.model_digest)
    key = f"{release}/claims/{registration.environment}.json"
    if state.storage.create(key, dump_json(owner)):
        return []
    if owner["run_id"] is not None and state.read_json(key)["run_id"] == owner["run_id"]:
        return []
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if versions := _versions(client, registration):
            return versions
        time.sleep(0.25)
    return []


def _follow_release(client: Client, state: State, registration: Registration) -> bool:
    """Points a version to its model's present release where the one that it was registered with is lost.

    Only to a release whose own verdict is positive and about its own files: whoever put it there went through the door.
    """
    name, version, release = registration.registered_model, registration.version, registration.release_uri or ""
    tags = client.get_model_version(name, version).tags
    before, now = tags["manifest_sha256"], registration.manifest_sha256
    if (tags["release_uri"], before) == (release, now):
        return False
    if tags["release_uri"] != release and has_release(tags["release_uri"]):
        return False
    verdict = release_verdict(release)
    if not verdict.blessed or verdict.manifest_sha256 != now:
        raise changed_release(release, "No positive verdict is about its files.")
    for tag, value in (("release_uri", release), ("manifest_sha256", now)):
        client.set_model_version_tag(name, version, tag, value)
    record_event(
        state,
        registration.model_name,
        "released_again",
        model_digest=registration.model_digest,
        evidence={
            "registered_model": name,
            "version": version,
            "release_uri": release,
            "manifest_sha256": now,
            "manifest_before": before,
        },
        once_by=("registered_model", "version", "release_uri", "manifest_sha256"),
    )
    return True


def _create_version(
    client: Client,
    registration: Registration,
    description: str,
    tags: Mapping[str, str],
    run: str | None,
) -> int:
    release = registration.release_uri or ""
    # A server refuses local folders as a source; the release is then named by the tag alone.
    local = "://" not in release
    source = f"{release}/model" if client.is_database or not local else f"release:{release}/model"
    version = client.create_model_version(
        registration.registered_model,
        source=source,
        run_id=run,
        description=description,
        tags={
            **tags,
            "model_name": registration.model_name,
            "model_digest": registration.model_digest,
            "manifest_sha256": registration.manifest_sha256,
            "release_uri": release,
            "verdict_reason": registration.reason[:500],
            **({"pipeline_run": pipeline_run} if (pipeline_run := run_id()) else {}),
        },
    )
    return int(version.version)
