"""Splits keep their promise on any rows: every labelled row in one part, nothing from the future, no group in two."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.errors import HeadwayError
from headway.components._shared.hashing import stable_hash
from headway.components.splitting.config import Split
from headway.components.splitting.parts import Keys, Parts, assign
from headway.components.splitting.proofs import prove

rows = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 5)),
            "group": st.integers(0, 5),
            "target": st.none() | st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=60,
)
splits = st.one_of(
    st.builds(
        Split,
        strategy=st.just("time"),
        time_column=st.just("time"),
        target=st.just("target"),
        test_share=st.floats(0.05, 0.9),
        embargo=st.sampled_from(["0s", "1h", "1d"]),
    ),
    st.builds(
        Split,
        strategy=st.just("group"),
        group_column=st.just("group"),
        target=st.just("target"),
        duplicates=st.just("drop"),
    ),
    st.builds(Split, strategy=st.just("stratified"), target=st.just("target"), test_share=st.floats(0.05, 0.9)),
    st.builds(Split, strategy=st.just("random"), target=st.just("target"), test_share=st.floats(0.05, 0.9)),
)


def keys_of(given: list[dict[str, object]], ids: np.ndarray) -> Keys:
    schema = {"time": pl.Datetime("us"), "group": pl.Int64, "target": pl.Int64}
    frame = pl.DataFrame(given, schema=schema)
    hashed = stable_hash(pl.DataFrame({"id": ids}))
    columns = frame.with_columns(pl.col("time").to_physical())
    return Keys(hashed, stable_hash(frame), frame["target"].is_not_null().to_numpy(), columns)


def attempt(keys: Keys, split: Split, seed: int) -> Parts | str:
    try:
        parts = assign(keys, split, seed)
        prove(keys, parts, split, seed, "id")
    except HeadwayError as error:
        return error.code
    return parts


@settings(max_examples=300, deadline=None)
@given(given=rows, split=splits, seed=st.integers(0, 5), shuffle=st.randoms(use_true_random=False))
def test_parts_are_whole_disjoint_and_independent_of_the_order_of_rows(given, split, seed, shuffle):
    ids = np.arange(len(given))
    parts = attempt(keys_of(given, ids), split, seed)
    order = list(range(len(given)))
    shuffle.shuffle(order)
    shuffled = attempt(keys_of([given[i] for i in order], ids[order]), split, seed)
    if isinstance(parts, str):
        assert parts in ("split.part_empty", "split.one_class")
        assert shuffled == parts
        return
    assert isinstance(shuffled, Parts)
    assert (parts.test[order] == shuffled.test).all()
    assert (parts.train[order] == shuffled.train).all()
    labelled = np.array([row["target"] is not None for row in given])
    dropped = parts.repeated if split.duplicates == "drop" else np.zeros_like(labelled)
    assert (parts.train.astype(int) + parts.test + parts.embargoed + dropped == labelled).all()
    if split.strategy == "time":
        times = [row["time"] for row in given]
        assert max(np.array(times)[parts.train]) < min(np.array(times)[parts.test])
    if split.strategy == "group":
        groups = np.array([row["group"] for row in given])
        assert not set(groups[parts.train]) & set(groups[parts.test])
