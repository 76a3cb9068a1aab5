"""One small set of verbs over a folder, a `gs://` prefix or an `s3://` prefix."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from headway.components._shared.errors import HeadwayError


@dataclass(frozen=True)
class Stat:
    """What a store knows about one object.

    Attributes:
        key: Path below the store's root, with `/`.
        size_bytes: Length of the content.
        modified: Time of the last change, UTC.
        generation: The store's own version number of the content; empty for local files.
        checksum: The store's own checksum as `algorithm:value`; empty for local files.
    """

    key: str
    size_bytes: int
    modified: datetime
    generation: str = ""
    checksum: str = ""


class Storage(Protocol):
    """A place for objects. Keys are relative paths; nothing half-written is ever visible."""

    uri: str

    def read(self, key: str) -> bytes:
        """Content of an object; `storage.not_found` if there is none."""

    def write(self, key: str, data: bytes) -> None:
        """Creates or replaces an object in one piece."""

    def create(self, key: str, data: bytes) -> bool:
        """Creates an object only if it is absent; False if it was there (whoever wrote it)."""

    def stat(self, key: str) -> Stat | None:
        """Size, time, generation and checksum, or None if there is no such object."""

    def list(self, prefix: str = "") -> list[Stat]:
        """The object of that name and all objects in the folder of that name, sorted by key; all without a prefix."""

    def delete(self, key: str) -> None:
        """Removes an object; absent ones are no error."""

    def download(self, key: str, path: Path) -> None:
        """Copies an object to a local file, whole or not at all."""

    def upload(self, path: Path, key: str) -> bool:
        """Copies a local file to an object only if that is absent; False if it was there."""


def open_storage(uri: str) -> Storage:
    """The store at a local folder, `gs://bucket/prefix` or `s3://bucket/prefix`."""
    folder = local_folder(uri)
    if folder is not None:
        return FolderStorage(folder)
    scheme = uri.partition("://")[0]
    if scheme == "gs":
        from headway.components._shared.storage.gcs import GcsStorage

        return GcsStorage(uri)
    if scheme == "s3":
        from headway.components._shared.storage.s3 import S3Storage

        return S3Storage(uri)
    raise HeadwayError(
        "storage.scheme_unknown",
        "No store is known for this address.",
        value=uri,
        remedy="Use a local folder, gs://bucket/prefix or s3://bucket/prefix.",
    )


def local_folder(uri: str) -> Path | None:
    """The folder that an address means, or None for a bucket."""
    path = uri.removeprefix("file://")
    return None if "://" in path else Path(path).absolute()


def cloud_options(uri: str) -> dict[str, str] | None:
    """What polars must be told to read an address as the stores here do; None leaves it to the environment."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if uri.startswith("gs://") and emulator:
        return {"google_skip_signature": "true", "google_base_url": emulator, "allow_http": "true"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if uri.startswith("s3://") and endpoint.startswith("http://"):
        return {"aws_endpoint_url": endpoint, "allow_http": "true"}
    return None


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """`scheme://bucket/some/prefix` as `bucket` and `some/prefix/`; the prefix is empty for a bare bucket."""
    bucket, _, prefix = uri.partition("://")[2].partition("/")
    if not bucket:
        raise HeadwayError(
            "storage.bucket_missing", "The address names no bucket.", value=uri, remedy="Write scheme://bucket/prefix."
        )
    return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""


def not_found(address: str) -> HeadwayError:
    """There is no object at an address."""
    return HeadwayError(
        "storage.not_found",
        "There is no such object.",
        value=address,
        remedy="Check the address, and whether the step that writes it has run.",
    )


_ABSENT = (FileNotFoundError, NotADirectoryError)


class FolderStorage:
    """A local folder. Writes go to a temporary file first and are renamed or linked into place."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = str(self.root)

    def read(self, key: str) -> bytes:
        try:
            with self._named_errors(key):
                return self._path(key).read_bytes()
        except _ABSENT:
            raise not_found(f"{self.uri}/{key}") from None

    def write(self, key: str, data: bytes) -> None:
        with written_aside(self._path(key), self.root) as aside:
            aside.write_bytes(data)
            aside.replace(self._path(key))

    def create(self, key: str, data: bytes) -> bool:
        with written_aside(self._path(key), self.root) as aside:
            aside.write_bytes(data)
            return _link(aside, self._path(key))

    def stat(self, key: str) -> Stat | None:
        try:
            with self._named_errors(key):
                found = self._path(key).stat()
        except _ABSENT:
            return None
        return Stat(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def list(self, prefix: str = "") -> list[Stat]:
        start = self._path(prefix)
        files = [start] if start.is_file() else sorted(p for p in start.rglob("*") if p.is_file())
        keys = [p.relative_to(self.root).as_posix() for p in files if not p.name.startswith(".aside-")]
        return [found for key in keys if (found := self.stat(key))]

    def delete(self, key: str) -> None:
        with self._named_errors(key):
            self._path(key).unlink(missing_ok=True)

    def download(self, key: str, path: Path) -> None:
        if self.stat(key) is None:
            raise not_found(f"{self.uri}/{key}")
        with written_aside(path) as aside:
            shutil.copyfile(self._path(key), aside)
            aside.replace(path)

    def upload(self, path: Path, key: str) -> bool:
        with written_aside(self._path(key), self.root) as aside:
            shutil.copyfile(path, aside)
            return _link(aside, self._path(key))

    @contextlib.contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except _ABSENT:
            raise
        except OSError as error:
            raise HeadwayError(
                "storage.unusable",
                f"The folder refuses what was asked: {error.strerror}.",
                value=f"{self.uri}/{key}",
                remedy="Give this user the right to read and write the folder, or name another one.",
            ) from error

    def _path(self, key: str) -> Path:
        path = (self.root / key).resolve() if key else self.root
        if not path.is_relative_to(self.root.resolve()):
            raise HeadwayError(
                "storage.key_outside",
                "The key leaves its store.",
                value=key,
                remedy="Use a path below the store's root.",
            )
        return path


@contextlib.contextmanager
def written_aside(target: Path, folder: Path | None = None) -> Iterator[Path]:
    """A temporary file, removed afterwards whatever happens, but not when the process is killed.

    It lies beside the target or in a given folder of the same disk: a store keeps them in its root, so that what a
    killed process leaves never lies among the files of a model.
    """
    aside = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".aside-", dir=folder or target.parent)
        os.close(handle)
        aside = Path(name)
        aside.chmod(0o644)
        yield aside
    except OSError as error:
        raise HeadwayError(
            "storage.write_failed",
            f"Writing failed: {error.strerror}.",
            value=str(target),
            remedy="Free space or choose another folder that may be written; nothing half-written was left.",
        ) from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def _link(aside: Path, target: Path) -> bool:
    """Gives a finished file its name unless that name is taken; of two writers exactly one wins."""
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    return True
