"""Charts for reports: small Vega-Lite specifications that become SVG and take their colours from the page's theme."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 620
COLOURS = tuple(f"var(--c{i})" for i in range(1, 7))
_DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [12, 4])
_INK, _MUTED, _RULE, _GRID = "var(--ink)", "var(--muted)", "var(--rule)", "var(--grid)"
_POINTS = 240  # more points than that on a curve are thinned: no screen shows them, and the page stays small

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification; `reports.figure` puts it into a page. An altair chart can stand in its place."""

    spec: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The specification, as altair's charts give it."""
        return dict(self.spec)


def intervals(
    rows: Sequence[tuple[str, float, float, float]], reference: float | None = None, title: str = "value"
) -> Chart:
    """A forest plot: one estimate with its interval a row.

    Args:
        rows: Label, value, low, high; drawn from top to bottom.
        reference: Draws a line, such as a limit or the value of "no difference".
        title: What is measured, under the axis.
    """
    values = [{"label": label, "value": v, "low": low, "high": high} for label, v, low, high in rows]
    y = {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": _label_axis()}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "color": COLOURS[0]},
            "encoding": {"x": _x("low", title, zero=False), "x2": {"field": "high"}, "y": y},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": COLOURS[0]},
            "encoding": {"x": _x("value", title, zero=False), "y": y},
        },
    ]
    if reference is not None:
        layers.insert(0, _reference_line("x", reference))
    return _chart(values, layers, height={"step": 26})


def bars(rows: Sequence[tuple[str, float]], title: str = "value", reference: float | None = None) -> Chart:
    """Horizontal bars, one a row, from top to bottom in the given order.

    Args:
        rows: Label and value.
        title: What is measured, under the axis.
        reference: Draws a line, such as a limit.
    """
    values = [{"label": label, "value": value} for label, value in rows]
    y = {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": _label_axis()}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "bar", "color": COLOURS[0], "height": {"band": 0.66}},
            "encoding": {"x": _x("value", title), "y": y},
        }
    ]
    if reference is not None:
        layers.append(_reference_line("x", reference))
    return _chart(values, layers, height={"step": 24})


def grouped_bars(rows: Sequence[tuple[str, str, float]], title: str = "value") -> Chart:
    """Horizontal bars in groups, such as a metric a slice for champion and challenger.

    Args:
        rows: Group, series and value.
        title: What is measured, under the axis.
    """
    values = [{"label": group, "series": series, "value": value} for group, series, value in rows]
    layer = {
        "mark": {"type": "bar", "height": {"band": 0.9}},
        "encoding": {
            "x": _x("value", title),
            "y": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": _label_axis()},
            "yOffset": {"field": "series", "type": "nominal", "sort": None},
            "color": _colour([series for _, series, _ in rows]),
        },
    }
    return _chart(values, [layer], height={"step": 14})


def line(
    series: Mapping[str, Sequence[Point]],
    x_title: str = "",
    y_title: str = "",
    band: Sequence[tuple[float, float, float]] = (),
    reference: float | None = None,
) -> Chart:
    """Lines over a numeric axis, optionally with a band.

    Args:
        series: Name to points (x, y).
        x_title: What the horizontal axis shows.
        y_title: What the vertical axis shows.
        band: x, low, high of an area behind the lines, such as an interval.
        reference: Draws a horizontal line.
    """
    layers: list[dict[str, Any]] = []
    if band:
        layers.append(
            {
                "data": {"values": [{"x": x, "low": low, "high": high} for x, low, high in band]},
                "mark": {"type": "area", "color": COLOURS[0], "opacity": 0.18},
                "encoding": {"x": _x("x", x_title, zero=False), "y": _y("low", y_title), "y2": {"field": "high"}},
            }
        )
    if reference is not None:
        layers.append(_reference_line("y", reference))
    layers.append(_line_layer(_x("x", x_title, zero=False), _y("y", y_title), list(series)))
    return _chart(_series_values(series), layers, height=240)


def histogram(
    edges: Sequence[float],
    current: Sequence[float],
    reference: Sequence[float] | None = None,
    title: str = "value",
    names: tuple[str, str] = ("current", "reference"),
) -> Chart:
    """Shares of rows in bins, current against reference.

    Args:
        edges: Bin edges, one more than there are bins.
        current: Count or share a bin; drawn as bars, as shares of their sum.
        reference: The same of the reference; drawn as a stepped line.
        title: What is binned.
        names: What the two are called.
    """
    bins = list(zip(edges[:-1], edges[1:], strict=True))
    values = [
        {"low": low, "high": high, "share": share, "series": names[0]}
        for (low, high), share in zip(bins, _shares(current), strict=True)
    ]
    drawn = list(names[: 1 if reference is None else 2])
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "rect", "opacity": 0.55},
            "encoding": {
                "x": _x("low", title, zero=False),
                "x2": {"field": "high"},
                "y": _y("share", "share of rows", percent=True, zero=True),
                "y2": {"datum": 0},
                "color": _colour(drawn),
            },
        }
    ]
    if reference is not None:
        shares = _shares(reference)
        steps = [
            {"x": edge, "share": share, "series": names[1]}
            for edge, share in zip(edges, [*shares, shares[-1]], strict=True)
        ]
        layers.append(
            {
                "data": {"values": steps},
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
                "encoding": {
                    "x": _x("x", title, zero=False),
                    "y": _y("share", "share of rows", percent=True, zero=True),
                    "color": _colour(drawn),
                },
            }
        )
    return _chart(values, layers, height=200)


def calibration(
    series: Mapping[str, Sequence[Point]] | Sequence[Point],
    counts: Sequence[int] = (),
    title: str = "predicted probability",
) -> Chart:
    """Reliability curve: observed share against predicted probability, with the diagonal of a perfect model.

    Args:
        series: Points (mean predicted, observed share) of one model, or name to points of several.
        counts: Rows a point of the first series; a larger dot for more rows.
        title: What is predicted.
    """
    named = series if isinstance(series, Mapping) else {"model": series}
    values = _series_values(named)
    for value, count in zip(values, counts, strict=False):
        value["count"] = count
    encoding: dict[str, Any] = {
        "x": _x("x", title, domain=(0, 1)),
        "y": _y("y", "observed share", domain=(0, 1)),
        "color": _colour(list(named)),
    }
    dots: dict[str, Any] = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": 50},
        "encoding": dict(encoding),
    }
    if counts:
        dots["transform"] = [{"calculate": "isValid(datum.count) ? datum.count : 0", "as": "count"}]
        dots["encoding"]["size"] = {
            "field": "count",
            "type": "quantitative",
            "legend": None,
            "scale": {"range": [25, 220]},
        }
    return _chart(
        values,
        [_diagonal((0, 0), (1, 1)), _line_layer(encoding["x"], encoding["y"], list(named)), dots],
        height=320,
        width=380,
    )


def roc(series: Mapping[str, Sequence[Point]] | Sequence[Point]) -> Chart:
    """ROC curve.

    Args:
        series: Points (false positive rate, true positive rate) of one model, or name to points of several.
    """
    return _unit_curve(series, "false positive rate", "true positive rate", _diagonal((0, 0), (1, 1)))


def precision_recall(series: Mapping[str, Sequence[Point]] | Sequence[Point], prevalence: float | None = None) -> Chart:
    """Precision against recall.

    Args:
        series: Points (recall, precision) of one model, or name to points of several.
        prevalence: Share of positives, drawn as the precision of guessing.
    """
    guess = None if prevalence is None else _diagonal((0, prevalence), (1, prevalence))
    return _unit_curve(series, "recall", "precision", guess)


def cost_curve(
    points: Sequence[Point],
    chosen: float,
    default: float | None = 0.5,
    x_title: str = "threshold",
    y_title: str = "cost per row",
) -> Chart:
    """Cost over the decision threshold, with the chosen one marked.

    Args:
        points: (threshold, cost).
        chosen: The threshold that was chosen.
        default: A threshold to compare with; None leaves it out.
        x_title: What the horizontal axis shows.
        y_title: What a cost is, and of what.
    """
    marks = [{"x": chosen, "label": f"chosen {chosen:.3g}", "dash": "chosen"}]
    if default is not None and default != chosen:
        marks.append({"x": default, "label": f"default {default:.3g}", "dash": "default"})
    layers = [
        _line_layer(_x("x", x_title, zero=False), _y("y", y_title), ["cost"], legend=False),
        *(
            _marked_line(mark["x"], str(mark["label"]), COLOURS[1] if mark["dash"] == "chosen" else _MUTED)
            for mark in marks
        ),
    ]
    return _chart(_series_values({"cost": points}), layers, height=240)


def history(
    values: Sequence[float | None], direction: str = "maximize", title: str = "objective", baseline: float | None = None
) -> Chart:
    """Trials of a study in order, with the best so far.

    Args:
        values: Objective of each trial; None or a non-finite number for one that failed or was stopped.
        direction: `maximize` or `minimize`.
        title: What the objective is.
        baseline: Objective of the baseline parameters, drawn as a line.
    """
    better = max if direction == "maximize" else min
    rows: list[dict[str, Any]] = []
    best: float | None = None
    for number, value in enumerate(values):
        if value is None or not math.isfinite(value):
            continue
        best = value if best is None else better(best, value)
        rows.append({"trial": number, "value": value, "best": best})
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "point", "filled": True, "size": 40, "color": COLOURS[0], "opacity": 0.75},
            "encoding": {"x": _x("trial", "trial", zero=False, whole=True), "y": _y("value", title)},
        },
        {
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "color": COLOURS[1]},
            "encoding": {"x": _x("trial", "trial", zero=False, whole=True), "y": _y("best", title)},
        },
    ]
    if baseline is not None and math.isfinite(baseline):
        layers.insert(0, _reference_line("y", baseline))
    return _chart(rows, layers, height=240)


def timeline(rows: Sequence[tuple[str, float, float, str]], title: str = "seconds since the run began") -> Chart:
    """When each step ran.

    Args:
        rows: Label, start, end and a state (`ran`, `adopted`, `failed`), which colours the bar.
        title: What the axis counts.
    """
    values = [{"label": label, "start": start, "end": end, "state": state} for label, start, end, state in rows]
    colours = {"ran": COLOURS[0], "adopted": COLOURS[2], "failed": "var(--bad)"}
    states = list(dict.fromkeys(state for *_, state in rows))
    layer = {
        "mark": {"type": "bar", "height": {"band": 0.6}, "cornerRadius": 2},
        "encoding": {
            "x": _x("start", title),
            "x2": {"field": "end"},
            "y": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": _label_axis()},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": states, "range": [colours.get(state, COLOURS[0]) for state in states]},
                "legend": {"title": None, "orient": "top"} if len(states) > 1 else None,
            },
        },
    }
    return _chart(values, [layer], height={"step": 24})


def render(chart: Any) -> str:
    """SVG of a Vega-Lite specification: the same bytes for the same chart, no identifier but those it refers to.

    Args:
        chart: A `Chart`, or anything else whose `to_dict()` gives Vega-Lite (altair's charts do).
    """
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
    svg = re.sub(r' (?:role|aria-[a-z]+)="[^"]*"', "", svg)  # the figure as a whole is the image
    # The renderer counts its clip paths up through the life of the process.
    identifiers = {name: f"clip{i}" for i, name in enumerate(dict.fromkeys(re.findall(r"clip\d+", svg)))}
    return re.sub(r"clip\d+", lambda match: identifiers[match[0]], svg)


def _chart(
    values: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any] | None], *, height: Any, width: int = WIDTH
) -> Chart:
    return Chart(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "width": width,
            "height": height,
            "background": None,
            "data": {"values": list(values)},
            "layer": [layer for layer in layers if layer],
            "config": _THEME,
        }
    )


def _unit_curve(series: Any, x_title: str, y_title: str, behind: Mapping[str, Any] | None) -> Chart:
    named = series if isinstance(series, Mapping) else {"model": series}
    layer = _line_layer(_x("x", x_title, domain=(0, 1)), _y("y", y_title, domain=(0, 1)), list(named))
    return _chart(_series_values(named), [behind, layer], height=320, width=380)


def _line_layer(
    x: Mapping[str, Any], y: Mapping[str, Any], names: Sequence[str], *, legend: bool = True
) -> dict[str, Any]:
    encoding: dict[str, Any] = {"x": x, "y": y, "order": {"field": "order"}, "color": _colour(names)}
    if len(names) > 1 and legend:
        encoding["strokeDash"] = {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": list(names), "range": list(_DASHES[: len(names)])},
            "legend": {"title": None, "orient": "top"},
        }
    return {"mark": {"type": "line", "strokeWidth": 2}, "encoding": encoding}


def _series_values(series: Mapping[str, Sequence[Point]]) -> list[dict[str, Any]]:
    return [
        {"x": x, "y": y, "order": order, "series": name}
        for name, points in series.items()
        for order, (x, y) in enumerate(_thinned(points))
    ]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `_POINTS` of the finite points, evenly by position, the first and the last among them."""
    finite = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) <= _POINTS:
        return finite
    step = (len(finite) - 1) / (_POINTS - 1)
    return [finite[round(i * step)] for i in range(_POINTS)]


def _shares(counts: Sequence[float]) -> list[float]:
    total = float(sum(counts))
    return [float(count) / total if total else 0.0 for count in counts]


def _x(
    field: str, title: str, *, zero: bool = True, whole: bool = False, domain: tuple[float, float] | None = None
) -> dict[str, Any]:
    scale: dict[str, Any] = {"zero": zero, "nice": False} if domain is None else {"domain": list(domain)}
    axis: dict[str, Any] = {"tickMinStep": 1, "format": "d"} if whole else {}
    return {"field": field, "type": "quantitative", "title": title or None, "scale": scale, "axis": axis}


def _y(
    field: str, title: str, *, zero: bool = False, percent: bool = False, domain: tuple[float, float] | None = None
) -> dict[str, Any]:
    scale: dict[str, Any] = {"zero": zero} if domain is None else {"domain": list(domain)}
    axis: dict[str, Any] = {"format": "~%"} if percent else {}
    return {"field": field, "type": "quantitative", "title": title or None, "scale": scale, "axis": axis}


def _label_axis() -> dict[str, Any]:
    return {"ticks": False, "domain": False, "grid": False, "labelLimit": 240, "labelPadding": 8, "labelColor": _INK}


def _colour(names: Sequence[str]) -> dict[str, Any]:
    unique = list(dict.fromkeys(names))
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": unique, "range": [COLOURS[i % len(COLOURS)] for i in range(len(unique))]},
        "legend": {"title": None, "orient": "top"} if len(unique) > 1 else None,
    }


def _reference_line(axis: str, value: float) -> dict[str, Any]:
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": _MUTED, "strokeDash": [4, 3], "strokeWidth": 1.5},
        "encoding": {axis: {"datum": value}},
    }


def _diagonal(start: Point, end: Point) -> dict[str, Any]:
    return {
        "data": {"values": [{"x": start[0], "y": start[1]}, {"x": end[0], "y": end[1]}]},
        "mark": {"type": "line", "color": _MUTED, "strokeDash": [4, 3], "strokeWidth": 1.5},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }


def _marked_line(x: float, label: str, colour: str) -> dict[str, Any]:
    at = {"x": {"field": "x", "type": "quantitative"}}
    return {
        "data": {"values": [{"x": x, "label": label}]},
        "layer": [
            {"mark": {"type": "rule", "color": colour, "strokeDash": [4, 3], "strokeWidth": 1.5}, "encoding": at},
            {
                "mark": {
                    "type": "text",
                    "align": "left",
                    "dx": 5,
                    "dy": 8,
                    "baseline": "top",
                    "color": _INK,
                    "fontSize": 12,
                },
                "encoding": {**at, "y": {"value": 0}, "text": {"field": "label"}},
            },
        ],
    }


_THEME: dict[str, Any] = {
    "font": "system-ui, sans-serif",
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "labelFontSize": 12,
        "titleColor": _INK,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "titlePadding": 10,
        "domainColor": _RULE,
        "tickColor": _RULE,
        "gridColor": _GRID,
        "labelOverlap": True,
        "tickCount": 6,
    },
    "legend": {"labelColor": _INK, "labelFontSize": 12, "symbolStrokeWidth": 2, "labelLimit": 300},
}
