"""What readers of raw files share: unpacking, the size of a piece, and the errors of a file that cannot be read."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted

BLOCK_BYTES = 2 * 2**20
# Rows come in pieces of this many blocks of text (or about as much Parquet), cut at the same rows every time.
CHUNK_BLOCKS = 4


@contextmanager
def unpacked(path: Path, uri: str) -> Iterator[IO[bytes]]:
    """The file's content, unpacked. Reads give as much as is asked for, so that chunks are cut at the same rows."""
    name = uri.rpartition("/")[2].lower()
    with ExitStack() as stack:
        try:
            if name.endswith(".gz"):
                yield cast("IO[bytes]", stack.enter_context(gzip.open(path)))
            elif name.endswith(".zip"):
                archive = stack.enter_context(zipfile.ZipFile(path))
                yield stack.enter_context(archive.open(_only_member(archive, uri)))
            else:
                yield stack.enter_context(path.open("rb"))
        except (EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise unreadable(uri, f"Reading or unpacking it failed: {error}.") from None


def _only_member(archive: zipfile.ZipFile, uri: str) -> str:
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if len(names) != 1:
        raise HeadwayError(
            "source.zip_members",
            f"{uri} holds {counted(len(names), 'file')}; a zip must hold exactly one.",
            value=uri,
            remedy="Unpack it and name the files, or zip each file by itself.",
        )
    if archive.getinfo(names[0]).flag_bits & 1:
        raise unreadable(uri, "It is encrypted.", "Write it again without a password.")
    return names[0]


def require_distinct(names: Sequence[str], uri: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HeadwayError(
            "data.duplicate_columns",
            f"{uri} has several columns named {', '.join(map(repr, twice))}.",
            value=twice,
            remedy="Give every column a name of its own.",
        )


def unreadable(uri: str, why: str, remedy: str = "Write or copy the file again.") -> HeadwayError:
    return HeadwayError("data.unreadable", f"{uri} cannot be read. {why}", value=uri, remedy=remedy)


def not_utf8(path: Path, uri: str) -> HeadwayError:
    """Reads the file again, line by line, to say where it stops being UTF-8."""
    with unpacked(path, uri) as stream:
        line = next((number for number, line in enumerate(stream, start=1) if not is_utf8(line)), 1)
    return unreadable(
        uri, f"Line {line} is not UTF-8 text.", "Convert it, such as with `iconv --from-code latin1 --to-code utf-8`."
    )


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
