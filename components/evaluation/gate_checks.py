"""Checks that gates can be asked at all, before anything is computed, and tells which columns they need."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headway.components._shared.errors import HeadwayError
from headway.components._shared.statistics.metrics import TASK_METRICS, Task, metrics_of
from headway.components.evaluation.config import GainGate, GapGate, Gate, Gates, MetricGate, SliceGate
from headway.components.evaluation.gates import WORST


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
