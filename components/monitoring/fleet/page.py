"""The fleet page: how every model fares, since when, its worst signal; and of few or ill ones what led there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from headway.components._shared.decisions import Decision, Fleet, Watched, severity
from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Tone,
    Value,
    badge,
    charts,
    figure,
    listing,
    mono,
    table,
)
from headway.components._shared.reports.formats import counted
from headway.components._shared.statistics.metrics import LABELS
from headway.components._shared.times import parse_time
from headway.components.monitoring.decision.report import STATUS, TONES, moments, signals_over_time
from headway.components.monitoring.fleet.findings import Findings
from headway.components.monitoring.performance.measures import MetricResult

_IN_DETAIL = 5
_COLUMNS = 6
_FEATURES = 3


@dataclass(frozen=True)
class Shown:
    """A model on the page.

    Attributes:
        watched: How it fares.
        recent: Its last windows, each as it was judged last, in the order of time.
        evidence: Gives what a decision rests on, None where that is not there; asked only for what is shown in detail.
    """

    watched: Watched
    recent: tuple[Decision, ...] = ()
    evidence: Callable[[Decision], Findings | None] = lambda _: None


def write_page(path: str, fleet: Fleet, shown: Sequence[Shown]) -> None:
    """Writes the page.

    Args:
        path: Of the HTML file.
        fleet: What was found out.
        shown: Its models, with what is drawn of each.
    """
    ordered = sorted(shown, key=lambda each: (-_rank(each.watched), each.watched.model_name))
    worst = max((_rank(each.watched) for each in shown), default=0)
    tone: Tone = "good" if worst <= 1 else "warn" if worst == severity("alert") else "bad"
    well = sum(_rank(each.watched) <= 1 for each in shown)
    status = "All is well" if well == len(shown) else f"{len(shown) - well} of {len(shown)} need somebody"
    page = Page("Models in service", _lead(fleet), tone=tone, status=status, kind="monitor_models", facts=_facts(fleet))
    page.section("Every model", _every(ordered))
    if problems := [each.watched for each in ordered if each.watched.problem]:
        page.section("What could not be judged", listing(list(map(_problem, problems))))
    if len(shown) > 1:
        page.section("Decisions over time", *_decisions(ordered))
    for each in _in_detail(ordered):
        page.section(each.watched.model_name, *_detail(each))
    page.write(path)


def _lead(fleet: Fleet) -> str:
    judged = sum(len(each.judged) for each in fleet.models)
    left = sum(each.left for each in fleet.models)
    said = f"{counted(judged, 'window')} of {counted(len(fleet.models), 'model')} judged, as of {fleet.as_of}"
    return f"{said}; {counted(left, 'window')} left to the next run." if left else f"{said}."


def _facts(fleet: Fleet) -> dict[str, Value]:
    ill = [each for each in fleet.models if each.since]
    facts: dict[str, Value] = {"Models": len(fleet.models), "Open incidents": len(ill)}
    problems = sum(each.problem is not None for each in fleet.models)
    return facts | ({"Not judged": problems} if problems else {})


def _every(ordered: Sequence[Shown]) -> Block:
    rows: list[tuple[Value, ...]] = [
        (
            each.watched.model_name,
            _state(each.watched),
            _short(each.watched.since),
            _worst(each.watched),
            _short(each.watched.latest.end if each.watched.latest else None),
            len(each.watched.judged),
            mono(each.watched.model_digest[:12]) if each.watched.model_digest else None,
        )
        for each in ordered
    ]
    return table(["Model", "State", "Since", "Worst signal", "Judged until", "Windows now", "Version"], rows)


def _short(time: str | None) -> str | None:
    """A day where the time is midnight."""
    return time.removesuffix("T00:00:00Z") if time else None


def _state(watched: Watched) -> Cell:
    if watched.problem:
        return badge("not judged", "bad")
    if watched.latest is None:
        return badge("nothing yet")
    return badge(STATUS[watched.latest.outcome].lower(), TONES[watched.latest.outcome])


def _worst(watched: Watched) -> str | None:
    if watched.problem:
        return watched.problem.code
    latest = watched.latest
    return (latest.reason if latest.rule else latest.worst) if latest else None


def _problem(watched: Watched) -> str:
    problem = watched.problem
    assert problem
    return f"{watched.model_name}: [{problem.code}] {problem.message} {problem.remedy}".strip()


def _rank(watched: Watched) -> int:
    """As severe as its last decision; not to be judged is as bad as to be retrained."""
    if watched.problem:
        return severity("retrain")
    return severity(watched.latest.outcome) if watched.latest else 0


def _decisions(ordered: Sequence[Shown]) -> Iterator[Block]:
    drawn = [(each, decision) for each in ordered for decision in each.recent]
    if not drawn:
        return
    at = moments([decision for _, decision in drawn])
    rows = sorted(
        (at[decision.start], each.watched.model_name, decision.outcome.replace("_", " ")) for each, decision in drawn
    )
    windows = len({decision.start for _, decision in drawn})
    yield figure(
        charts.marks(rows),
        f"Decisions of the last {counted(windows, 'window')}",
        "One row a model; the state of each is in the table above.",
    )


def _in_detail(ordered: Sequence[Shown]) -> list[Shown]:
    """The worst ones; all where there are few."""
    known = [each for each in ordered if each.recent]
    ill = [each for each in known if _rank(each.watched) > 0]
    return (known if len(known) <= _IN_DETAIL else ill)[:_IN_DETAIL]


def _detail(shown: Shown) -> Iterator[Block]:
    found = [(decision, evidence) for decision in shown.recent if (evidence := shown.evidence(decision))]
    yield signals_over_time(shown.recent)
    yield from _performance(found)
    yield from _drift(found)
    yield from _importance(found)


def _performance(windows: Sequence[tuple[Decision, Findings]]) -> Iterator[Block]:
    """Each metric that decides, with its interval and what was promised; and how far probabilities were off."""
    points: dict[str, list[tuple[float, MetricResult]]] = {}
    for decision, found in windows:
        for metric in found.performance.metrics if found.performance else ():
            if metric.now and (metric.state or (metric.name == "bias" and "too_high" in decision.signals)):
                points.setdefault(metric.name, []).append((_at(decision), metric))
    for name, known in points.items():
        promised = known[-1][1].promised
        off = name == "bias"
        title = "Mean probability less share that came true" if off else LABELS[name]
        spans = [(at, metric.now) for at, metric in known if metric.now]
        reference = 0.0 if off else promised.value if promised else None
        chart = charts.line(
            {name: [(at, span.value) for at, span in spans]},
            "window",
            title if not off else "bias",
            band=[(at, span.low, span.high) for at, span in spans],
            reference=reference,
            reference_label=None if off else "promised",
            over_time=True,
            small=True,
        )
        latest = spans[-1][1]
        said = f"Latest {latest.value:.3g} [{latest.low:.3g}, {latest.high:.3g}]"
        yield figure(chart, title, f"{said}{f', promised {promised.value:.3g}' if promised and not off else ''}.")


def _drift(windows: Sequence[tuple[Decision, Findings]]) -> Iterator[Block]:
    """A small figure for each column that drifted in any of the windows, the most frequent ones first."""
    found: dict[str, list[tuple[float, float]]] = {}
    limits: dict[str, tuple[str, float]] = {}
    times: dict[str, int] = {}
    for decision, each in windows:
        for column in each.drift.columns if each.drift else ():
            values = next((finding for finding in column.findings if finding.what == "values"), None)
            if values is None or column.measure is None:
                continue
            found.setdefault(column.name, []).append((_at(decision), values.value))
            limits[column.name] = (column.measure, values.limit)
            times[column.name] = times.get(column.name, 0) + column.drifted
    drifting = sorted((name for name in found if times[name]), key=lambda name: (-times[name], name))
    for name in drifting[:_COLUMNS]:
        measure, limit = limits[name]
        chart = charts.line(
            {name: found[name]},
            "window",
            measure.replace("_", " "),
            reference=limit,
            reference_label="limit",
            over_time=True,
            small=True,
        )
        many = counted(len(found[name]), "window")
        yield figure(chart, f"{name} over time", f"Drifted in {times[name]} of {many}.")


def _importance(windows: Sequence[tuple[Decision, Findings]]) -> Iterator[Block]:
    """What the model looks at, over time: the features of most importance in the last window that says so."""
    known = [(_at(decision), found.performance.importance) for decision, found in windows if found.performance]
    known = [(at, features) for at, features in known if features]
    if not known:
        return
    for feature in known[-1][1][:_FEATURES]:
        shares = [(at, each.share) for at, features in known for each in features if each.name == feature.name]
        chart = charts.line(
            {feature.name: shares},
            "window",
            "share",
            reference=feature.trained,
            reference_label="in training",
            over_time=True,
            small=True,
        )
        then = "" if feature.trained is None else f", in training {feature.trained:.0%}"
        said = f"Latest {feature.share:.0%}{then} of what all features explain."
        yield figure(chart, f"Importance of {feature.name}", said)


def _at(decision: Decision) -> float:
    return parse_time(decision.start).timestamp() * 1000
