"""Finds the files that a source names, and brings them here as they were when they were found."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import Stat, bucket_and_prefix, open_storage
from headway.components._shared.storage.folders import scratch_folder
from headway.components._shared.times import format_time

ENDINGS = {
    "csv": (".csv", ".csv.gz", ".csv.zip", ".tsv", ".tsv.gz", ".tsv.zip", ".zip"),
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
}


@dataclass(frozen=True)
class SourceFile:
    """One raw file, as it was when it was found.

    Attributes:
        uri: Absolute path, `gs://` or `s3://` address.
        size_bytes: Of the file as it lies there, compressed or not.
        modified: ISO 8601.
        generation: The store's version of it; empty for a local file.
        checksum: `sha256:...` of a local file, else the store's own.
    """

    uri: str
    size_bytes: int
    modified: str
    generation: str
    checksum: str

    @property
    def name(self) -> str:
        """Last part of the address."""
        return self.uri.rpartition("/")[2]

    @property
    def label(self) -> str:
        """Name with what pins its content, for people."""
        return f"{self.name}#{self.generation or self.checksum.partition(':')[2][:12]}"

    def record(self) -> dict[str, object]:
        """For Parquet footers; empty fields are left out."""
        return {key: value for key, value in asdict(self).items() if value != ""}


def find_files(uris: Sequence[str], file_format: str) -> list[SourceFile]:
    """All files that the addresses name, each once, sorted by address.

    Args:
        uris: Files, folders and globs.
        file_format: Which endings count in a folder: a key of `ENDINGS`, or `auto` for all of them.

    Raises:
        HeadwayError: `source.not_found`, `source.empty_set`, and what the store raises.
    """
    endings = tuple(e for name, group in ENDINGS.items() if file_format in ("auto", name) for e in group)
    found = {file.uri: file for uri in uris for file in _find(uri, endings)}
    return [found[uri] for uri in sorted(found)]


def format_of(file: SourceFile, file_format: str) -> str:
    """`csv`, `parquet` or `jsonl`, given or by the ending."""
    if file_format != "auto":
        return file_format
    for name, endings in ENDINGS.items():
        if file.name.lower().endswith(endings):
            return name
    raise HeadwayError(
        "source.format_unknown",
        f"The ending of {file.name} does not tell its format.",
        value=file.uri,
        remedy="Give source.format: csv, parquet or jsonl.",
    )


@contextlib.contextmanager
def at_hand(file: SourceFile) -> Iterator[Path]:
    """A local path of the file: itself, or a checked copy that is removed afterwards.

    Raises:
        HeadwayError: `source.changed` when the file is not, or no longer, what was found.
    """
    if "://" not in file.uri:
        try:
            yield Path(file.uri)
        finally:
            _require_unchanged(file, _local_stat(Path(file.uri)))
        return
    place, _, key = file.uri.rpartition("/")
    storage = open_storage(place)
    with scratch_folder() as folder:
        path = folder / key
        storage.download(key, path)
        _require_unchanged(file, storage.stat(key))
        yield path


def _find(uri: str, endings: tuple[str, ...]) -> list[SourceFile]:
    is_glob = any(sign in uri for sign in "*?[")
    local = "://" not in uri or uri.startswith("file://")
    if local:
        uri = str(Path(uri.removeprefix("file://")).absolute())
        candidates = [uri] if Path(uri).exists() else glob.glob(uri, recursive=True)  # noqa: PTH207 - absolute pattern
        whole = [Path(c) for c in candidates]
        paths = [p for p in whole if p.is_file()]
        paths += [p for folder in whole if folder.is_dir() for p in _files_below(folder, endings)]
        files = [_local_file(path) for path in paths]
    else:
        files = _find_remote(uri, endings, is_glob)
    if files:
        return files
    is_folder = local and Path(uri).is_dir()
    raise HeadwayError(
        "source.empty_set" if is_glob or is_folder else "source.not_found",
        f"No file below {uri} has a known ending ({', '.join(endings)})."
        if is_folder
        else f"No file matches {uri}."
        if is_glob
        else f"There is no such file or folder: {uri}.",
        value=uri,
        remedy="Check the address; `source.uris` takes files, folders and globs such as gs://bucket/day=*/*.parquet.",
    )


def _files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    inside = (p for p in folder.rglob("*") if p.is_file() and p.name.lower().endswith(endings))
    return [p for p in inside if not any(_hidden(part) for part in p.relative_to(folder).parts)]


def _hidden(name: str) -> bool:
    """Names that tools give to what is not data: `.aside-x`, `_SUCCESS`, `_temporary`."""
    return name.startswith((".", "_"))


def _find_remote(uri: str, endings: tuple[str, ...], is_glob: bool) -> list[SourceFile]:
    scheme = uri.partition("://")[0]
    bucket, prefix = bucket_and_prefix(uri)
    key, root = prefix.rstrip("/"), f"{scheme}://{bucket}"
    fixed = re.split(r"[*?\[]", key, maxsplit=1)[0].rpartition("/")[0] if is_glob else key
    stats = open_storage(root).list(fixed)
    if is_glob:
        pattern = _glob_pattern(key)
        stats = [s for s in stats if pattern.fullmatch(s.key)]
    else:
        below = [s for s in stats if s.key.lower().endswith(endings)]
        inside = [s for s in below if not any(_hidden(part) for part in s.key.removeprefix(key).split("/"))]
        stats = [s for s in stats if s.key == key] or inside
    return [
        SourceFile(f"{root}/{s.key}", s.size_bytes, format_time(s.modified), s.generation, s.checksum) for s in stats
    ]


def _glob_pattern(text: str) -> re.Pattern[str]:
    """`**/` crosses folders, `*` and `?` stay within one, `[ab]` is one of these characters."""
    pieces = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", text)
    return re.compile("".join(pieces.get(t, t if len(t) > 1 else re.escape(t)) for t in tokens))


def _local_file(path: Path) -> SourceFile:
    try:
        before = _local_stat(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        raise HeadwayError(
            "source.forbidden",
            f"This process may not read {path}.",
            value=str(path),
            remedy="Give its account the right to read it.",
        ) from None
    return SourceFile(str(path), before.size_bytes, format_time(before.modified), "", f"sha256:{digest}")


def _local_stat(path: Path) -> Stat:
    stat = open_storage(str(path.parent)).stat(path.name)
    if stat is None:
        raise HeadwayError(
            "source.changed",
            f"{path} disappeared while it was read.",
            value=str(path),
            remedy="Run the step again once its writer is done.",
        )
    return stat


def _require_unchanged(file: SourceFile, stat: Stat | None) -> None:
    now = stat and (stat.size_bytes, format_time(stat.modified), stat.generation)
    if now != (file.size_bytes, file.modified, file.generation):
        raise HeadwayError(
            "source.changed",
            f"{file.uri} was changed while it was read.",
            value=file.uri,
            remedy="Run the step again once its writer is done.",
        )
