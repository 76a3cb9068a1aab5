"""The step resolve_champion: the model that is in service now, checked, or the record that there is none."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from pathlib import Path

from headway.components._shared.artifacts import MANIFEST, NO_CHAMPION, Artifact, describe, read_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import VERDICT, check_release, fetch_release, has_release
from headway.components._shared.state import State, dump_json
from headway.components._shared.steps import decided, step
from headway.components._shared.storage import local_folder, open_storage
from headway.components._shared.tracking import CHAMPION, Registration, find_champion, registered_name
from headway.components._shared.tracking.client import Client, is_unborn, tracking_address
from headway.components._shared.tracking.faults import without_credentials

# Set by `headway run`: outputs that are found again by their content keep the addresses that local caching looks at.
ARTIFACTS_VARIABLE = "HEADWAY_ARTIFACTS"


@step("resolve_champion")
def resolve(
    champion: Artifact,
    verdict: Artifact | None = None,
    *,
    model_name: str,
    environment: str = "dev",
    tracking_uri: str = "auto",
    state_uri: str | None = None,
) -> Registration | None:
    """Gives the champion's model folder or the record that there is none; see the component's docstring."""
    name = registered_name(model_name, environment)
    address = tracking_address(tracking_uri, state_uri)
    found = None if is_unborn(address) else find_champion(Client(address), model_name, environment)
    stable = os.environ.get(ARTIFACTS_VARIABLE)
    if found is None:
        reason = f"{name} has no champion yet"
        record = dump_json({"schema_version": 1, "kind": NO_CHAMPION, "reason": reason})
        _write_none(champion, record, stable)
        _write(verdict, record)
        describe(champion, outcome="none")
        decided(f"no champion: {reason}")
        return None
    try:
        release = _bring(champion, found, state_uri, stable)
        _write(verdict, open_storage(release).read(VERDICT))
    except HeadwayError as error:
        if error.code in ("release.missing", "release.changed"):
            raise _lost(error, found, address) from error
        raise
    manifest = read_manifest(champion.path)
    if manifest.model_digest != found.model_digest:
        raise HeadwayError(
            "registry.digest_differs",
            f"The registry names another model than lies in the release of version {found.version} of {name}.",
            value=found.model_digest,
            remedy="Find out who changed the version's tags; register the model again under a new version.",
        )
    describe(
        champion,
        outcome="found",
        version=found.version,
        model_digest=manifest.model_digest,
        data_fingerprint=manifest.data_fingerprint,
        code_digest=manifest.code_digest,
        estimator=manifest.estimator,
        task=manifest.task,
    )
    decided(
        f"champion: version {found.version} of {name}, {manifest.estimator.rpartition('.')[2]} "
        f"{manifest.model_digest[:12]}",
        version=found.version,
        model_digest=manifest.model_digest,
    )
    return found


def _bring(champion: Artifact, found: Registration, state_uri: str | None, stable: str | None) -> str:
    """Puts the champion's checked files there, from where the registry says or from the state that has moved since.

    Gives the address of the release.
    """
    release = found.release_uri or ""
    if state_uri and not has_release(release):
        state = State(state_uri)
        here = state.uri_of(state.release_key(found.model_name, found.model_digest))
        release = here if has_release(here) else release
    if stable and local_folder(release):
        champion.path = str(check_release(release, manifest_sha256=found.manifest_sha256))
    else:
        fetch_release(release, champion.path, manifest_sha256=found.manifest_sha256)
    return release


def _lost(error: HeadwayError, found: Registration, address: str) -> HeadwayError:
    """A champion without its files: no comparison, and no pretending that there is none, unless somebody decides so."""
    who = f"The champion, version {found.version} of {found.registered_model}, cannot be compared with. "
    call = (
        f'import mlflow; mlflow.MlflowClient("{without_credentials(address)}")'
        f'.delete_registered_model_alias("{found.registered_model}", "{CHAMPION}")'
    )
    python = sys.executable if address.startswith("sqlite:") else "python"
    remove = "" if error.code == "release.missing" else "remove it and "
    return HeadwayError(
        error.code,
        who + error.message,
        value=error.value,
        remedy=f"Restore the folder from a backup. Without one, {remove}take the title away, and the next run "
        f"compares with no champion: {shlex.join([python, '-c', call])}",
    )


def _write(verdict: Artifact | None, content: bytes) -> None:
    if verdict is not None:
        Path(verdict.path).parent.mkdir(parents=True, exist_ok=True)
        Path(verdict.path).write_bytes(content)


def _write_none(champion: Artifact, record: bytes, stable: str | None) -> None:
    if stable:
        champion.path = str(Path(stable) / NO_CHAMPION / hashlib.sha256(record).hexdigest()[:16])
    folder = Path(champion.path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(record)
