"""The exit handler that tells people how a run ended, as KFP sees it."""

from typing import Any, Optional

from kfp.dsl import PipelineTaskFinalStatus

from headway.components._shared.component import component


@component(image="tabular")
def notify(
    status: PipelineTaskFinalStatus,
    model_name: str,
    alerts: dict[str, Any] = {},
    state_uri: Optional[str] = None,
) -> None:
    """Tells the log and a webhook how a run ended: what failed, why, what to do, since when, and where the reports are.

    It is an exit handler. The cause comes from the failure records that the run's steps left below the state folder,
    since KFP passes none. A webhook that cannot be reached is a warning; it does not fail the run.

    Args:
        status: How the run ended; KFP fills it in.
        model_name: The model that the run is about: 2 to 31 of a-z, 0-9 and -, beginning with a letter.
        alerts: Which endings are told (`events`: failure, refusal, success) and to which `webhook` (url_env: name of
            the environment variable with its address, by default HEADWAY_ALERT_WEBHOOK; timeout_s, attempts); empty
            tells the log only.
        state_uri: Folder or gs:// or s3:// prefix with the run's records; without it only what KFP knows is told.
    """
    from headway.components.alerting.notify import notify as tell

    tell(status, model_name, alerts=alerts, state_uri=state_uri)
