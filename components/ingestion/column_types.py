"""Types of raw columns: inferred from text so that no value changes, and applied so that none is lost."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.components._shared.schemas import Type

INSTANT = pa.timestamp("us", "UTC")
LOCAL_TIME = pa.timestamp("us")

NAMED: dict[Type, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": INSTANT,
}

# In a column of text at least this share of which are numbers or times, the rest is taken for mistakes.
MIXED_SHARE = 0.9

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DAY = r"^\d{4}-\d\d-\d\d"
# As integers these would lose their zeros or their last digits.
_CODE = r"^[+-]?(0\d+|\d{19,})$"


class Misfit(Exception):  # noqa: N818 - caught by the reader, which knows the file and the line
    """A value does not fit the type of its column.

    Args:
        row: Its position in the column.
    """

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def name_of(kind: pa.DataType) -> str:
    """The schema's word for a type, else Arrow's."""
    return next((word for word, known in NAMED.items() if known == kind), str(kind))


def infer(column: pa.ChunkedArray) -> pa.DataType:
    """The narrowest type that holds every text of a column; `null` for a column without a value.

    Raises:
        Misfit: Nearly all values are numbers or times and this one is not (see `MIXED_SHARE`).
    """
    if column.null_count == len(column):
        return pa.null()
    if not _any(column, _CODE):
        for kind in (pa.int64(), pa.float64()):
            if _fits(column, kind):
                return kind
    if not _any(column, r"\d") and _fits(column, pa.bool_()):
        return pa.bool_()
    if (kind := infer_time(column)) != pa.string():
        return kind
    for pattern in (_NUMBER, _DAY):
        matches = pc.match_substring_regex(column, pattern)
        share = pc.mean(matches.cast(pa.float64())).as_py()
        if MIXED_SHARE <= share < 1:
            raise Misfit(pc.index(pc.fill_null(matches, True), False).as_py())
    return pa.string()


def infer_time(column: pa.ChunkedArray) -> pa.DataType:
    """`date32` or a timestamp when every text of a column is one in ISO 8601, else `string`."""
    return next((kind for kind in (pa.date32(), INSTANT) if _fits(column, kind)), pa.string())


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column as a type; times without a zone count as UTC.

    Raises:
        Misfit: With the first value that does not fit.
    """
    if column.type == kind:
        return column
    if _comparable(column.type, kind):
        try:
            return _cast(column, kind)
        except pa.ArrowInvalid:
            return _raise_first_misfit(column, kind)
    raise Misfit(pc.index(pc.is_valid(column), True).as_py())


def holds(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    """Whether every value of a column is one of a type."""
    return _comparable(column.type, kind) and _fits(column, kind)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if kind == INSTANT and pa.types.is_string(column.type) and not _any(column, r"(Z|[+-]\d\d:?\d\d)$"):
        return pc.cast(pc.cast(column, LOCAL_TIME), INSTANT)
    if pa.types.is_timestamp(kind):
        return pc.cast(column, kind, safe=False) if pa.types.is_timestamp(column.type) else pc.cast(column, kind)
    return pc.cast(column, kind)


def _comparable(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether a cast reads a value rather than making another one of it, as true from 2 would be."""
    if pa.types.is_null(have) or pa.types.is_string(have):
        return True
    if pa.types.is_string(want):
        return not pa.types.is_nested(have)
    families = (_is_number, pa.types.is_temporal)
    return any(family(have) and family(want) for family in families)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _raise_first_misfit(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(column.slice(low, middle - low), kind) else (low, middle)
    raise Misfit(low)


def _fits(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        _cast(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _any(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())
