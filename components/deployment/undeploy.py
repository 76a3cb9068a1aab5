"""The step undeploy_model: nothing serves the endpoint any more."""

from __future__ import annotations

from collections.abc import Mapping

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.audit import record_event
from headway.components._shared.config import parse
from headway.components._shared.steps import decided, step
from headway.components.deployment.bookkeeping import need_state
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import choose_engine
from headway.components.deployment.status import EndpointStatus, status_of, write_status


@step("undeploy_model")
def undeploy(
    before: Artifact,
    *,
    model_name: str,
    engine: str = "auto",
    serving: Mapping[str, object] | None = None,
    state_uri: str | None = None,
) -> EndpointStatus:
    """Removes an endpoint; see the component's docstring."""
    settings, state = parse(Serving, serving or {}, parameter="serving"), need_state(state_uri)
    place, why = choose_engine(engine, state.uri, model_name, settings)
    found = status_of(place, model_name)
    place.remove()
    if found.stable:
        about = {"endpoint": found.url, "engine": place.name, "environment": found.stable.environment}
        record_event(state, model_name, "removed", model_digest=found.stable.model_digest, evidence=about)
    write_status([found], before.path)
    outcome = "unchanged" if found.state == "absent" else "removed"
    told = f"nothing served {model_name}" if found.state == "absent" else f"{model_name} had been {found.state}"
    describe(before, outcome=outcome, decision=told)
    decided(f"{outcome}: {told}", outcome=outcome, engine=place.name, engine_reason=why, endpoint=found.url)
    return found
