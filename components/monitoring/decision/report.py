"""The report of decide: what follows, why, and how the windows before were."""

from __future__ import annotations

from collections.abc import Sequence

from headway.components._shared.decisions import Decision
from headway.components._shared.reports import Block, Cell, Page, Tone, Value, badge, figure, listing, mono, table, text
from headway.components._shared.reports.charts import marks
from headway.components._shared.reports.formats import counted
from headway.components.monitoring.decision.history import Past

TONES: dict[str, Tone] = {"ok": "good", "watch": "neutral", "alert": "warn", "retrain": "bad", "roll_back": "bad"}
STATUS = {"ok": "All is well", "watch": "Watch", "alert": "Alert", "retrain": "Retrain", "roll_back": "Roll back"}
_WORDS = {
    "data": "data feed",
    "no_rows": "nobody asks",
    "few_labels": "few labels",
    "drift": "drift",
    "much_drift": "much drift",
    "separation": "all features together",
    "predictions": "predictions drift",
    "worse": "worse than promised",
    "unclear": "labels do not tell",
    "estimate": "estimated to be worse",
    "too_high": "probabilities too high",
    "too_low": "probabilities too low",
    "slow": "slow",
    "errors": "errors",
    "refused": "requests refused",
    "restarts": "restarts",
    "memory": "memory nearly full",
}
_SHOWN = 30


def write_report(path: str, decision: Decision, past: Past) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        decision: What was decided.
        past: What was decided before.
    """
    outcome = decision.outcome
    page = Page(
        "Monitoring",
        f"{decision.reason[0].upper()}{decision.reason[1:]}.",
        tone=TONES[outcome],
        status=STATUS[outcome],
        kind="decide",
        facts=_facts(decision),
    )
    page.section("Signals", _signals(decision))
    page.section("Over time", *_over_time(decision, past))
    if decision.fired:
        page.section("Rules that fired", _fired(decision))
    page.write(path)


def _facts(decision: Decision) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Endpoint": decision.model_name,
        "Model": mono(decision.model_digest[:12]),
        "From": decision.start,
        "To": decision.end,
    }
    if decision.label_cutoff:
        facts["Labels by"] = decision.label_cutoff
    if decision.incident:
        facts["Incident since"] = decision.incident.id
        facts["Windows of the incident"] = decision.incident.windows
    if decision.recovered:
        facts["Recovered from the incident of"] = decision.recovered
    if decision.act_from:
        facts["To begin"] = decision.act_from
    return facts


def _signals(decision: Decision) -> Block:
    rows: list[tuple[Value, ...]] = [
        (_WORDS[name], _mark(signal.fired), signal.told, signal.value, signal.limit)
        for name, signal in sorted(decision.signals.items(), key=lambda pair: not pair[1].fired)
    ]
    return table(["Signal", "State", "What was found", "Value", "Limit"], rows)


def _mark(fired: bool) -> Cell:
    return badge("fired", "warn") if fired else badge("quiet", "good")


def _over_time(decision: Decision, past: Past) -> list[Block]:
    blocks = [signals_over_time([*past.windows(_SHOWN - 1), decision])]
    remarks = [f"No window covers {span}." for span in decision.missing]
    remarks += [f"An entry of the history cannot be read and counts as none: `{key}`." for key in decision.damaged]
    return [*blocks, listing(remarks)] if remarks else blocks


def signals_over_time(windows: Sequence[Decision]) -> Block:
    """Which signals each window had, and what was decided, from the first to the last."""
    names = [name for name in _WORDS if any(name in each.signals for each in windows)]
    at, latest = moments(windows), windows[-1]
    drawn = [
        (at[each.start], _WORDS[name], "fired" if each.signals[name].fired else "quiet")
        for each in windows
        for name in names
        if name in each.signals
    ]
    drawn += [(at[each.start], "decision", each.outcome.replace("_", " ")) for each in windows]
    return figure(
        marks(drawn),
        f"Signals and decisions of the last {counted(len(windows), 'window')}",
        f"Latest: {latest.outcome.replace('_', ' ')}; {latest.reason}.",
    )


def moments(windows: Sequence[Decision]) -> dict[str, str]:
    """Start of each window to how a figure writes it: as a day where all begin at midnight."""
    midnight = all(each.start.endswith("T00:00:00Z") for each in windows)
    return {each.start: each.start[: 10 if midnight else 16].replace("T", " ") for each in windows}


def _fired(decision: Decision) -> Block:
    rows: list[tuple[Value, ...]] = [
        (each.rule, each.outcome.replace("_", " "), ", ".join(each.windows)) for each in decision.fired
    ]
    table_of = table(["Rule", "Asks for", "Windows that had its signals"], rows)
    return table_of if not decision.held_back else Block(table_of.html + text(f"Held back: {decision.held_back}.").html)
