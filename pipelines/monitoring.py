"""The pipeline `monitoring`: recurring, it judges every model in service, tells who must know, and retrains."""

from typing import Any

from kfp import dsl

from headway.components import monitor_models, send_alert, trigger_retraining
from headway.pipelines.placement import place


@dsl.pipeline(
    name="monitoring",
    description="Judges every closed window of every model that was not judged yet; tells of incidents, and retrains.",
)
def monitoring(
    models: dict[str, Any],
    state_uri: str,
    monitoring: dict[str, Any] = {},
    channels: dict[str, Any] = {},
    start: str = "",
    end: str = "",
    as_of: str = "",
    environment: str = "dev",
    tracking_uri: str = "auto",
    seed: int = 0,
) -> None:
    """Watches models in service; meant as a recurring run.

    Args:
        models: Name of the endpoint to what holds for it alone; see monitor_models.
        state_uri: Folder or gs:// or s3:// prefix where the suite keeps releases, history, events and run records.
        monitoring: Windows, labels, limits, policy and retraining that hold for all; see monitor_models.
        channels: Who is told of incidents; see send_alert.
        start: Start of a single window instead of those that are due, UTC.
        end: End of that window, UTC.
        as_of: The time at which windows must be over; empty is now.
        environment: dev, staging or prod.
        tracking_uri: MLflow server; auto takes MLFLOW_TRACKING_URI, or SQLite beside a local state folder.
        seed: Seed of everything random.
    """
    judged = place(
        monitor_models(
            models=models,
            monitoring=monitoring,
            start=start,
            end=end,
            as_of=as_of,
            environment=environment,
            tracking_uri=tracking_uri,
            seed=seed,
            state_uri=state_uri,
        )
    )
    place(send_alert(decision=judged.outputs["decisions"], channels=channels, state_uri=state_uri))
    place(
        trigger_retraining(
            decisions=judged.outputs["decisions"], models=models, monitoring=monitoring, state_uri=state_uri
        )
    )
