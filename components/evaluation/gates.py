"""Gates: checks that they can be asked at all, and decides each from what was measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from headway.components._shared.errors import HeadwayError
from headway.components._shared.statistics import Difference, Interval
from headway.components._shared.statistics.metrics import TASK_METRICS, Task, metrics_of
from headway.components._shared.verdicts import GateOutcome
from headway.components.evaluation.config import GainGate, GapGate, Gate, Gates, MetricGate, SliceGate

WORST = "worst"
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
    """

    metrics: Mapping[str, Interval] = field(default_factory=dict)
    slices: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    gaps: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    gains: Mapping[str, Difference] = field(default_factory=dict)
    no_champion: str | None = None


def decide(gates: Gates, evidence: Evidence) -> tuple[GateOutcome, ...]:
    """The outcome of every gate, in order. Depends on nothing but the gates and the evidence."""
    return tuple(_decide(name, gate, evidence) for name, gate in gates.root.items())


def blessing(outcomes: tuple[GateOutcome, ...]) -> tuple[bool, str]:
    """Whether the model may go on, and why, in one sentence."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if not outcomes:
        return False, NO_GATES
    if failed:
        return False, f"{len(failed)} of {len(outcomes)} gates failed: " + " ".join(o.reason for o in failed)
    return True, f"{len(outcomes)} of {len(outcomes)} gates passed."


def sliced_columns(gates: Gates) -> list[str]:
    """Columns whose values a gate names."""
    named = [g.slice.partition("=")[0] for g in gates.root.values() if isinstance(g, SliceGate) and g.slice != WORST]
    return list(dict.fromkeys(named))


def gap_columns(gates: Gates) -> list[str]:
    """Columns between whose values a gate limits a gap."""
    return [gate.column for gate in gates.root.values() if isinstance(gate, GapGate)]


def check_gates(gates: Gates, task: Task, columns: Collection[str], *, costs_stated: bool) -> None:
    """Refuses gates that can never be measured, before anything is computed.

    Args:
        gates: What was configured.
        task: The model's.
        columns: That the model's schema knows.
        costs_stated: Whether the evaluation states the costs of mistakes.

    Raises:
        HeadwayError: `gate.metric_unknown`, `gate.metric_not_comparable`, `gate.costs_unstated`, `gate.slice_unknown`.
    """
    metrics = metrics_of(task)
    for name, gate in gates.root.items():
        known = TASK_METRICS[task] if isinstance(gate, MetricGate) else tuple(metrics)
        if gate.metric not in known:
            raise HeadwayError(
                "gate.metric_unknown",
                f"Gate {name!r} is {_article(gate)} on a metric that a {task} model does not have.",
                value=gate.metric,
                remedy=f"Metrics of {task} models for such a gate: {', '.join(known)}.",
            )
        needs_direction = isinstance(gate, GainGate) or (isinstance(gate, SliceGate) and gate.slice == WORST)
        if needs_direction and metrics[gate.metric].better is None:
            directed = [m.name for m in metrics.values() if m.better]
            raise HeadwayError(
                "gate.metric_not_comparable",
                f"Gate {name!r} compares by a metric of which neither more nor less is better.",
                value=gate.metric,
                remedy=f"Use one of {', '.join(directed)}.",
            )
        if gate.metric == "cost" and not costs_stated:
            raise HeadwayError(
                "gate.costs_unstated",
                f"Gate {name!r} limits the cost, but nobody stated what mistakes cost.",
                value=gate.metric,
                remedy="Give `costs` with `false_positive` and `false_negative` in `evaluation`.",
            )
        if isinstance(gate, SliceGate) and gate.slice != WORST and gate.slice.partition("=")[0] not in columns:
            raise HeadwayError(
                "gate.slice_unknown",
                f"Gate {name!r} names a slice of a column that the model's schema does not know.",
                value=gate.slice,
                remedy=f"Name `worst`, or `column=value` with one of the columns {', '.join(columns)}.",
            )


def check_slices(gates: Gates, known: Collection[str], shown: Sequence[str]) -> None:
    """Refuses gates on values that cannot occur.

    Args:
        gates: What was configured.
        known: Names of slices that could be; those without support end by `when_unmeasurable`.
        shown: Names of slices with enough rows to be named in an error.

    Raises:
        HeadwayError: `gate.slice_unknown`.
    """
    for name, gate in gates.root.items():
        if isinstance(gate, SliceGate) and gate.slice != WORST and gate.slice not in {*known, *shown}:
            column = gate.slice.partition("=")[0]
            there = [s for s in shown if s.partition("=")[0] == column]
            raise HeadwayError(
                "gate.slice_unknown",
                f"Gate {name!r} names a slice that does not occur in the evaluation data.",
                value=gate.slice,
                remedy=f"Name one of {', '.join(there[:30])}.",
            )


def _article(gate: Gate) -> str:
    kinds = {"metric": "a metric gate", "slice": "a slice gate", "gap": "a gap gate", "gain": "a gain gate"}
    return kinds[gate.kind]


def _decide(name: str, gate: Gate, evidence: Evidence) -> GateOutcome:
    if isinstance(gate, GainGate):
        return _decide_gain(name, gate, evidence)
    if isinstance(gate, MetricGate):
        found, what = evidence.metrics.get(gate.metric), gate.metric
    elif isinstance(gate, SliceGate):
        found, what = evidence.slices.get((gate.metric, gate.slice)), f"{gate.metric} in {_slice_words(gate)}"
    else:
        found, what = (
            evidence.gaps.get((gate.metric, gate.column)),
            f"gap of {gate.metric} between values of {gate.column}",
        )
    return _decide_limit(name, gate, found, what)


def _decide_limit(name: str, gate: MetricGate | SliceGate | GapGate, found: Interval | None, what: str) -> GateOutcome:
    side = "at most" if gate.at_least is None else "at least"
    end = {"value": "value", "low": "low end", "high": "high end"}[gate.end]
    asks = f"{'' if gate.end == 'value' else f'{end} of '}{what} {side} {_number(gate.limit)}"
    if found is None:
        return _unmeasurable(name, gate, asks, gate.limit, f"{what} cannot be measured on these rows")
    held = {"value": found.value, "low": found.low, "high": found.high}[gate.end]
    passed = held <= gate.limit if gate.at_least is None else held >= gate.limit
    shown = f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
    return GateOutcome(
        gate=f"{name}: {asks}",
        metric=gate.metric,
        limit=gate.limit,
        value=found.value,
        low=found.low,
        high=found.high,
        passed=passed,
        reason=f"{what} is {shown}, its {end} is {'' if passed else 'not '}{side} {_number(gate.limit)}.",
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


def _unmeasurable(name: str, gate: Gate, asks: str, limit: float, why: str) -> GateOutcome:
    passed = gate.when_unmeasurable == "pass"
    policy = "passes by its `when_unmeasurable`" if passed else "fails, because what is not measured is not shown"
    return GateOutcome(
        gate=f"{name}: {asks}",
        metric=gate.metric,
        limit=limit,
        passed=passed,
        reason=f"{why}: the gate {policy}.",
    )


def _slice_words(gate: SliceGate) -> str:
    return "the worst slice" if gate.slice == WORST else gate.slice


def _number(value: float) -> str:
    return f"{value:.4g}"
