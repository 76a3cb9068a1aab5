"""Releases: the one place that models are served from, each written once and whole, then never changed.

`<state_uri>/releases/<model>/<digest>/` holds `model/` (the model folder), `verdict.json` (the envelope that let it
through) and, written last, `release.json`, which makes the release count. Object stores cannot rename, so a copy that
was killed lies there without that marker until a next try completes it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Literal

from headway.components._shared.artifacts import MANIFEST, ModelManifest, manifest_digest, read_manifest, verify_model
from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json
from headway.components._shared.storage import Storage, local_folder, open_storage
from headway.components._shared.verdicts import Verdict, parse_verdict

MARKER = "release.json"
VERDICT = "verdict.json"
_OWNER = f"model/{MANIFEST}"
_OF_NOTHING = hashlib.sha256().hexdigest()
_PATIENCE_S = 120.0
_POLL_S = 0.5


class Release(Config):
    """The marker of a finished release.

    Attributes:
        model_name: The one name of the model.
        model_digest: sha256 that identifies the model.
        manifest_sha256: Hash of the model's manifest, which binds every file of `model/`.
    """

    schema_version: Literal[1] = 1
    model_name: str
    model_digest: str
    manifest_sha256: str


def write_release(state: State, model_name: str, folder: str | Path, verdict_path: str | Path) -> tuple[str, Release]:
    """Copies a blessed model to its release unless it is there; whole, or without the marker that makes it count.

    Training twice can give one digest and different files (formats hold random ids). The manifest is written first
    and only if absent, so it says whose files these are. A run with the same manifest goes on with the copy at once; a
    run with another one waits for it, and takes over when nothing has moved for two minutes. Should two such runs take
    over from a third in the same instant, files could mix; every reader would notice and refuse.

    Args:
        state: Where releases are.
        model_name: The one name of the model.
        folder: The model.
        verdict_path: The blessed verdict about it, checked by `verdicts.require_verdict`.

    Returns:
        Address of the release and its marker, which may name the manifest of an earlier run.
    """
    source = Path(folder)
    manifest = read_manifest(source)
    key = state.release_key(model_name, manifest.model_digest)
    storage = open_storage(state.uri_of(key))
    release = Release(
        model_name=model_name, model_digest=manifest.model_digest, manifest_sha256=manifest_digest(source)
    )
    while storage.stat(MARKER) is None:
        storage.upload(source / MANIFEST, _OWNER)
        if _owner(storage) == release.manifest_sha256:
            _complete(storage, release, source, Path(verdict_path))
        elif _stands_still(storage):
            storage.write(_OWNER, (source / MANIFEST).read_bytes())
    return storage.uri, read_release(storage.uri)


def has_release(release_uri: str) -> bool:
    """Whether a finished release is there."""
    return open_storage(release_uri).stat(MARKER) is not None


def read_release(release_uri: str) -> Release:
    """The marker of a release.

    Raises:
        HeadwayError: `release.missing`: no release is there, or one that was never finished.
    """
    if not has_release(release_uri):
        raise HeadwayError(
            "release.missing",
            f"There is no finished release at {release_uri}.",
            value=release_uri,
            remedy="Run register_model for this model again, or restore the folder from a backup.",
        )
    try:
        content = dict(json.loads(open_storage(release_uri).read(MARKER)))
    except (ValueError, TypeError):
        raise changed_release(release_uri, f"Its {MARKER} cannot be read.") from None
    return parse(Release, content, parameter=MARKER)


def release_verdict(release_uri: str) -> Verdict:
    """The verdict that let a release through; it is about the release's own files.

    Raises:
        HeadwayError: as `verdicts.read_verdict`.
    """
    return parse_verdict(open_storage(release_uri).read(VERDICT), f"{release_uri}/{VERDICT}")


def empty_files(release_uri: str) -> list[str]:
    """The files of a released model that have no content, which not every loader hands on; none where no model is."""
    storage = open_storage(release_uri)
    files = json.loads(storage.read(_OWNER))["files"] if storage.stat(_OWNER) else {}
    return sorted(name for name, digest in files.items() if digest == _OF_NOTHING)


def fetch_release(release_uri: str, target: str | Path, *, manifest_sha256: str | None = None) -> ModelManifest:
    """Copies a release's model to a folder, whole and checked or not at all.

    Args:
        release_uri: The release.
        target: The folder, replaced if it is there.
        manifest_sha256: What the registry says about it; None trusts the release's own marker.

    Raises:
        HeadwayError: `release.missing`, or `release.changed` when files are gone or differ.
    """
    storage, folder = open_storage(release_uri), Path(target)
    aside = folder.with_name(f".aside-{folder.name}")
    expected = _expected(release_uri, manifest_sha256)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        storage.download(_OWNER, aside / MANIFEST)
        _check_manifest(release_uri, aside, expected)
        for name in read_manifest(aside).files:
            storage.download(f"model/{name}", aside / name)
        manifest = _check_files(release_uri, aside, expected)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    except HeadwayError as error:
        if error.code == "storage.not_found":
            raise changed_release(release_uri, "One of its files is gone.") from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def fetch_description(release_uri: str, target: str | Path, *, manifest_sha256: str | None = None) -> ModelManifest:
    """Copies what tells about a released model, its manifest and its profile, and not what it predicts with.

    Args:
        release_uri: The release.
        target: A folder, made if it is not there.
        manifest_sha256: What the registry says about it; None trusts the release's own marker.

    Raises:
        HeadwayError: `release.missing`, or `release.changed` when one of the two is gone or differs.
    """
    storage, folder = open_storage(release_uri), Path(target)
    expected = _expected(release_uri, manifest_sha256)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        storage.download(_OWNER, folder / MANIFEST)
        _check_manifest(release_uri, folder, expected)
        manifest = read_manifest(folder)
        if name := manifest.reference_profile:
            storage.download(f"model/{name}", folder / name)
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != manifest.files[name]:
                raise changed_release(release_uri, f"Its {name} differs.")
    except HeadwayError as error:
        if error.code == "storage.not_found":
            raise changed_release(release_uri, "One of its files is gone.") from error
        raise
    return manifest


def check_release(release_uri: str, *, manifest_sha256: str | None = None) -> Path:
    """Checks a release in a local folder and gives its model folder, without a copy; raises as `fetch_release`."""
    expected = _expected(release_uri, manifest_sha256)
    folder = Path(release_uri.removeprefix("file://")) / "model"
    _check_manifest(release_uri, folder, expected)
    _check_files(release_uri, folder, expected)
    return folder


def changed_release(release_uri: str, what: str) -> HeadwayError:
    """The error of a release that is not what was registered."""
    return HeadwayError(
        "release.changed",
        f"The release at {release_uri} is not what was registered. {what}",
        value=release_uri,
        remedy="Find out who changed it; releases are never edited. Restore the folder from a backup, or remove it "
        "whole: register_model then writes it anew.",
    )


def _owner(storage: Storage) -> str:
    """Hash of the manifest that says whose files are being copied."""
    return hashlib.sha256(storage.read(_OWNER)).hexdigest()


def _complete(storage: Storage, release: Release, source: Path, verdict_path: Path) -> None:
    """Copies what is missing, clears what an owner before left, and writes the marker if the release is still ours."""
    files = read_manifest(source).files
    for name, digest in files.items():
        key = f"model/{name}"
        if not storage.upload(source / name, key) and hashlib.sha256(storage.read(key)).hexdigest() != digest:
            storage.write(key, (source / name).read_bytes())
    for stat in storage.list("model"):
        if stat.key != _OWNER and stat.key.removeprefix("model/") not in files:
            storage.delete(stat.key)
    verdict = verdict_path.read_bytes()
    if not storage.create(VERDICT, verdict):
        there = parse_verdict(storage.read(VERDICT), VERDICT)
        if there.manifest_sha256 != release.manifest_sha256:
            storage.write(VERDICT, verdict)
    if _owner(storage) == release.manifest_sha256:
        storage.create(MARKER, dump_json(release.model_dump(mode="json")))


def _stands_still(storage: Storage) -> bool:
    """Waits for the owner of an unfinished release; True when it shows no sign of life, False when it has finished.

    What counts is that the listing changes while we watch, so no clock is compared with another.
    """
    seen, since = storage.list(), time.monotonic()
    while time.monotonic() - since < _PATIENCE_S:
        time.sleep(_POLL_S)
        if storage.stat(MARKER) is not None:
            return False
        if (now := storage.list()) != seen:
            seen, since = now, time.monotonic()
    return True


def _expected(release_uri: str, manifest_sha256: str | None) -> str:
    """Hash that the manifest of a release must have."""
    expected = read_release(release_uri).manifest_sha256
    if manifest_sha256 not in (None, expected):
        raise changed_release(release_uri, "Its marker is not the one that the registry knows.")
    return expected


def _check_manifest(release_uri: str, folder: Path, expected: str) -> None:
    if not (folder / MANIFEST).is_file() or manifest_digest(folder) != expected:
        raise changed_release(release_uri, f"Its {MANIFEST} is gone or differs.")


def _check_files(release_uri: str, folder: Path, expected: str) -> ModelManifest:
    try:
        return verify_model(folder, expected)
    except HeadwayError as error:
        raise changed_release(release_uri, error.message) from error


def verified_manifest(release_uri: str, manifest_sha256: str) -> ModelManifest:
    """The manifest of a release whose files are as it says; one in a bucket is copied for that and the copy removed.

    Raises:
        HeadwayError: as `check_release` and `fetch_release`.
    """
    if local_folder(release_uri) is not None:
        return read_manifest(check_release(release_uri, manifest_sha256=manifest_sha256))
    with tempfile.TemporaryDirectory(prefix="headway-release-") as scratch:
        return fetch_release(release_uri, Path(scratch) / "model", manifest_sha256=manifest_sha256)
