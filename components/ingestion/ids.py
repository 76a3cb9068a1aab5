"""Stable ids of rows: hashes of what stands in them, the same in every run, on every machine."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.errors import HeadwayError

ID = "id"
ID_LENGTH = 20  # hexadecimal digits: 80 bits, so that even in a billion rows two meet with a chance below 1e-6
_SEPARATOR, _MISSING = "\x1f", "\x00"
_BUCKETS = 64


def made_ids(frame: pl.DataFrame) -> pl.Series:
    """The first 20 hexadecimal digits of the sha256 of each row's values as text."""
    values = [_text(name, kind) for name, kind in frame.schema.items()]
    texts = frame.select(pl.concat_str(values, separator=_SEPARATOR)).to_series()
    ids = [hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH] for text in texts.to_list()]
    return pl.Series(ID, ids, dtype=pl.String)


def sampled(ids: pl.Series, share: float, seed: int) -> pl.Series:
    """Whether each id belongs to the sample: always the same answer for an id, a share and a seed.

    A larger share with the same seed holds the smaller one's rows.
    """
    limit = share * 2**64
    keys = (f"{seed}:{value}".encode() for value in ids)
    drawn = [int.from_bytes(hashlib.sha256(key).digest()[:8]) < limit for key in keys]
    return pl.Series(drawn, dtype=pl.Boolean)


class Repeats:
    """Finds ids that occur more than once among any number of rows, in bounded memory, with files in a folder.

    Use it as a context manager around `add`; ask for `ids` afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"{n:02x}" for n in range(_BUCKETS)]
        self._open = ExitStack()

    def __enter__(self) -> Repeats:
        self._files = [self._open.enter_context(path.open("wb")) for path in self._paths]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def add(self, ids: pl.Series) -> None:
        """Takes note of some rows' ids."""
        numbers = np.sort(_numbers(ids))
        bounds = np.searchsorted(numbers >> np.uint64(64 - 6), np.arange(_BUCKETS + 1, dtype=np.uint64))
        for file, low, high in zip(self._files, bounds, bounds[1:], strict=False):
            file.write(numbers[low:high].tobytes())

    def ids(self) -> npt.NDArray[np.uint64]:
        """What `renumbered` needs of the ids that were added more than once, sorted."""
        found = [_repeated(np.fromfile(path, dtype=np.uint64)) for path in self._paths]
        return np.concatenate(found)


def renumbered(ids: pl.Series, repeats: npt.NDArray[np.uint64], seen: npt.NDArray[np.int64]) -> tuple[pl.Series, int]:
    """Ids where the second and later occurrences of one get ids of their own, and how many these are.

    Args:
        ids: Of one shard; shards must come in their order.
        repeats: From `Repeats.ids`.
        seen: How often each of them occurred in earlier shards; counts on.
    """
    numbers = _numbers(ids)
    places = np.minimum(np.searchsorted(repeats, numbers), len(repeats) - 1)
    rows = np.flatnonzero(repeats[places] == numbers)
    values: list[str] = ids.to_list()
    changed = 0
    for row, place in zip(rows.tolist(), places[rows].tolist(), strict=True):
        if seen[place]:
            values[row] = hashlib.sha256(f"{values[row]}#{seen[place]}".encode()).hexdigest()[:ID_LENGTH]
            changed += 1
        seen[place] += 1
    return pl.Series(ids.name, values, dtype=pl.String), changed


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind.is_nested() or kind == pl.Binary:
        raise HeadwayError(
            "data.type_unsupported",
            f"Column {name!r} holds {kind}, of which no id can be made.",
            value=name,
            remedy="Name the columns that identify a row in source.id_columns.",
        )
    if isinstance(kind, pl.Datetime | pl.Date | pl.Time | pl.Duration):
        column = column.to_physical()
    return column.cast(pl.String).fill_null(_MISSING)


def _numbers(ids: pl.Series) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each id."""
    joined = "".join(ids.str.slice(0, 16)) if len(ids) else ""
    return np.frombuffer(bytes.fromhex(joined), dtype=">u8").astype(np.uint64)


def _repeated(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    ordered = np.sort(numbers)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
