"""A dataset's fingerprint and the ids of its rows, for any rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.datasets import fingerprint, write_dataset
from headway.components.ingestion.ids import Repeats, made_ids, renumbered, sampled

FEW = settings(max_examples=60, deadline=None)
values = st.one_of(st.none(), st.integers(-3, 3))
texts = st.one_of(st.none(), st.text(max_size=4))
tables = st.lists(st.tuples(values, texts), min_size=1, max_size=30)


def frame(rows: list[tuple[int | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"x": pl.Int64, "y": pl.String}, orient="row")


@FEW
@given(st.lists(tables, min_size=1, max_size=4), st.randoms())
def test_the_order_of_shards_does_not_change_the_fingerprint(
    shards: list[list[tuple[int, str]]], chance: object
) -> None:
    shuffled = list(shards)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        one = write_dataset({f"{n}": frame(rows) for n, rows in enumerate(shards)}, Path(folder) / "1")
        two = write_dataset({f"{n}": frame(rows) for n, rows in enumerate(shuffled)}, Path(folder) / "2")
    assert one.fingerprint == two.fingerprint


@FEW
@given(tables, tables)
def test_equal_fingerprints_mean_equal_rows(one: list[tuple[int, str]], two: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prints = [write_dataset({"a": frame(rows)}, Path(folder) / "d").fingerprint for rows in (one, two)]
    assert (prints[0] == prints[1]) == (one == two)


@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4)))
def test_a_fingerprint_counts_equal_shards(hashes: list[str]) -> None:
    assert fingerprint(hashes) == fingerprint(hashes[::-1])
    assert fingerprint(hashes) != fingerprint([*hashes, "0000"])


@FEW
@given(tables)
def test_equal_rows_and_only_they_have_equal_ids(rows: list[tuple[int, str]]) -> None:
    ids = made_ids(frame(rows)).to_list()
    assert len(set(ids)) == len(set(rows))
    assert ids == [made_ids(frame([row]))[0] for row in rows]


@FEW
@given(tables, st.integers(1, 5))
def test_repeats_get_ids_of_their_own_however_rows_are_cut(rows: list[tuple[int, str]], size: int) -> None:
    def numbered(size: int) -> list[str]:
        ids = made_ids(frame(rows))
        pieces = [ids.slice(start, size) for start in range(0, len(ids), size)]
        with tempfile.TemporaryDirectory() as folder:
            with Repeats(Path(folder)) as repeats:
                for piece in pieces:
                    repeats.add(piece)
            found = repeats.ids()
        if len(found) == 0:
            return ids.to_list()
        seen = np.zeros(len(found), dtype=np.int64)
        return [value for piece in pieces for value in renumbered(piece, found, seen)[0]]

    ids = numbered(size)
    assert len(set(ids)) == len(rows)
    assert ids == numbered(len(rows))
    firsts = {row: n for n, row in reversed(list(enumerate(rows)))}
    plain = made_ids(frame(rows)).to_list()
    assert all(ids[n] == plain[n] for n in firsts.values()), "the first of equal rows keeps the plain id"


@FEW
@given(st.lists(st.text(max_size=8), max_size=50), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_a_smaller_sample_is_part_of_a_larger_one(ids: list[str], one: float, two: float, seed: int) -> None:
    small, large = (sampled(pl.Series(ids, dtype=pl.String), share, seed).to_list() for share in sorted((one, two)))
    assert all(b for a, b in zip(small, large, strict=True) if a)


def test_a_sample_has_its_share() -> None:
    ids = pl.Series([str(n) for n in range(20_000)])
    for share in (0.01, 0.3, 0.9):
        drawn = sampled(ids, share, 0).mean()
        assert isinstance(drawn, float)
        assert abs(drawn - share) < 4 * (share * (1 - share) / len(ids)) ** 0.5
    assert sampled(ids, 1.0, 0).all()
