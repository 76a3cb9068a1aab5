"""The Vega-Lite parts that all charts share, their theme, and their way to SVG."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 870  # with labels, as wide as a page has room for
HALF_WIDTH = 404  # two of them fit beside each other, and one on a phone
PHONE_WIDTH = 330

# The page defines these, once for light and once for dark.
COLOURS = tuple(f"var(--c{i})" for i in range(1, 7))
INK, MUTED, RULE, GRID = "var(--ink)", "var(--muted)", "var(--rule)", "var(--grid)"
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [1, 4], [14, 4])

_POINTS = 240  # a curve with more points is thinned: no screen shows them, and the page stays small
# The renderer brings this font along and measures with it; the page draws with fonts of the same widths.
_FONT = "Liberation Sans"
_CLIP = re.compile(r'(?:(?<=id=")|(?<=url\(#))clip\d+')

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification."""

    spec: Mapping[str, Any]


def render(chart: Chart) -> str:
    """SVG of a chart: the same bytes for the same chart, whatever was rendered before in this process."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(dict(chart.spec))
    # The figure as a whole is the image for a screen reader, and the page decides the font.
    svg = re.sub(r' (?:role|aria-[a-z]+|font-family|xmlns:xlink|class|pointer-events)="[^"]*"', "", svg)
    svg = re.sub(r' opacity="1"|<path(?: [^>]*)? d=""[^>]*/>', "", svg)
    # Coordinates need no more than two decimals; numbers between the tags are text and stay as they are.
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", tag[0]), svg)
    # Clip paths are counted up through the life of the process, and their names hold for the whole page.
    used = dict.fromkeys(re.findall(r'(?<=id=")clip\d+', svg))
    digest = hashlib.sha256(_CLIP.sub("", svg).encode()).hexdigest()[:8]
    names = {name: f"clip-{digest}-{i}" for i, name in enumerate(used)}
    return _CLIP.sub(lambda match: names[match[0]], svg)


def chart(layers: Sequence[Mapping[str, Any] | None], *, height: Any, width: int = WIDTH) -> Chart:
    """A chart of layers, in the order in which they are painted."""
    return Chart(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "width": width,
            "height": height,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "background": None,
            "padding": 2,
            "layer": [layer for layer in layers if layer],
            "config": THEME,
        }
    )


def for_phone(chart: Chart) -> Chart | None:
    """The same chart as wide as a phone, with shorter labels; None for one that fits there as it is."""
    if chart.spec["width"] <= HALF_WIDTH:
        return None
    config = {
        **THEME,
        "axis": {**THEME["axis"], "tickCount": 4, "titleLimit": 210},
        "axisY": {**THEME["axisY"], "labelLimit": 120},
    }
    return Chart({**chart.spec, "width": PHONE_WIDTH, "config": config})


def layer(values: Sequence[Mapping[str, Any]], mark: Mapping[str, Any], **encoding: Any) -> dict[str, Any]:
    """One kind of mark over rows of values; channels that are None are left out."""
    used = {channel: given for channel, given in encoding.items() if given is not None}
    return {"data": {"values": list(values)}, "mark": dict(mark), "encoding": used}


def quantity(
    field: str,
    title: str,
    *,
    zero: bool = False,
    nice: bool = False,
    domain: tuple[float, float] | None = None,
    number_format: str | None = None,
) -> dict[str, Any]:
    """A channel for numbers."""
    scale: dict[str, Any] = {"zero": zero, "nice": nice} if domain is None else {"domain": list(domain)}
    axis: dict[str, Any] = {"grid": True} | ({"format": number_format} if number_format else {})
    if number_format == "d":
        axis["tickMinStep"] = 1
    return {"field": field, "type": "quantitative", "title": title or None, "scale": scale, "axis": axis}


def moments(field: str, title: str) -> dict[str, Any]:
    """A channel for times in UTC milliseconds, with as many days, months or years under the axis as it has room for."""
    scale = {"type": "utc", "nice": False}
    axis = {"grid": True, "format": _MOMENTS, "labelOverlap": True, "labelSeparation": 6}
    return {"field": field, "type": "temporal", "title": title or None, "scale": scale, "axis": axis}


def labels(field: str = "label") -> dict[str, Any]:
    """A vertical channel for names, in the order in which they come."""
    axis = {"ticks": False, "domain": False, "grid": False, "labelPadding": 8, "labelColor": INK}
    return {"field": field, "type": "nominal", "sort": None, "title": None, "axis": axis}


def colour(names: Sequence[str], palette: Mapping[str, str] | None = None, *, symbol: str = "square") -> dict[str, Any]:
    """A channel that colours by `series`, with a legend when there are several."""
    unique = list(dict.fromkeys(names))
    chosen = palette or {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(unique)}
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": unique, "range": [chosen.get(name, COLOURS[0]) for name in unique]},
        "legend": _legend(symbol) if len(unique) > 1 else None,
    }


def lines(series: Mapping[str, Sequence[Point]], x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    """One line a series, told apart by colour and by dash."""
    names = list(series)
    dash = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": names, "range": [DASHES[i % len(DASHES)] for i in range(len(names))]},
        "legend": _legend("stroke"),
    }
    return layer(
        points(series),
        {"type": "line", "strokeWidth": 2, "strokeJoin": "round"},
        x=x,
        y=y,
        order={"field": "order", "type": "quantitative"},
        color=colour(names, symbol="stroke"),
        strokeDash=dash if len(names) > 1 else None,
    )


def points(series: Mapping[str, Sequence[Point]]) -> list[dict[str, Any]]:
    """Rows x, y, order, series of the finite points, thinned."""
    return [
        {"x": x, "y": y, "order": order, "series": name}
        for name, given in series.items()
        for order, (x, y) in enumerate(_thinned(given))
    ]


def reference_line(
    axis: str, value: float | None, channel: Mapping[str, Any], label: str | None = None
) -> dict[str, Any] | None:
    """A dashed line across the chart, with its name at the end.

    Args:
        axis: `x` for an upright line, `y` for a level one.
        value: Where it crosses the axis; None for no line.
        channel: The axis's channel in the other layers, so that they share one axis.
        label: What the line is.
    """
    if value is None:
        return None
    at = {**{key: given for key, given in channel.items() if key != "field"}, "datum": float(value)}
    rule = layer([{}], {"type": "rule", **_DASHED}, **{axis: at})
    if not label:
        return rule
    place = {"dy": -5, "align": "center"} if axis == "x" else {"dy": -5, "align": "right"}
    end = {"y": {"value": 0}} if axis == "x" else {"x": {"value": "width"}}
    mark = {"type": "text", "text": label, "color": MUTED, "fontSize": 12, "baseline": "bottom", **place}
    return {"layer": [rule, layer([{}], mark, **{axis: at, **end})]}


def dashed_line(start: Point, end: Point, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    """A dashed line between two points, for what a perfect or a guessing model does."""
    ends = [{"x": start[0], "y": start[1]}, {"x": end[0], "y": end[1]}]
    return layer(ends, {"type": "line", **_DASHED}, x=x, y=y)


def finite(value: float | None) -> float | None:
    """A plain float, or None for what cannot be drawn."""
    return float(value) if value is not None and math.isfinite(value) else None


def _thinned(given: Sequence[Point]) -> list[Point]:
    """Evenly by position; the first and the last point stay."""
    kept = [(float(x), float(y)) for x, y in given if math.isfinite(x) and math.isfinite(y)]
    if len(kept) <= _POINTS:
        return kept
    step = (len(kept) - 1) / (_POINTS - 1)
    return [kept[round(i * step)] for i in range(_POINTS)]


_MOMENTS = {
    **dict.fromkeys(("quarter", "month"), "%b"),
    **dict.fromkeys(("week", "day", "date"), "%b %d"),
    **dict.fromkeys(("hours", "minutes"), "%H:%M"),
    "year": "%Y",
    "seconds": "%H:%M:%S",
}
_DASHED = {"color": MUTED, "strokeDash": [4, 3], "strokeWidth": 1.5}


def _legend(symbol: str) -> dict[str, Any]:
    size = (
        {"symbolSize": 240, "symbolStrokeWidth": 2.5}
        if symbol == "stroke"
        else {"symbolSize": 130, "symbolStrokeWidth": 0}
    )
    return {"title": None, "orient": "top", "symbolType": symbol, "symbolOpacity": 1, **size}


THEME: dict[str, Any] = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "labelFontSize": 12,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "domainColor": RULE,
        "tickColor": RULE,
        "gridColor": GRID,
        "labelOverlap": True,
        "tickCount": 6,
    },
    "axisX": {"labelFlush": False},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6, "labelLimit": 220},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 300,
        "columnPadding": 18,
        "offset": 10,
    },
}
