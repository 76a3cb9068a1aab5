"""A stable 64-bit hash of rows: the same on every machine and library version, so samples and splits stay put."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.schemas import type_of

Hashes = npt.NDArray[np.uint64]

_LONGEST = 64  # bytes; longer strings are replaced by their sha256 first


def stable_hash(frame: pl.DataFrame, seed: int = 0) -> Hashes:
    """One uint64 a row over the row's values, uniform and independent of row order.

    Integers hash alike in every width, times by their microseconds, strings by their UTF-8 bytes.

    Args:
        frame: Rows; columns of any type that a Schema knows.
        seed: Another seed gives other hashes, independent of the first.

    Raises:
        HeadwayError: `schema.type_unsupported`.
    """
    combined = _mix(np.full(frame.height, seed % 2**64, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    for column in frame:
        combined = _mix(combined * np.uint64(0xFF51AFD7ED558CCD) + _hash_column(column))
    return combined


def uniform(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Hashes as numbers in [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _hash_column(column: pl.Series) -> Hashes:
    missing = column.is_null().to_numpy()
    dtype = column.dtype
    if type_of(dtype) == "string":
        hashed = _hash_strings(column.cast(pl.String).fill_null(""))
    else:
        if isinstance(dtype, pl.Datetime):
            column = column.cast(pl.Datetime("us", dtype.time_zone))
        if dtype.is_float() or dtype.is_decimal():
            numbers = column.cast(pl.Float64).fill_null(0).to_numpy() + 0.0
            bits = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
        else:
            whole = column.to_physical().fill_null(0) if dtype != pl.Boolean else column.fill_null(False)
            bits = whole.cast(pl.Int64, wrap_numerical=True).to_numpy().view(np.uint64)
        hashed = _mix(bits + np.uint64(0x632BE59BD9B4E019))
    return np.where(missing, np.uint64(0x2545F4914F6CDD1D), hashed)


def _hash_strings(column: pl.Series) -> Hashes:
    """Multilinear hash over 8-byte words of the zero-padded bytes, with the length mixed in."""
    if column.len() == 0:
        return np.empty(0, dtype=np.uint64)
    column = _plain(column)
    lengths = column.str.len_bytes()
    words_a_row = max(1, -(-int(lengths.max()) // 8))  # type: ignore[arg-type]
    padded = column.str.pad_end(words_a_row * 8, "\0").str.join("").item().encode()
    words = np.frombuffer(padded, dtype="<u8").reshape(column.len(), words_a_row)
    factors = _mix(np.arange(1, words_a_row + 2, dtype=np.uint64)) | np.uint64(1)
    hashed: Hashes = lengths.cast(pl.UInt64).to_numpy() * factors[0]
    for position in range(words_a_row):
        hashed = hashed + words[:, position] * factors[position + 1]
    return _mix(hashed)


def _plain(column: pl.Series) -> pl.Series:
    """Short ASCII for every value: others become their hexadecimal or digest, marked by a control byte."""
    bytes_, chars = column.str.len_bytes(), column.str.len_chars()
    foreign = bytes_ != chars
    if foreign.any():
        column = column.to_frame("s").select(
            pl.when(foreign).then("\x01" + pl.col("s").str.encode("hex")).otherwise("s").alias("s")
        )["s"]
        bytes_ = column.str.len_bytes()
    long = bytes_ > _LONGEST
    if long.any():
        digests = [f"\x02{hashlib.sha256(text.encode()).hexdigest()[:32]}" for text in column.filter(long)]
        column = column.scatter(long.arg_true(), digests)
    return column


def _mix(bits: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every output bit depends on every input bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
