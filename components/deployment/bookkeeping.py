"""What every step of this room says and keeps of what it did."""

from __future__ import annotations

from typing import Any

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import OUTAGES, bearing
from headway.components._shared.state import State
from headway.components._shared.steps import decided, keep_report
from headway.components.deployment.record import Deployment, Outcome, write_deployment
from headway.components.deployment.report import write_report
from headway.components.deployment.rollout.rollout import Rollout


def need_state(state_uri: str | None) -> State:
    """The state folder.

    Raises:
        HeadwayError: `deployment.state_missing`.
    """
    if not state_uri:
        raise HeadwayError(
            "deployment.state_missing",
            "There is no state folder, and models are served from its releases only.",
            remedy="Give the state_uri that register_model had.",
        )
    return State(state_uri)


def tell(result: Deployment, artifact: Artifact) -> None:
    """Writes the artifact, and says in the step's closing line and record what came of it."""
    write_deployment(result, artifact.path)
    describe(
        artifact,
        outcome=result.outcome,
        decision=result.reason,
        model_digest=result.model_digest,
        version=result.version,
        endpoint=result.endpoint,
    )
    decided(
        f"{result.outcome}: {result.reason}" + (f"; {result.endpoint}" if result.endpoint else ""),
        outcome=result.outcome,
        reason=result.reason,
        engine=result.engine,
        engine_reason=result.engine_reason,
        endpoint=result.endpoint,
        example_request=result.example_request,
        model_digest=result.model_digest,
        version=result.version,
        previous_digest=result.previous_digest,
        checks=[check.model_dump(mode="json", exclude={"looks"}) for check in result.checks],
    )


def last_event(state: State, model_name: str, *actions: str) -> dict[str, Any] | None:
    """The last event of these actions in the audit trail."""
    events = [event for event in verify_events(state, model_name) if event["action"] in actions]
    return events[-1] if events else None


def keep_event(state: State, result: Deployment, action: str, **more: object) -> None:
    """Adds what was done to the audit trail."""
    about = {**evidence(result), "reason": result.reason, **more}
    record_event(state, result.model_name, action, model_digest=result.model_digest, evidence=about)


def evidence(result: Deployment) -> dict[str, object]:
    """What justifies a decision, for the audit trail."""
    return {
        "endpoint": result.endpoint,
        "engine": result.engine,
        "environment": result.environment,
        "checks": [check.model_dump(mode="json", exclude={"looks"}) for check in result.checks],
    }


def carry_out(rollout: Rollout, engine_reason: str, report: Artifact, state: State, *, done: Outcome) -> Deployment:
    """Runs a rollout to its end, whichever that is, and reports it; the endpoint must be locked.

    Args:
        rollout: What to do.
        engine_reason: Why its engine was chosen.
        report: Where the report goes.
        state: Where the audit trail is.
        done: The outcome where the traffic was moved.

    Raises:
        HeadwayError: Why it was not; reported and in the audit trail already.
    """
    try:
        rollout.run()
    except HeadwayError as error:
        failed = result_of(rollout, engine_reason, "failed", error.message)
        show(failed, report)
        keep_event(state, failed, "deployment_failed" if done == "deployed" else "rollback_failed", code=error.code)
        raise
    outcome: Outcome = done if rollout.deployed else "withdrawn" if rollout.withdrawn else "unchanged"
    result = result_of(rollout, engine_reason, outcome, rollout.reason)
    show(result, report)
    return result


def show(result: Deployment, report: Artifact) -> None:
    """Writes the report, and keeps a copy that survives a failed step."""
    write_report(result, report.path)
    keep_report(report.path)


def result_of(rollout: Rollout, engine_reason: str, outcome: Outcome, reason: str) -> Deployment:
    """What came of a rollout so far."""
    release, previous, moves = rollout.release, None, "unknown, since the cluster does not answer"
    with bearing("looking at the endpoint for the report", OUTAGES):
        previous = next((served.model_digest for served in rollout.engine.history().before), None)
        moves = rollout.engine.traffic()
    return Deployment(
        outcome=outcome,
        reason=reason,
        model_name=release.model_name,
        environment=release.environment,
        engine=rollout.engine.name,
        engine_reason=f"{engine_reason}; traffic moves by {moves}",
        endpoint=rollout.entrance.url if rollout.entrance else None,
        headers=dict(rollout.entrance.headers) if rollout.entrance else {},
        model_digest=release.model_digest,
        version=release.version,
        previous_digest=previous,
        checks=tuple(rollout.timeline.checks),
        phases=tuple(rollout.timeline.phases),
        example_request=rollout.example_request(),
    )
