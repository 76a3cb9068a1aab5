"""The pipeline `rollout_keeper`: run every few minutes, it ends what a rollout left whose step vanished."""

from typing import Any

from kfp import dsl

from headway.components import deployment_status, finish_rollout, notify
from headway.pipelines.placement import place


@dsl.pipeline(
    name="rollout-keeper",
    description="Takes back a rollout that nobody finishes, and fails where the endpoint does not serve.",
)
def rollout_keeper(
    model_name: str,
    state_uri: str,
    serving: dict[str, Any] = {},
    alerts: dict[str, Any] = {},
    serving_engine: str = "auto",
) -> None:
    """Looks after an endpoint between deliveries; meant as a recurring run.

    Args:
        model_name: The endpoint.
        state_uri: Folder or gs:// or s3:// prefix where the suite keeps releases, history, events and run records.
        serving: As the delivery has it; only the place matters.
        alerts: Who is told when a run fails; see notify.
        serving_engine: Where the endpoint runs: auto, local or kserve.
    """
    with dsl.ExitHandler(place(notify(model_name=model_name, alerts=alerts, state_uri=state_uri))):
        where = {"model_name": model_name, "engine": serving_engine, "serving": serving, "state_uri": state_uri}
        finished = place(finish_rollout(**where))
        place(deployment_status(must_serve=True, **where)).after(finished)
