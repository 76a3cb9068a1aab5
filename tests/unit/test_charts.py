"""Charts: what they draw, with the data as they come."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from headway.components._shared.reports import charts, vega
from headway.components._shared.reports.vega import Chart

CURVE = [(i / 50, (i / 50) ** 0.4) for i in range(51)]
TWO = {"champion": CURVE, "challenger": [(x, y**0.8) for x, y in CURVE]}

DRAWN: dict[str, Callable[[], Chart]] = {
    "intervals": lambda: charts.intervals([("all", 0.7, 0.68, 0.72)], reference=0.6, reference_label="limit 0.60"),
    "bars": lambda: charts.bars([("a", 3.0), ("b", -1.0)], reference=2),
    "grouped_bars": lambda: charts.grouped_bars([("a", "champion", 1.0), ("a", "challenger", 2.0)]),
    "line": lambda: charts.line(TWO, "x", "y", band=[(0, 0, 1), (1, 1, 2)], reference=0.5, reference_label="limit"),
    "line over time": lambda: charts.line([(1.36e12, 1), (1.37e12, 2)], over_time=True),
    "histogram": lambda: charts.histogram([0, 1, 2, 4], [1, 2, 3], [3, 2, 1]),
    "calibration": lambda: charts.calibration([(0.1, 0.2), (0.9, 0.8)], [100, 20]),
    "roc": lambda: charts.roc(TWO),
    "precision_recall": lambda: charts.precision_recall(CURVE, prevalence=0.2),
    "cost_curve": lambda: charts.cost_curve(CURVE, chosen=0.7),
    "history": lambda: charts.history([0.6, None, math.nan, 0.7], baseline=0.6),
}
EMPTY: dict[str, Callable[[], Chart]] = {
    "intervals": lambda: charts.intervals([]),
    "bars": lambda: charts.bars([]),
    "grouped_bars": lambda: charts.grouped_bars([]),
    "line": lambda: charts.line([]),
    "histogram": lambda: charts.histogram([0, 1], [0], [0]),
    "calibration": lambda: charts.calibration([]),
    "roc": lambda: charts.roc([]),
    "precision_recall": lambda: charts.precision_recall([]),
    "cost_curve": lambda: charts.cost_curve([], chosen=0.5),
    "history": lambda: charts.history([None]),
}


def words(chart: Chart) -> list[str]:
    """Every text in the drawing."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", vega.render(chart))


@pytest.mark.parametrize("kind", DRAWN)
def test_every_chart_takes_its_colours_from_the_page(kind: str) -> None:
    svg = vega.render(DRAWN[kind]())

    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg)) - {"none", "transparent"}
    assert colours
    assert all(colour.startswith("var(--") for colour in colours), colours


@pytest.mark.parametrize("kind", DRAWN)
def test_every_chart_is_well_formed_and_refers_only_to_itself(kind: str) -> None:
    svg = vega.render(DRAWN[kind]())

    ET.fromstring(svg)
    assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= set(re.findall(r'id="([^"]*)"', svg))
    assert "NaN" not in svg


@pytest.mark.parametrize("kind", EMPTY)
def test_a_chart_of_nothing_is_still_a_drawing(kind: str) -> None:
    assert "NaN" not in vega.render(EMPTY[kind]())


@pytest.mark.parametrize("kind", DRAWN)
def test_rendering_twice_gives_the_same_bytes(kind: str) -> None:
    assert vega.render(DRAWN[kind]()) == vega.render(DRAWN[kind]())


def test_axes_say_what_is_measured_and_lines_what_they_are() -> None:
    assert {"AUC", "limit 0.60", "all"} <= set(
        words(charts.intervals([("all", 0.7, 0.68, 0.72)], 0.6, title="AUC", reference_label="limit 0.60"))
    )
    assert {"false positive rate", "true positive rate", "champion"} <= set(words(charts.roc(TWO)))
    assert {"recall", "precision"} <= set(words(charts.precision_recall(CURVE, 0.2)))
    assert {"threshold", "cost per row", "chosen 0.7", "default 0.5"} <= set(words(charts.cost_curve(CURVE, 0.7)))
    assert {"trial", "best so far", "baseline", "objective"} <= set(words(charts.history([0.5, 0.6], baseline=0.5)))


@pytest.mark.parametrize(
    ("days", "shown"), [(0.2, "02:00"), (3, "Jan 02"), (40, "Feb 03"), (200, "Apr"), (900, "2014")]
)
def test_an_axis_of_times_is_marked_in_the_unit_that_fits_in_utc(days: float, shown: str) -> None:
    start, end = 1_356_998_400_000, 1_356_998_400_000 + days * 86_400_000  # 2013 begins

    assert shown in words(charts.line([(start, 1), (end, 2)], over_time=True))


def test_bars_in_a_group_are_as_long_as_their_values() -> None:
    svg = vega.render(charts.grouped_bars([("a", "champion", 1.0), ("a", "challenger", 2.0)]))
    paths = [re.findall(rf'd="(M0,[^"]*)" fill="var\(--c{i}\)"', svg)[0] for i in (1, 2)]
    short, long = (max(float(x) for x in re.findall(r"[ML]([\d.]+),", path)) for path in paths)

    assert long == pytest.approx(2 * short, rel=0.02)


def test_numbers_that_are_text_keep_their_decimals() -> None:
    assert "chosen 0.125" in words(charts.cost_curve(CURVE, 0.125))
    assert "0.685" in words(charts.intervals([("a", 0.7, 0.68, 0.72)]))


def test_rows_stand_in_the_given_order() -> None:
    names = ["zebra", "ant", "mouse"]
    assert [word for word in words(charts.bars([(name, 1.0) for name in names])) if word in names] == names


def test_a_curve_of_many_points_is_thinned_and_keeps_its_ends() -> None:
    points = [(float(i), float(i % 7)) for i in range(100_000)]
    drawn = vega.points({"a": points})

    assert len(drawn) == 240
    assert (drawn[0]["x"], drawn[-1]["x"]) == (0.0, 99_999.0)


def test_what_cannot_be_drawn_is_left_out() -> None:
    svg = vega.render(charts.intervals([("a", math.nan, math.nan, math.inf), ("b", 1.0, 0.5, 1.5)]))

    assert "NaN" not in svg
    assert vega.points({"a": [(0, math.inf), (1, 2)]}) == [{"x": 1.0, "y": 2.0, "order": 0, "series": "a"}]


def test_numpy_values_are_taken_as_they_are() -> None:
    edges, counts = np.array([0.0, 1.0, 2.0]), np.array([3, 4])

    assert vega.render(charts.histogram(edges, counts, counts)) == vega.render(  # type: ignore[arg-type]
        charts.histogram([0.0, 1.0, 2.0], [3, 4], [3, 4])
    )
    rates = np.linspace(0, 1, 5)
    vega.render(charts.roc(list(zip(rates, rates**0.5, strict=True))))
    vega.render(charts.calibration([(0.5, 0.5)], counts=[np.int64(3)]))  # type: ignore[list-item]
    vega.render(charts.history([np.float64(0.5)], baseline=np.float64(0.4)))


def test_markup_in_a_label_stays_text() -> None:
    svg = vega.render(charts.bars([("<script>alert(1)</script>", 1.0)]))

    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
