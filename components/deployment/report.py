"""The deployment report: what was decided, on which evidence, and what was done when."""

from __future__ import annotations

from pathlib import Path

from headway.components._shared.reports import Page, Tone, badge, code, duration, mono, span, table
from headway.components.deployment.record import Deployment

_TITLES = {
    "deployed": "{name}: a new version has the traffic",
    "rolled_back": "{name}: an earlier version has the traffic again",
    "unchanged": "{name}: this version has the traffic already",
    "refused": "{name}: not deployed, the door is closed",
    "failed": "{name}: not deployed, the candidate failed",
}
_TONES: dict[str, Tone] = {
    "deployed": "good",
    "rolled_back": "good",
    "unchanged": "good",
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
    if deployment.checks:
        page.section(
            "Evidence",
            table(
                ["Check", "Outcome", "Allowed", "Seen"],
                [
                    [c.check, badge("passed", "good") if c.passed else badge("failed", "bad"), c.limit, c.value]
                    for c in deployment.checks
                ],
                caption="What the candidate showed before it could get traffic",
            ),
        )
    if deployment.phases:
        total = max(phase.end_s for phase in deployment.phases)
        page.section(
            "What was done",
            table(
                ["Step", "When", "Took", "Traffic", "What came of it"],
                [
                    [
                        phase.phase,
                        span(phase.start_s, phase.end_s, total, "neutral" if phase.passed else "bad"),
                        duration(phase.end_s - phase.start_s),
                        "" if phase.weight is None else f"{phase.weight} %",
                        phase.detail,
                    ]
                    for phase in deployment.phases
                ],
                caption="The steps of the deployment over its time, and the candidate's traffic after each",
            ),
        )
    if deployment.example_request:
        page.section("Ask it", "This asks the endpoint about one golden row:", code(deployment.example_request))
    page.write(path)
