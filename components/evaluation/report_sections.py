"""The sections of the evaluation report with pictures: curves, calibration, threshold, importance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headway.components._shared.reports import (
    Block,
    Value,
    charts,
    details,
    facts,
    figure,
    table,
    text,
)
from headway.components._shared.reports.formats import number
from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.metrics import LABELS, Outcomes
from headway.components.evaluation.champion import Comparison
from headway.components.evaluation.report_cells import FOREST_ROWS, around
from headway.components.evaluation.result import Result

CURVE_POINTS = 200


def curves(result: Result) -> Iterator[Block]:
    """ROC and precision-recall curves, the champion's beside the model's."""
    series = {"model": result.outcomes}
    if isinstance(result.comparison, Comparison):
        series["champion"] = result.comparison.outcomes
    curves = {name: _curve(outcomes) for name, outcomes in series.items()}
    prevalence = float(result.outcomes.actual.mean())
    area = result.measured["roc_auc"].interval if "roc_auc" in result.measured else None
    yield figure(
        charts.roc({name: list(zip(fpr, tpr, strict=True)) for name, (fpr, tpr, _) in curves.items()}),
        "ROC curve",
        "True positive rate over false positive rate" + (f"; the area is {area.value:.3f}." if area else "."),
    )
    yield figure(
        charts.precision_recall(
            {name: list(zip(tpr[1:], precision[1:], strict=True)) for name, (_, tpr, precision) in curves.items()},
            prevalence,
        ),
        "Precision and recall",
        f"Precision over recall; selecting every row has a precision of {prevalence:.3f}.",
    )


def _curve(outcomes: Outcomes) -> tuple[list[float], list[float], list[float]]:
    """False positive rate, true positive rate and precision at thresholds from high to low."""
    assert outcomes.probabilities is not None
    order = np.argsort(-outcomes.probabilities[:, 1], kind="stable")
    hits = np.concatenate([[0.0], np.cumsum(outcomes.actual[order])])
    selected = np.arange(len(hits))
    last = np.append(np.diff(outcomes.probabilities[order, 1]) != 0, True)
    steps = np.concatenate([[0], np.flatnonzero(last) + 1])
    shown = steps[np.unique(np.linspace(0, len(steps) - 1, CURVE_POINTS).astype(int))]
    positives = hits[-1]
    fpr: Floats = (selected[shown] - hits[shown]) / max(len(outcomes.actual) - positives, 1)
    tpr: Floats = hits[shown] / max(positives, 1)
    precision: Floats = hits[shown] / np.maximum(selected[shown], 1)
    return fpr.tolist(), tpr.tolist(), precision.tolist()


def calibration(result: Result) -> Iterator[Block]:
    """Reliability of the predictions."""
    found = result.calibration
    assert found is not None
    regression = result.outcomes.task == "regression"
    points = [(b.predicted, b.observed.value) for b in found.bins]
    shown: dict[str, Value] = {}
    if found.ece is not None:
        shown["Calibration error (ECE)"] = around(found.ece)
        shown["ECE with the bins' noise"] = found.raw_ece
    for name in ("calibration_slope", "bias"):
        if name in result.measured:
            shown[LABELS[name]] = around(result.measured[name].interval)
    if found.reliability is not None:
        shown |= {
            "Brier: reliability": found.reliability,
            "Brier: resolution": found.resolution,
            "Brier: uncertainty": found.uncertainty,
        }
    yield facts(shown)
    if regression:
        low, high = min(p for p, _ in points), max(p for p, _ in points)
        chart = charts.line({"model": points, "perfect": [(low, low), (high, high)]}, "mean prediction", "mean outcome")
    else:
        chart = charts.calibration(points, [b.rows for b in found.bins])
    worst = max(found.bins, key=lambda b: abs(b.predicted - b.observed.value))
    yield figure(
        chart,
        "Mean prediction against what happened",
        f"Furthest apart: predicted {number(worst.predicted)}, happened {number(worst.observed.value)}.",
    )
    rows = [(b.rows, b.predicted, around(b.observed)) for b in found.bins]
    yield details("The table behind it", table(["Rows", "Mean prediction", "Happened"], rows))


def threshold(result: Result) -> Iterator[Block]:
    """How the decision threshold was chosen, and what it costs."""
    threshold = result.threshold
    assert threshold is not None
    if threshold.source != "costs":
        how = "was given" if threshold.source == "given" else "is the default, because nobody stated what mistakes cost"
        yield text(f"Rows with a probability of at least {threshold.value:g} are selected. The threshold {how}.")
        return
    costs = result.settings.costs
    assert costs is not None
    cost = result.measured["cost"]
    yield text(
        f"A false positive costs {costs.false_positive:g}, a false negative {costs.false_negative:g}. The cheapest "
        f"threshold on all rows is {threshold.value:.3f}; rows at or above it are selected. What is reported at the "
        "threshold is cross-fitted: each fifth of the rows is labelled with the threshold that is cheapest on the "
        f"other four ({min(threshold.by_fold):.3f} to {max(threshold.by_fold):.3f}), so the choice does not flatter it."
    )
    yield facts(
        {
            "Cost per row": around(cost.interval),
            "Best constant decision": None if cost.baseline is None else cost.baseline.value,
        }
    )
    yield figure(
        charts.cost_curve(threshold.curve, threshold.value),
        "Cost per row over the threshold",
        f"The cost is least at {threshold.value:.3f}.",
    )


def importance(result: Result) -> Iterator[Block]:
    """Permutation importance from training."""
    ordered = sorted(result.manifest.importance.items(), key=lambda item: -item[1])[:FOREST_ROWS]
    yield figure(
        charts.bars(ordered, "loss of the objective"),
        "Permutation importance: what the training objective loses when the feature is shuffled",
        f"The model depends most on {ordered[0][0]}.",
    )
