"""What tells people of incidents and of how runs ended, as KFP sees it."""

from typing import Any, Optional

from kfp.dsl import Artifact, Input, Output, PipelineTaskFinalStatus

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


@component(image="tabular")
def send_alert(
    decision: Input[Artifact],
    told: Output[Artifact],
    state_uri: str,
    channels: dict[str, Any] = {},
    report_url: Optional[str] = None,
) -> None:
    """Tells people of an incident: once when it begins, when it worsens, and when it is over.

    What happened, since when, how bad it is, what was done and where to look, by Slack, Teams, mail, PagerDuty, a
    webhook or whatever else Apprise knows. A channel that took a message is not sent it again, also by a step that runs
    again; one that cannot be reached is an error in the log, does not fail the run, and is told by the next one.

    Args:
        decision: The `decision` of decide, or the `decisions` of monitor_models.
        channels: Name to channel, see the JSON Schema `Channels`: `url_env` (the environment variable with its address
            as Apprise writes it), `from_outcome` (the least that it is told of, by default alert), `recovery` (true),
            `attempts` (3).
        state_uri: Folder or `gs://` or `s3://` prefix where it is remembered who was told what.
        report_url: Where people should look; by default the run's index page below state_uri.

    Returns:
        told: JSON: for each channel what it was told, or why it could not be.
    """
    from headway.components.alerting.send import send_alert as run

    run(decision, told, channels=channels, state_uri=state_uri, report_url=report_url)
