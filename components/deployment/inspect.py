"""The step deployment_status: how endpoints are."""

from __future__ import annotations

from collections.abc import Mapping

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.steps import decided, step
from headway.components.deployment.bookkeeping import need_state
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import choose_engine
from headway.components.deployment.status import EndpointStatus, status_of, write_status

ANY = "any-endpoint"


@step("deployment_status")
def inspect(
    status: Artifact,
    *,
    model_name: str | None = None,
    engine: str = "auto",
    serving: Mapping[str, object] | None = None,
    must_serve: bool = False,
    state_uri: str | None = None,
) -> list[EndpointStatus]:
    """Tells how endpoints are; see the component's docstring."""
    settings, uri = parse(Serving, serving or {}, parameter="serving"), need_state(state_uri).uri
    names = [model_name] if model_name else choose_engine(engine, uri, ANY, settings)[0].names()
    found = [status_of(choose_engine(engine, uri, name, settings)[0], name) for name in names]
    write_status(found, status.path)
    told = "; ".join(f"{each.model_name} is {each.state}: {each.told}" for each in found) or "there is no endpoint"
    describe(status, decision=told)
    decided(told, states={each.model_name: each.state for each in found})
    failing = [each for each in found if each.state not in ("serving", "degraded")]
    if must_serve and (failing or not found):
        raise HeadwayError(
            "deployment.not_serving",
            f"{told}.",
            value=model_name,
            remedy="Deploy again: that brings back what died. rollback_deployment takes the release before.",
        )
    return found
