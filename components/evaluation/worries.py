"""What to worry about, in words: everything in an evaluation that a careful reader would ask about."""

from __future__ import annotations

import math
from collections.abc import Iterator

from headway.components._shared.reports.formats import counted
from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.statistics.metrics import metrics_of
from headway.components._shared.statistics.spread import block_autocorrelation, design_effect
from headway.components.evaluation.champion import Comparison
from headway.components.evaluation.result import Result

FEW_ROWS = 1000
FEW_BLOCKS = 20
SHOWN = 5
TOO_GOOD = {"roc_auc": 0.995, "average_precision": 0.995, "accuracy": 0.995, "r2": 0.995}


def worries(result: Result) -> list[str]:
    """Sentences, the weightiest first; empty if there is nothing to say."""
    return [
        *_about_skill(result),
        *_about_rows(result),
        *_about_champion(result),
        *_about_calibration(result),
        *_about_slices(result),
        *_about_gaps(result),
        *_about_threshold(result),
        *_about_inputs(result),
    ]


def _about_skill(result: Result) -> Iterator[str]:
    leading = result.skills.get(result.primary.name)
    if leading is not None and leading.low <= 0:
        yield (
            f"{'The model is worse than' if leading.high < 0 else 'It is not shown that the model beats'} the best "
            f"constant prediction: the gain in {result.primary.label} is {_span(leading)}."
        )
    others = {name: gain for name, gain in result.skills.items() if name != result.primary.name and gain.low <= 0}
    worse = [_beside_constant(result, name) for name, gain in others.items() if gain.high < 0]
    if worse:
        yield f"The best constant prediction does better in {_some(worse)}."
    unsure = [_beside_constant(result, name) for name, gain in others.items() if gain.high >= 0]
    if unsure:
        yield f"It is not shown that the model beats the best constant prediction in {_some(unsure)}."
    for name, limit in TOO_GOOD.items():
        if name in result.measured and result.measured[name].estimate.value > limit:
            metric = result.measured[name].metric.label
            yield f"{metric} above {limit} is rarely true: look for a feature that knows the answer (leakage)."


def _beside_constant(result: Result, name: str) -> str:
    found = result.measured[name]
    constant = "" if found.baseline is None else f"{found.baseline.value:.3g}"
    return f"{found.metric.label} ({found.estimate.value:.3g}, the constant {constant})"


def _about_rows(result: Result) -> Iterator[str]:
    rows = len(result.outcomes.actual)
    if rows < FEW_ROWS:
        yield f"Only {counted(rows, 'row')} were measured: small harm would not show."
    leading = result.measured.get(result.primary.name)
    if result.blocks is None:
        yield (
            "Every row counts as independent of the others. If rows share a day, a customer or a machine, every "
            "interval here is too narrow: state `dependence`, or give the column its role in the schema."
            if result.settings.dependence != "none"
            else "Every row counts as independent, as configured (`dependence`)."
        )
        return
    if leading is None:
        return
    effect = design_effect(leading.estimate, result.blocks.numbers)
    if effect > 1.5:
        yield (
            f"Rows of the same {result.blocks.words} are alike: for {result.primary.label}, {rows:,} rows tell as much "
            f"as {rows / effect:,.0f} independent ones would. The intervals allow for it."
        )
    if result.blocks.count < FEW_BLOCKS:
        yield f"Only {result.blocks.count} blocks ({result.blocks.words}) carry the intervals: they are rough."
    echo = block_autocorrelation(leading.estimate, result.blocks.numbers) if result.blocks.ordered else 0.0
    if echo > 2 / math.sqrt(result.blocks.count):
        yield (
            f"Neighbouring blocks ({result.blocks.words}) are alike too (correlation {echo:.2f}): the intervals are "
            "somewhat too narrow; take a longer `period` in `dependence`."
        )


def _about_champion(result: Result) -> Iterator[str]:
    comparison = result.comparison
    if not isinstance(comparison, Comparison):
        yield f"{comparison} Nothing here says whether the model is better than what runs today."
        return
    gain = comparison.gains.get(result.primary.name)
    if gain is not None:
        found = gain.difference
        if found.high < 0:
            yield f"The model is worse than the champion in {result.primary.label}: the gain is {_span(found)}."
        elif found.low <= 0:
            yield (
                f"It is not shown that the model is better than the champion in {result.primary.label}: the gain is "
                f"{_span(found)}. A true gain of {found.detectable:.2g} would have been found four times out of five."
            )
    worse = [name for name, slice_gain in result.slice_gains.items() if slice_gain.high < 0]
    if worse:
        yield f"The model is worse than the champion in {_some(worse)}, whatever it gains elsewhere."


def _about_calibration(result: Result) -> Iterator[str]:
    slope = result.measured.get("calibration_slope")
    if slope is not None and slope.interval.high < 1:
        yield f"Over-confident: predictions are too far from the mean (calibration slope {_span(slope.interval)})."
    if slope is not None and slope.interval.low > 1:
        yield f"Under-confident: predictions are too close to the mean (calibration slope {_span(slope.interval)})."
    bias = result.measured.get("bias")
    if bias is not None and not bias.interval.low <= 0 <= bias.interval.high:
        ends = sorted(abs(end) for end in (bias.interval.low, bias.interval.high))
        direction = "high" if bias.interval.low > 0 else "low"
        yield (
            f"Predictions are too {direction} on average, by {abs(bias.interval.value):.3g} "
            f"[{ends[0]:.3g}, {ends[1]:.3g}]."
        )


def _about_slices(result: Result) -> Iterator[str]:
    alpha = 1 - result.settings.confidence
    worse = [
        s
        for s in result.slices[result.primary.name]
        if s.deviation is not None and s.p_value is not None and s.deviation.value < 0 and s.p_value < alpha
    ]
    worse.sort(key=lambda s: s.deviation.value if s.deviation else 0.0)
    if worse:
        named = [f"{s.name} ({s.single.value:.3g}, {s.size:,} rows)" for s in worse if s.single is not None]
        yield f"{result.primary.label} is worse than overall in {_some(named)}."
    lacking = [s for s in result.slices[result.primary.name] if s.single is None]
    if lacking:
        rows, names = counted(sum(s.size for s in lacking), "row"), _some([s.name for s in lacking])
        verb = "has" if len(lacking) == 1 else "have"
        yield f"{counted(len(lacking), 'slice')} with {rows} {verb} too little support to be measured: {names}."


def _about_gaps(result: Result) -> Iterator[str]:
    for gap in result.gaps:
        if gap.interval is not None and gap.widest is not None and gap.interval.low > 0:
            one, other = gap.widest
            label = metrics_of(result.outcomes.task)[gap.metric].label
            yield f"{label} differs by {gap.column}, most between {one} and {other}: by {_span(gap.interval)}."


def _about_threshold(result: Result) -> Iterator[str]:
    threshold = result.threshold
    if threshold is None:
        return
    if threshold.source == "default":
        yield (
            f"Nobody stated what mistakes cost, so the decision threshold is {threshold.value:g}; labels, and what is "
            "measured on them, may be far from useful: state `costs`."
        )
    if threshold.by_fold and max(threshold.by_fold) - min(threshold.by_fold) > 0.1:
        yield (
            f"The rows hardly determine the threshold: parts of them choose {min(threshold.by_fold):.2f} to "
            f"{max(threshold.by_fold):.2f}."
        )


def _about_inputs(result: Result) -> Iterator[str]:
    rows = len(result.outcomes.actual)
    for feature, count in result.unseen.items():
        verb = "holds" if count == 1 else "hold"
        yield f"{count:,} of {rows:,} rows {verb} a value of {feature} that training never saw."
    idle = [name for name, loss in result.manifest.importance.items() if loss <= 0]
    if idle:
        use = "it is a feature" if len(idle) == 1 else "they are features"
        yield f"Shuffling {_some(idle)} harmed nothing in training: {use} that the model could do without."
    if result.manifest.data_fingerprint == result.data_fingerprint:
        yield "The adopted model came with this very data: if it learned from it, everything here is too good."


def _span(found: Interval | Difference) -> str:
    return f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
