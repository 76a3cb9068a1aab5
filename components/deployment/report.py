"""The deployment report: what was decided, on which evidence, and what was done when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Tone,
    Value,
    badge,
    code,
    duration,
    figure,
    mono,
    span,
    table,
)
from headway.components._shared.reports.charts import line
from headway.components.deployment.analysis.outcome import UNDECIDED
from headway.components.deployment.record import Check, Deployment, Phase

_TITLES = {
    "deployed": "{name}: a new version has the traffic",
    "rolled_back": "{name}: an earlier version has the traffic again",
    "unchanged": "{name}: this version has the traffic already",
    "withdrawn": "{name}: the candidate passed, and has no traffic",
    "refused": "{name}: not deployed, the door is closed",
    "failed": "{name}: not deployed, the candidate failed",
}
_TONES: dict[str, Tone] = {
    "deployed": "good",
    "rolled_back": "good",
    "unchanged": "good",
    "withdrawn": "good",
    "refused": "warn",
    "failed": "bad",
}


def write_report(deployment: Deployment, path: str | Path) -> None:
    """Writes the report of a deployment."""
    page = Page(
        title=_TITLES[deployment.outcome].format(name=deployment.model_name),
        lead=f"{deployment.reason[:1].upper()}{deployment.reason[1:]}.".replace("..", "."),
        tone=_TONES[deployment.outcome],
        status=deployment.outcome.replace("_", " ").capitalize(),
        kind="Deployment",
        facts={
            "Endpoint": deployment.endpoint,
            "Model": mono(deployment.model_digest[:12]),
            "Version": deployment.version and f"{deployment.environment}, version {deployment.version}",
            "Release before": mono(deployment.previous_digest[:12]) if deployment.previous_digest else "none",
            "Engine": deployment.engine and f"{deployment.engine} ({deployment.engine_reason})",
        },
    )
    if deployment.phases:
        page.section("What was done", *_timeline(deployment.phases))
    if deployment.checks:
        page.section("Evidence", _evidence(deployment.checks))
    courses = [_course(check) for check in deployment.checks if len(check.looks) > 1]
    if courses:
        page.section(
            "How the evidence grew",
            "What was found at each look, and the interval that holds at all of them at once. The candidate passes a "
            "limit once the whole interval keeps it.",
            *courses,
        )
    if deployment.example_request:
        page.section("Ask it", "This asks the endpoint about one golden row:", code(deployment.example_request))
    page.write(path)


def _timeline(phases: Sequence[Phase]) -> Iterator[Block]:
    """The phases, and the candidate's traffic over their time where it had some by and by."""
    total = max(phase.end_s for phase in phases)
    yield table(
        ["Step", "When", "Took", "Traffic", "What came of it"],
        [
            [
                phase.phase,
                span(phase.start_s, phase.end_s, total, "neutral" if phase.passed else "bad"),
                duration(phase.end_s - phase.start_s),
                "" if phase.weight is None else f"{phase.weight}\u00a0%",
                phase.detail,
            ]
            for phase in phases
        ],
        caption="The steps of the deployment over its time, and the candidate's traffic after each",
    )
    weights = [(phase.end_s, float(phase.weight)) for phase in phases if phase.weight is not None]
    if {weight for _, weight in weights} - {0, 100}:
        # A weight holds until the next one.
        stairs = [(0.0, 0.0)]
        for end, weight in weights:
            stairs += [(end, stairs[-1][1]), (end, weight)]
        yield figure(
            line({"candidate": stairs}, "seconds since the beginning", "share of the traffic in percent"),
            "The candidate's traffic",
            f"It was given {', '.join(f'{w:g} %' for w in dict.fromkeys(w for _, w in weights))} one after another.",
        )


def _evidence(checks: Sequence[Check]) -> Block:
    def outcome(check: Check) -> Cell:
        if check.passed:
            return badge("passed", "good")
        return badge("not decided", "warn") if UNDECIDED in check.value else badge("failed", "bad")

    rows: list[list[Value]] = [[check.check, outcome(check), check.limit, check.value] for check in checks]
    return table(["Check", "Outcome", "Allowed", "Seen"], rows, caption="What the candidate showed")


def _course(check: Check) -> Block:
    """How the interval of one difference shrank."""
    first, last = check.looks[0], check.looks[-1]
    return figure(
        line(
            {"difference": [(look.requests, look.value) for look in check.looks]},
            "requests to the candidate",
            "share of slower requests" if "median_ratio" in check.measured else "",
            band=[(look.requests, look.low, look.high) for look in check.looks],
            reference=check.measured.get("limit"),
            reference_label="limit" if "limit" in check.measured else None,
            small=True,
        ),
        f"{check.check}: {check.limit}",
        f"From {first.low:+.3g} to {first.high:+.3g} after {first.requests:,.0f} requests it shrank to "
        f"{last.low:+.3g} to {last.high:+.3g} after {last.requests:,.0f}.",
    )
