"""Charts for reports: each gives a small Vega-Lite specification that takes its colours from the page's theme."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared.reports import vega
from headway.components._shared.reports.vega import COLOURS, Chart, Point

_SQUARE_HEIGHT = 320
# What a state is drawn in, wherever it is drawn.
STATES = {
    "quiet": vega.GRID,
    "ok": vega.GRID,
    "fired": COLOURS[1],
    "watch": COLOURS[0],
    "alert": COLOURS[1],
    "retrain": COLOURS[3],
    "roll back": COLOURS[4],
}

Curves = Mapping[str, Sequence[Point]] | Sequence[Point]


def intervals(
    rows: Sequence[tuple[str, float, float, float]],
    reference: float | None = None,
    title: str = "value",
    reference_label: str | None = None,
) -> Chart:
    """A forest plot: one estimate with its interval a row, from top to bottom.

    Args:
        rows: Label, value, low, high.
        reference: Draws a line, such as a limit or the value of "no difference".
        title: What is measured, under the axis.
        reference_label: What the line is.
    """
    drawn = [
        {"label": label, "value": vega.finite(value), "low": vega.finite(low), "high": vega.finite(high)}
        for label, value, low, high in rows
    ]
    bounded = [row for row in drawn if row["low"] is not None and row["high"] is not None]
    x = vega.quantity("value", title, nice=True)
    line = {"type": "rule", "strokeWidth": 3, "color": COLOURS[0], "opacity": 0.45, "strokeCap": "round"}
    dot = {"type": "point", "filled": True, "size": 80, "opacity": 1, "color": COLOURS[0]}
    return vega.chart(
        [
            vega.reference_line("x", reference, x, reference_label),
            vega.layer(bounded, line, x={**x, "field": "low"}, x2={"field": "high"}, y=vega.labels()),
            vega.layer(drawn, dot, x=x, y=vega.labels()),
        ],
        height={"step": 28},
    )


def bars(
    rows: Sequence[tuple[str, float]],
    title: str = "value",
    reference: float | None = None,
    reference_label: str | None = None,
) -> Chart:
    """Horizontal bars, one a row, from top to bottom.

    Args:
        rows: Label and value.
        title: What is measured, under the axis.
        reference: Draws a line, such as a limit.
        reference_label: What the line is.
    """
    drawn = [{"label": label, "value": vega.finite(value)} for label, value in rows]
    x = vega.quantity("value", title, zero=True)
    bar = {"type": "bar", "color": COLOURS[0], "height": {"band": 0.62}, "cornerRadiusEnd": 2}
    return vega.chart(
        [
            vega.layer(drawn, bar, x=x, y=vega.labels()),
            vega.reference_line("x", reference, x, reference_label),
        ],
        height={"step": 26},
    )


def grouped_bars(rows: Sequence[tuple[str, str, float]], title: str = "value") -> Chart:
    """Horizontal bars in groups, such as a metric a slice for champion and challenger.

    Args:
        rows: Group, series and value.
        title: What is measured, under the axis.
    """
    drawn = [{"label": group, "series": series, "value": vega.finite(value)} for group, series, value in rows]
    series = list(dict.fromkeys(name for _, name, _ in rows))
    layer = vega.layer(
        drawn,
        {"type": "bar", "cornerRadiusEnd": 2},
        # Stacking, the default with a colour, clips these bars at the wrong place when the width is fitted.
        x={**vega.quantity("value", title, zero=True), "stack": None},
        y={**vega.labels(), "scale": {"paddingInner": 0.3}},
        yOffset={"field": "series", "type": "nominal", "sort": series},
        color=vega.colour(series),
    )
    return vega.chart([layer], height={"step": 14, "for": "offset"})


def marks(rows: Sequence[tuple[str, str, str]]) -> Chart:
    """A row of squares a name, one a moment, such as the signals of each window.

    Args:
        rows: Moment (as text, in order), name and state; a state is told by its colour and, in the legend, by its name.
    """
    drawn = [{"moment": moment, "label": name, "series": state} for moment, name, state in rows]
    states = list(dict.fromkeys(state for *_, state in rows))
    palette = {state: STATES.get(state, COLOURS[i % len(COLOURS)]) for i, state in enumerate(states)}
    short = [str(moment) for moment in dict.fromkeys(moment for moment, *_ in rows)]
    axis = {"labelAngle": -45, "title": None, "grid": False, "labelLimit": 90, "labelOverlap": True}
    return vega.chart(
        [
            vega.layer(
                drawn,
                {"type": "rect", "stroke": "var(--page)", "strokeWidth": 3, "cornerRadius": 3},
                x={"field": "moment", "type": "ordinal", "sort": short, "axis": axis},
                y=vega.labels(),
                color=vega.colour(states, palette),
            )
        ],
        height={"step": 26},
    )


def line(
    series: Curves,
    x_title: str = "",
    y_title: str = "",
    band: Sequence[tuple[float, float, float]] = (),
    reference: float | None = None,
    reference_label: str | None = None,
    over_time: bool = False,
    small: bool = False,
) -> Chart:
    """Lines over an axis of numbers or times, optionally with a band.

    Args:
        series: Points (x, y) of one line, or name to points of several.
        x_title: What the horizontal axis shows.
        y_title: What the vertical axis shows.
        band: x, low, high of an area behind the lines, such as an interval.
        reference: Draws a horizontal line.
        reference_label: What that line is.
        over_time: Whether x are times, in UTC milliseconds since 1970.
        small: Whether two of them are to stand beside each other.
    """
    x, y = (vega.moments if over_time else vega.quantity)("x", x_title), vega.quantity("y", y_title)
    area = [{"x": vega.finite(at), "y": vega.finite(low), "high": vega.finite(high)} for at, low, high in band]
    return vega.chart(
        [
            vega.layer(area, {"type": "area", "color": COLOURS[0], "opacity": 0.18}, x=x, y=y, y2={"field": "high"})
            if area
            else None,
            vega.reference_line("y", reference, y, reference_label),
            vega.lines(_named(series), x, y),
        ],
        height=180 if small else 240,
        width=vega.HALF_WIDTH if small else vega.WIDTH,
    )


def histogram(
    edges: Sequence[float],
    current: Sequence[float],
    reference: Sequence[float] | None = None,
    title: str = "value",
    names: tuple[str, str] = ("current", "reference"),
) -> Chart:
    """Shares of rows in bins: the current ones as bars, those of the reference as a stepped line.

    Args:
        edges: Bin edges, one more than there are bins.
        current: Count or share of each bin; drawn as a share of their sum.
        reference: The same of the reference.
        title: What is binned.
        names: What the two are called.
    """
    drawn = list(names[: 1 if reference is None else 2])
    y = vega.quantity("share", "share of rows", zero=True, nice=True, number_format="~%")
    colour = vega.colour(drawn)
    filled = [
        {"x": float(low), "high": float(high), "share": share, "series": names[0]}
        for (low, high), share in zip(itertools.pairwise(edges), _shares(current), strict=True)
    ]
    bar = {"type": "bar", "opacity": 0.5, "binSpacing": 1}
    layers = [
        vega.layer(filled, bar, x=vega.quantity("x", title), x2={"field": "high"}, y=y, y2={"datum": 0}, color=colour)
    ]
    if reference is not None:
        shares = _shares(reference)
        steps = [
            {"x": float(edge), "share": share, "series": names[1]}
            for edge, share in zip(edges, [*shares, *shares[-1:]], strict=True)
        ]
        outline = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
        layers.append(vega.layer(steps, outline, x=vega.quantity("x", title), y=y, color=colour))
    return vega.chart(layers, height=200)


def calibration(series: Curves, counts: Sequence[int] = (), title: str = "predicted probability") -> Chart:
    """Reliability curve: observed share against predicted probability, with the diagonal of a perfect model.

    Args:
        series: Points (mean predicted, observed share) of one model, or name to points of several.
        counts: Rows behind each point, in the order of the points; more rows make a larger dot.
        title: What is predicted.
    """
    named = _named(series)
    x = vega.quantity("x", title, domain=(0, 1))
    y = vega.quantity("y", "observed share", domain=(0, 1))
    dots = vega.points(named)
    for dot, count in zip(dots, counts, strict=False):
        dot["count"] = int(count)
    size = {
        "field": "count",
        "type": "quantitative",
        "legend": None,
        "scale": {"type": "sqrt", "zero": True, "range": [0, 90]},
    }
    return vega.chart(
        [
            vega.dashed_line((0, 0), (1, 1), x, y),
            vega.lines(named, x, y),
            vega.layer(
                dots,
                {"type": "point", "filled": True, "opacity": 1, "size": 55},
                x=x,
                y=y,
                color=vega.colour(list(named)),
                size=size if counts else None,
            ),
        ],
        height=_SQUARE_HEIGHT,
        width=vega.HALF_WIDTH,
    )


def roc(series: Curves) -> Chart:
    """ROC curve.

    Args:
        series: Points (false positive rate, true positive rate) of one model, or name to points of several.
    """
    return _unit_square(series, "false positive rate", "true positive rate", ((0, 0), (1, 1)))


def precision_recall(series: Curves, prevalence: float | None = None) -> Chart:
    """Precision against recall.

    Args:
        series: Points (recall, precision) of one model, or name to points of several.
        prevalence: Share of positives, drawn as the precision of guessing.
    """
    guess = None if prevalence is None else ((0, float(prevalence)), (1, float(prevalence)))
    return _unit_square(series, "recall", "precision", guess)


def cost_curve(
    points: Sequence[Point],
    chosen: float,
    default: float | None = 0.5,
    x_title: str = "threshold",
    y_title: str = "cost per row",
) -> Chart:
    """Cost over the decision threshold, with the chosen one marked.

    Args:
        points: Threshold and cost.
        chosen: The threshold that was chosen.
        default: A threshold to compare with; None leaves it out.
        x_title: What the horizontal axis shows.
        y_title: What a cost is, and of what.
    """
    marked = [(chosen, f"chosen {chosen:.3g}", COLOURS[1])]
    if default is not None and default != chosen:
        marked.append((default, f"default {default:.3g}", vega.MUTED))
    (left, *_), (right, *_) = (min(points), max(points)) if points else ((0.0,), (1.0,))
    x = vega.quantity("x", x_title)
    marks: list[dict[str, Any]] = []
    for at, label, colour in marked:
        row = [{"x": float(at), "label": label}]
        end = at > (left + right) / 2
        word = {"type": "text", "align": "right" if end else "left", "dx": -5 if end else 5, "color": vega.INK}
        dashed = {"type": "rule", "color": colour, "strokeDash": [4, 3], "strokeWidth": 1.5}
        marks.append(vega.layer(row, dashed, x=x))
        marks.append(
            vega.layer(
                row,
                {**word, "baseline": "top", "dy": 2 if colour != vega.MUTED else 18, "fontSize": 12},
                x=x,
                y={"value": 0},
                text={"field": "label"},
            )
        )
    curve = vega.lines({"cost": points}, x, vega.quantity("y", y_title))
    return vega.chart([curve, *marks], height=240)


def history(
    values: Sequence[float | None],
    direction: str = "maximize",
    title: str = "objective",
    baseline: float | None = None,
) -> Chart:
    """Trials of a study in order, with the best so far.

    Args:
        values: Objective of each trial; None or a non-finite number for one that failed or was stopped.
        direction: `maximize` or `minimize`.
        title: What the objective is.
        baseline: Objective of the baseline parameters, drawn as a line.
    """
    better = max if direction == "maximize" else min
    found = [(number, value) for number, raw in enumerate(values) if (value := vega.finite(raw)) is not None]
    best = itertools.accumulate((value for _, value in found), better)
    rows = [{"trial": number, "value": value, "best": top} for (number, value), top in zip(found, best, strict=True)]
    names = {"trial": COLOURS[0], "best so far": COLOURS[1]}
    x, y = vega.quantity("trial", "trial", number_format="d"), vega.quantity("value", title, nice=True)
    dot = {"type": "point", "filled": True, "size": 45, "opacity": 0.8}
    stairs = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    return vega.chart(
        [
            vega.reference_line("y", vega.finite(baseline), y, "baseline"),
            vega.layer(
                [{**row, "series": "best so far"} for row in rows],
                stairs,
                x=x,
                y={**y, "field": "best"},
                color=vega.colour(list(names), names),
            ),
            vega.layer(
                [{**row, "series": "trial"} for row in rows],
                dot,
                x=x,
                y=y,
                color=vega.colour(list(names), names),
            ),
        ],
        height=240,
    )


def _named(series: Curves) -> Mapping[str, Sequence[Point]]:
    return series if isinstance(series, Mapping) else {"model": series}


def _unit_square(series: Curves, x_title: str, y_title: str, dashed: tuple[Point, Point] | None) -> Chart:
    x, y = vega.quantity("x", x_title, domain=(0, 1)), vega.quantity("y", y_title, domain=(0, 1))
    behind = vega.dashed_line(*dashed, x, y) if dashed else None
    return vega.chart([behind, vega.lines(_named(series), x, y)], height=_SQUARE_HEIGHT, width=vega.HALF_WIDTH)


def _shares(counts: Sequence[float]) -> list[float]:
    total = float(sum(counts))
    return [float(count) / total if total else 0.0 for count in counts]
