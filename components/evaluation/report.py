"""The evaluation report: what was decided, on which evidence, and what to worry about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Value,
    badge,
    charts,
    facts,
    figure,
    listing,
    mono,
    table,
    text,
)
from headway.components._shared.reports.formats import counted, number
from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.statistics.metrics import LABELS
from headway.components._shared.verdicts import GateOutcome, Verdict
from headway.components.evaluation.champion import Comparison
from headway.components.evaluation.gates import PICKED
from headway.components.evaluation.report_cells import FOREST_ROWS, around, p_value
from headway.components.evaluation.report_parts import classes, gaps, slices
from headway.components.evaluation.report_sections import calibration, curves, importance, threshold
from headway.components.evaluation.result import Result
from headway.components.evaluation.speed import OPERATIONAL, calls_to_bound_tail


def write_report(result: Result, verdict: Verdict, path: str | Path, name: str | None = None) -> None:
    """Writes the report of an evaluation as one self-contained HTML file.

    Args:
        result: What was measured.
        verdict: What was decided.
        path: Where the file goes.
        name: The model's name, if it has one.
    """
    page = Page(
        title=f"Evaluation of {name or 'a model'} for {result.manifest.target}",
        lead=_lead(result, verdict),
        tone="good" if verdict.blessed else "bad",
        status="Blessed" if verdict.blessed else "Not blessed",
        kind="Model evaluation",
        facts=_headline(result, verdict),
    )
    page.section("Gates", *_gates(verdict.gates))
    concerns = listing(verdict.warnings) if verdict.warnings else text("Nothing that these rows can show.")
    page.section("What to worry about", concerns)
    page.section("How good it is", *_metrics(result))
    page.section("Against the champion", *_champion(result))
    if result.outcomes.task == "binary" and result.outcomes.probabilities is not None:
        page.section("Ranking", *curves(result))
    if result.calibration is not None:
        page.section("Calibration", *calibration(result))
    if result.threshold is not None:
        page.section("Decision threshold", *threshold(result))
    if result.classes:
        page.section("Class by class", *classes(result))
    page.section("Slices", *slices(result))
    if result.gaps:
        page.section("Gaps between groups", *gaps(result))
    if result.manifest.importance:
        page.section("What the model looks at", *importance(result))
    page.section("Speed and size", *_speed(result))
    page.section("The evidence itself", *_evidence(result, verdict))
    page.write(path)


def _lead(result: Result, verdict: Verdict) -> str:
    """Verdict, leading metric and champion, for somebody who reads nothing else."""
    sentences = [verdict.reason]
    leading = result.measured.get(result.primary.name)
    if leading is not None:
        guess = (
            "" if leading.baseline is None else f"; the best constant prediction has {number(leading.baseline.value)}"
        )
        sentences.append(f"{result.primary.label} is {_words(leading.interval)}{guess}.")
    if not isinstance(result.comparison, Comparison):
        sentences.append(result.comparison)
    elif result.primary.name in result.comparison.gains:
        gain = result.comparison.gains[result.primary.name].difference
        sentences.append(f"The gain over the champion is {_words(gain)}.")
    return " ".join(sentences)


def _words(found: Interval | Difference) -> str:
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def _headline(result: Result, verdict: Verdict) -> dict[str, Value]:
    """The primary metric beside the best constant's, and every other that a gate asks about."""
    metrics = result.evidence().metrics
    leading = result.measured.get(result.primary.name)
    shown: dict[str, Value] = {}
    if leading is not None:
        shown[result.primary.label] = around(leading.interval)
        if leading.baseline is not None:
            shown[f"{result.primary.label} of a constant"] = leading.baseline.value
    asked = dict.fromkeys(gate.metric for gate in verdict.gates if gate.metric in metrics)
    shown |= {LABELS[name]: around(metrics[name]) for name in asked if name != result.primary.name}
    shown["Rows"] = len(result.outcomes.actual)
    if result.span is not None:
        shown["From"], shown["To"] = result.span
    if result.threshold is not None:
        shown["Threshold"] = result.threshold.value
    shown["Model"] = mono(result.manifest.model_digest[:12])
    shown["Estimator"] = result.manifest.estimator.rpartition(".")[2]
    return shown


def _gates(gates: Sequence[GateOutcome]) -> Iterator[Block]:
    if not gates:
        yield text("None are configured. A model that nothing vouches for is not blessed.")
        return
    rows = [
        (
            gate.gate,
            badge("passed", "good") if gate.passed else badge("failed", "bad"),
            gate.value if gate.value is None or gate.low is None or gate.high is None else around(gate),
            Cell(number(gate.limit), numeric=True),
            gate.reason,
        )
        for gate in gates
    ]
    yield table(["Gate", "Outcome", "Measured", "Limit", "Why"], rows)
    if any(PICKED in gate.reason for gate in gates):
        yield text(
            "Where the worst slice or the largest gap is asked for, the interval covers the true one, whichever that "
            "is. It is therefore not the interval that the tables below give for the one that looks so."
        )


def _metrics(result: Result) -> Iterator[Block]:
    percent = f"{100 * result.settings.confidence:g} %"
    rows = [
        (
            LABELS[name],
            around(found.interval),
            None if found.baseline is None else found.baseline.value,
            {"higher": "more", "lower": "less", None: None}[found.metric.better],
            found.metric.meaning,
        )
        for name, found in result.measured.items()
    ]
    yield table(["Metric", f"Value with {percent} interval", "Best constant", "Better", "Meaning"], rows)
    yield text(
        "The best constant is what the best prediction that is the same for every row reaches on these very rows; a "
        "dash where it is perfect or nothing is better. "
        + ("Metrics of labels use the decision threshold below. " if result.threshold is not None else "")
        + _dependence(result)
    )


def _dependence(result: Result) -> str:
    if result.blocks is None:
        return "Intervals take every row as independent."
    return (
        f"Intervals let rows with the same {result.blocks.words} depend on each other in any way "
        f"({counted(result.blocks.count, 'block')})."
    )


def _champion(result: Result) -> Iterator[Block]:
    comparison = result.comparison
    if not isinstance(comparison, Comparison):
        yield text(comparison)
        return
    rows = [
        (
            LABELS[name],
            result.measured[name].estimate.value,
            gain.champion.value,
            around(gain.difference),
            p_value(gain.difference.p_value),
            gain.difference.detectable,
            _word(gain.difference),
        )
        for name, gain in comparison.gains.items()
    ]
    yield text(
        f"Model {result.manifest.model_digest[:12]} against champion {comparison.champion_digest[:12]} on the same "
        "rows, paired. A positive gain is better, whichever way the metric goes; p is below "
        f"{1 - result.settings.confidence:.3g} exactly where the interval leaves out 0. The detectable gain would be "
        "found in four of five such evaluations: where it is larger than what matters, no difference seen means little."
    )
    yield table(["Metric", "Model", "Champion", "Gain", "p", "Detectable", ""], rows)
    if comparison.only_model_right is not None and comparison.only_champion_right is not None:
        yield text(
            f"The model alone is right in {counted(comparison.only_model_right, 'row')}, the champion alone in "
            f"{counted(comparison.only_champion_right, 'row')}."
        )
    if result.slice_gains:
        gains = sorted(result.slice_gains.items(), key=lambda item: item[1].value)[:FOREST_ROWS]
        yield figure(
            charts.intervals(
                [(name, g.value, g.low, g.high) for name, g in gains],
                0.0,
                f"gain in {result.primary.label}",
                "no difference",
            ),
            "Gain over the champion by slice, worst first; the intervals hold together",
            f"The smallest gain is {number(gains[0][1].value)} in {gains[0][0]}.",
        )


def _word(gain: Difference) -> Cell:
    if gain.low > 0:
        return badge("better", "good")
    return badge("worse", "bad") if gain.high < 0 else badge("not shown", "neutral")


def _speed(result: Result) -> Iterator[Block]:
    rows = [(LABELS[name], around(found), OPERATIONAL[name]) for name, found in result.speed.metrics.items()]
    yield table(["What", "Measured", "Meaning"], rows)
    yield text(
        f"Timed in the process of this step over {counted(result.speed.calls, 'call')}, taken as independent; fewer "
        f"than {calls_to_bound_tail(result.settings.confidence)} do not bound the 99 % quantile from above. A server "
        "adds its own time, and a busy machine makes all of it longer."
    )


def _evidence(result: Result, verdict: Verdict) -> Iterator[Block]:
    yield facts(
        {
            "Model digest": mono(verdict.model_digest),
            "Data fingerprint": mono(verdict.data_fingerprint),
            "Golden rows": f"{result.golden.height:,}",
            "Golden fingerprint": mono(verdict.golden_fingerprint),
            "Trained on": mono(result.manifest.data_fingerprint),
            "Champion digest": mono(verdict.champion_digest) if verdict.champion_digest else "none",
            "Dependence of rows": "none assumed" if result.blocks is None else result.blocks.words,
            "Confidence of intervals": f"{100 * result.settings.confidence:g} %",
            "Decided": verdict.time,
        }
    )
    yield text(
        "Intervals come from the influence of every row, summed by block (DeLong's for ROC AUC), with Wilson's form "
        "for shares, a logarithm for errors and a t interval for differences. A gate on the end of an interval "
        "therefore passes a model whose truth lies just beyond the limit in about "
        f"{100 * (1 - result.settings.confidence) / 2:g} % of evaluations."
    )
