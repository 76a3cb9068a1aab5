"""Numbers as people read them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headway.components._shared.reports import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (-3, "−3"),
        (2.0, "2"),
        (0.71234, "0.7123"),
        (12.345, "12.35"),
        (1234.5678, "1,235"),
        (0.00012346, "0.0001235"),
        (1.5e-7, "1.5×10⁻⁷"),
        (-2.5e20, "−2.5×10²⁰"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (np.float64(0.5), "0.5"),
        (np.int64(7), "7"),
        (2**60, "1,152,921,504,606,846,976"),
    ],
)
def test_numbers_have_at_most_four_significant_digits_and_whole_ones_stay_whole(value: float, shown: str) -> None:
    assert formats.number(value) == shown


def test_an_interval_has_the_same_decimals_throughout() -> None:
    assert formats.interval(0.7, 0.68, 0.7234) == "0.7000 [0.6800, 0.7234]"


def test_one_thing_is_said_in_the_singular() -> None:
    assert [formats.counted(n, "row") for n in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
    assert formats.counted(2, "class", "classes") == "2 classes"


def test_shares_become_percent() -> None:
    assert formats.percent(0.12345) == "12.3%"
    assert formats.percent(-0.5, digits=0) == "−50%"
    assert formats.percent(math.nan) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.041, "0.04 s"), (12.34, "12.3 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (7380, "2 h 03 min")],
)
def test_durations_are_said_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert formats.duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (640, "640 B"), (13_000_000, "12.4 MiB"), (2**41, "2.0 TiB")])
def test_sizes_are_said_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert formats.size(count) == shown


@pytest.mark.parametrize(
    ("column", "decimals"),
    [
        ([1e-6, 12.5], None),
        ([0.5, 1234.5], None),
        ([0.0001, 0.6456], None),
        ([1, 2, 3], None),
        ([], None),
        ([math.nan, None, 0.0], None),
        ([0.01, 0.9], 4),
        ([0.5484, 16.77, None], 3),
        ([-0.0007, 0.09721, 0.0], 5),
        ([1234.5, 2000.25], 0),
    ],
)
def test_a_column_has_the_decimals_that_its_smallest_and_its_largest_number_need(
    column: list[float | None], decimals: int | None
) -> None:
    assert formats.column_decimals(column) == decimals
