"""The step finish_rollout: what a rollout left that nobody leads any more is taken back."""

from __future__ import annotations

from collections.abc import Mapping

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.audit import record_event
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.steps import decided, step
from headway.components._shared.times import format_time
from headway.components.deployment.bookkeeping import need_state
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Engine, choose_engine
from headway.components.deployment.rollout.back import take_back
from headway.components.deployment.rollout.timeline import Timeline
from headway.components.deployment.status import EndpointStatus, status_of, write_status


@step("finish_rollout")
def finish(
    status: Artifact,
    *,
    model_name: str,
    engine: str = "auto",
    serving: Mapping[str, object] | None = None,
    state_uri: str | None = None,
) -> EndpointStatus:
    """Looks after an endpoint; see the component's docstring."""
    settings, state = parse(Serving, serving or {}, parameter="serving"), need_state(state_uri)
    place, why = choose_engine(engine, state.uri, model_name, settings)
    left = place.progress()
    outcome, told = _finish(place)
    if outcome == "taken_back" and left:
        about = {"engine": place.name, "reason": told, "begun": left.begun, "stable_digest": left.stable_digest}
        digest = str(left.release["model_digest"])
        record_event(state, model_name, "rollout_taken_back", model_digest=digest, evidence=about)
    found = status_of(place, model_name)
    write_status([found], status.path)
    describe(status, outcome=outcome, decision=told)
    decided(f"{outcome}: {told}", outcome=outcome, state=found.state, engine=place.name, engine_reason=why)
    return found


def _finish(place: Engine) -> tuple[str, str]:
    """The outcome `nothing_to_do`, `left_alone` or `taken_back`, and why."""
    left = place.progress()
    if left is None:
        return "nothing_to_do", "no rollout is under way"
    if not left.late and not left.failure and not _fault(place):
        return "left_alone", f"the rollout that began at {left.begun} has until {format_time(left.deadline)}"
    try:
        with place.deploying():
            left, fault = place.progress(), _fault(place)
            if left is None:
                return "nothing_to_do", "the rollout ended meanwhile"
            if not left.late and not left.failure and fault is None:
                return "left_alone", "the candidate has recovered"
            why = f"being rolled back: {left.failure}" if left.failure else "not finished in time"
            if fault and not left.failure:
                why = f"left to a candidate that fails: {fault}"
                place.note(left.model_copy(update={"failure": fault}))
            take_back(place, Timeline())
            return "taken_back", f"the rollout that began at {left.begun} was {why}"
    except HeadwayError as error:
        if error.code != "endpoint.busy":
            raise
        return "left_alone", "a step is at work on the endpoint"


def _fault(place: Engine) -> str | None:
    """What is wrong with the candidate that a vanished step has left; a step that is at work sees to that itself."""
    candidate = place.candidate()
    fault = place.why_failed(candidate) if candidate else None
    return fault.message.partition("\n")[0] if fault else None
