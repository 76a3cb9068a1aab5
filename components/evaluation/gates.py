"""Gates: decides each from what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.verdicts import GateOutcome
from headway.components.evaluation.config import GainGate, GapGate, Gate, Gates, MetricGate, SliceGate

WORST = "worst"
PICKED = "the interval allows for the pick"
NO_GATES = "No gates are configured, so nothing vouches for the model."


@dataclass(frozen=True)
class Evidence:
    """What gates are held against.

    Attributes:
        metrics: Over all rows, with calibration, latency and size.
        slices: (metric, slice or `worst`) to its interval; absent where it could not be measured.
        gaps: (metric, column) to the largest gap; absent where it could not be measured.
        gains: Metric to the gain over the champion.
        no_champion: Why there is nothing to compare with, in words; None if there is a champion.
        worst: Metric to the name of the slice that looks worst.
        widest: (metric, column) to the two values that look furthest apart, in words.
    """

    metrics: Mapping[str, Interval] = field(default_factory=dict)
    slices: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    gaps: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    gains: Mapping[str, Difference] = field(default_factory=dict)
    no_champion: str | None = None
    worst: Mapping[str, str] = field(default_factory=dict)
    widest: Mapping[tuple[str, str], str] = field(default_factory=dict)


def decide(gates: Gates, evidence: Evidence) -> tuple[GateOutcome, ...]:
    """The outcome of every gate, in order. Depends on nothing but the gates and the evidence."""
    return tuple(_decide(name, gate, evidence) for name, gate in gates.root.items())


def blessing(outcomes: tuple[GateOutcome, ...]) -> tuple[bool, str]:
    """Whether the model may go on, and why, in one sentence."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if not outcomes:
        return False, NO_GATES
    if failed:
        return False, f"{tally(len(failed), len(outcomes))} failed: " + " ".join(o.reason for o in failed)
    return True, f"{tally(len(outcomes), len(outcomes))} passed."


def tally(some: int, of: int) -> str:
    """`5 of 5 gates`, `The only gate`."""
    return "The only gate" if some == of == 1 else f"{some} of {of} gates"


def figures(gates: Gates, outcomes: Sequence[GateOutcome]) -> dict[str, float]:
    """What gates found beside the metrics on all rows, under names for a list of metrics."""
    names = (_figure_name(gate) for gate in gates.root.values())
    return {
        name: outcome.value
        for name, outcome in zip(names, outcomes, strict=True)
        if name is not None and outcome.value is not None
    }


def _figure_name(gate: Gate) -> str | None:
    if isinstance(gate, GainGate):
        return f"{gate.metric}_gain"
    if isinstance(gate, GapGate):
        return f"{gate.metric}_gap_{gate.column}"
    if isinstance(gate, SliceGate):
        return f"{gate.metric}_worst_slice" if gate.slice == WORST else f"{gate.metric}_in_{gate.slice}"
    return None


def _decide(name: str, gate: Gate, evidence: Evidence) -> GateOutcome:
    if isinstance(gate, GainGate):
        return _decide_gain(name, gate, evidence)
    if isinstance(gate, MetricGate):
        return _decide_limit(name, gate, evidence.metrics.get(gate.metric), gate.metric)
    if isinstance(gate, GapGate):
        key, what = (gate.metric, gate.column), f"gap of {gate.metric} between values of {gate.column}"
        return _decide_limit(name, gate, evidence.gaps.get(key), what, evidence.widest.get(key))
    found = evidence.slices.get((gate.metric, gate.slice))
    if gate.slice != WORST:
        return _decide_limit(name, gate, found, f"{gate.metric} in {gate.slice}")
    return _decide_limit(name, gate, found, f"{gate.metric} in the worst slice", evidence.worst.get(gate.metric))


def _decide_limit(
    name: str,
    gate: MetricGate | SliceGate | GapGate,
    found: Interval | None,
    what: str,
    picked: str | None = None,
) -> GateOutcome:
    side = "at most" if gate.at_least is None else "at least"
    end = {"value": "value", "low": "low end", "high": "high end"}[gate.end]
    asks = f"{'' if gate.end == 'value' else f'{end} of '}{what} {side} {_number(gate.limit)}"
    if found is None:
        return _unmeasurable(name, gate, asks, gate.limit, f"{what} cannot be measured on these rows")
    held = {"value": found.value, "low": found.low, "high": found.high}[gate.end]
    if not math.isfinite(held):
        beyond = "above" if gate.end == "high" else "below"
        why = f"{what} is not bounded from {beyond} by so few measurements"
        return _unmeasurable(name, gate, asks, gate.limit, why, found.value)
    passed = held <= gate.limit if gate.at_least is None else held >= gate.limit
    shown = f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
    return GateOutcome(
        gate=f"{name}: {asks}",
        metric=gate.metric,
        limit=gate.limit,
        value=found.value,
        low=_finite(found.low),
        high=_finite(found.high),
        passed=passed,
        reason=f"{what}{f' ({picked}; {PICKED})' if picked else ''} is {shown}, its {end} is "
        f"{'' if passed else 'not '}{side} {_number(gate.limit)}.",
    )


def _decide_gain(name: str, gate: GainGate, evidence: Evidence) -> GateOutcome:
    strict = gate.test == "superiority"
    limit = gate.margin if strict else -gate.margin
    what = f"gain in {gate.metric} over the champion"
    asks = f"low end of {what} {'above' if strict else 'at least'} {_number(limit)} ({gate.test.replace('_', '-')})"
    if evidence.no_champion is not None:
        passed = gate.without_champion == "pass"
        policy = "passes without having been compared" if passed else "fails, because it demands a champion"
        return GateOutcome(
            gate=f"{name}: {asks}",
            metric=gate.metric,
            limit=limit,
            passed=passed,
            reason=f"{evidence.no_champion} The gate {policy}.",
        )
    found = evidence.gains.get(gate.metric)
    if found is None:
        return _unmeasurable(name, gate, asks, limit, f"{what} cannot be measured on these rows")
    passed = found.low > limit if strict else found.low >= limit
    shown = f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
    return GateOutcome(
        gate=f"{name}: {asks}",
        metric=gate.metric,
        limit=limit,
        value=found.value,
        low=found.low,
        high=found.high,
        passed=passed,
        reason=f"{what} is {shown}: {gate.test.replace('_', '-')} with margin {_number(gate.margin)} is "
        f"{'shown' if passed else 'not shown'}.",
    )


def _unmeasurable(name: str, gate: Gate, asks: str, limit: float, why: str, value: float | None = None) -> GateOutcome:
    passed = gate.when_unmeasurable == "pass"
    policy = "passes by its `when_unmeasurable`" if passed else "fails, because what is not measured is not shown"
    return GateOutcome(
        gate=f"{name}: {asks}",
        metric=gate.metric,
        limit=limit,
        value=value,
        passed=passed,
        reason=f"{why}: the gate {policy}.",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unbounded"
