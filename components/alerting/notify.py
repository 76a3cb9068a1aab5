"""Tells people how a run ended. Runs as the exit handler, so it never makes a bad run worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.run_index import write_run_index
from headway.components._shared.reports.run_records import read_run
from headway.components._shared.state import State, checked_model_name, run_id
from headway.components._shared.steps import decided, log, step
from headway.components._shared.times import now
from headway.components._shared.tracking.experiments import close_run
from headway.components.alerting.config import Alerts
from headway.components.alerting.messages import Run, message_about
from headway.components.alerting.run_history import Streak, remember
from headway.components.alerting.webhook import Delivery, deliver


class FinalStatus(Protocol):
    """What KFP tells an exit handler: the state is COMPLETE on a backend and SUCCEEDED locally when all went well."""

    state: str
    pipeline_job_resource_name: str
    error_message: str | None


@step("notify")
def notify(
    status: FinalStatus,
    model_name: str,
    *,
    alerts: Mapping[str, Any],
    state_uri: str | None = None,
) -> None:
    """Tells the log always, and the webhook when `alerts` wants this ending told.

    Args:
        status: How the run ended.
        model_name: The model that it is about.
        alerts: See `config.Alerts`.
        state_uri: Where the run's records are; None tells what KFP knows.

    Raises:
        HeadwayError: `config.invalid`, `model.name_invalid`; only after the log was told.
    """
    message = message_about(_gather(status, model_name, state_uri))
    log.warning(message.text) if message.event == "failure" else log.info(message.text)
    _close_tracking(state_uri, succeeded=message.event != "failure")
    wanted = parse(Alerts, alerts, parameter="alerts")
    checked_model_name(model_name)
    if wanted.webhook is None or message.event not in wanted.events:
        decided(f"told the log: {message.headline}", event=message.event, webhook=None)
        return
    delivery = deliver(message.payload(), wanted.webhook)
    if not delivery.delivered:
        log.warning(f"The webhook in {wanted.webhook.url_env} was not told: {delivery.problem}.")
    decided(
        f"told the log{' and the webhook' if delivery.delivered else ''}: {message.headline}{_complaint(delivery)}",
        event=message.event,
        webhook={"delivered": delivery.delivered, "attempts": delivery.attempts, "problem": delivery.problem},
    )


def _close_tracking(state_uri: str | None, *, succeeded: bool) -> None:
    """Sends MLflow the records that came after the registration and ends the run there, where a step began one."""
    identifier = run_id()
    if state_uri is None or identifier is None:
        return
    try:
        closed = close_run(State(state_uri), identifier, succeeded=succeeded)
    except (HeadwayError, OSError, ValueError, KeyError) as error:
        log.warning(f"The run in MLflow was not closed: {error}")
    else:
        if closed:
            log.info("The run in MLflow is closed.")


def _complaint(delivery: Delivery) -> str:
    return "" if delivery.delivered else f" (the webhook could not be told: {delivery.problem})"


def _gather(status: FinalStatus, model_name: str, state_uri: str | None) -> Run:
    """What is known about the run; a state folder that cannot be read costs the details, not the message."""
    run = Run(
        model_name=model_name,
        succeeded=status.state in ("COMPLETE", "SUCCEEDED"),
        state=status.state,
        job=status.pipeline_job_resource_name,
        run_id=run_id(),
        said=status.error_message or "",
    )
    if state_uri is None or run.run_id is None:
        return run
    try:
        return _with_records(run, State(state_uri), run.run_id)
    except (HeadwayError, OSError, ValueError, KeyError) as error:
        log.warning(f"The run's records could not be read: {error}")
        return run


def _with_records(run: Run, state: State, identifier: str) -> Run:
    ends = tuple(read_run(state, identifier))
    began = min((end.started for end in ends if end.status != "adopted"), default=now())
    streak: Streak = remember(state, run.model_name, identifier, succeeded=run.succeeded, began=began)
    index = write_run_index(
        state, identifier, pipeline="", parameters={}, model_name=run.model_name, succeeded=run.succeeded
    )
    return run.enriched(ends, streak, index, root=state.uri_of(state.run_key(identifier, "")))
