"""MLflow experiments: one run a pipeline run, its steps as child runs, found again and continued by a next try.

Steps leave records in the state (see `steps`), since few of them can afford to import MLflow. `register_model` begins
the run and forwards the records that are there; an exit handler calls `close_run(state, run, succeeded)` for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from headway.components._shared.state import State
from headway.components._shared.times import now, parse_time
from headway.components._shared.tracking.client import Client
from headway.components._shared.tracking.faults import ExistsError, without_credentials

_RUN_TAG = "headway.run_id"
_STEP_TAG = "headway.step"
_TIME_TAG = "headway.time"
_MAX_VALUE = 5000


def begin_run(client: Client, state: State, experiment: str, run: str) -> str:
    """The MLflow run of a pipeline run: the one that an earlier try began, or a new one.

    Args:
        client: The tracking server.
        state: Where a plain database keeps its artifacts, and where `close_run` looks the run up.
        experiment: Name of the experiment, such as `dev.flights`.
        run: Id of the pipeline run.

    Returns:
        Id of the MLflow run.
    """
    experiment_id = _experiment(client, state, experiment)
    found = client.search_runs([experiment_id], f"tags.`{_RUN_TAG}` = '{run}'", order_by=["attributes.start_time ASC"])
    begun = found[0] if found else client.create_run(experiment_id, tags={_RUN_TAG: run}, run_name=run)
    mlflow_run = str(begun.info.run_id)
    address = without_credentials(client.address)
    record = {"schema_version": 1, "tracking_uri": address, "mlflow_run": mlflow_run}
    state.write_json(state.run_key(run, f"tracking/{experiment}.json"), record)
    return mlflow_run


def log_run(
    client: Client,
    mlflow_run: str,
    *,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    texts: Mapping[str, str],
) -> None:
    """Writes what is known about a run; saying the same again changes nothing.

    Args:
        client: The tracking server.
        mlflow_run: From `begin_run`.
        params: Settings; a setting that the run has already stays.
        metrics: Figures.
        tags: Words about the run.
        texts: Name of an artifact to its content.
    """
    there = client.get_run(mlflow_run).data
    _log(
        client,
        mlflow_run,
        params={key: value for key, value in params.items() if _key(key) not in there.params},
        metrics={key: value for key, value in metrics.items() if there.metrics.get(_key(key)) != value},
        tags=tags,
    )
    for name, content in texts.items():
        client.log_text(mlflow_run, content, name)


def forward_steps(client: Client, state: State, mlflow_run: str, run: str) -> None:
    """Writes the records of a pipeline run's steps as child runs; what was forwarded before is left alone."""
    experiment_id = client.get_run(mlflow_run).info.experiment_id
    children = client.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{mlflow_run}'")
    known = {child.data.tags.get(_STEP_TAG): child for child in children}
    for record in _records(state, run):
        step, time = str(record["step"]), _time_of(record)
        child = known.get(step)
        if child is not None and child.data.tags.get(_TIME_TAG) == time:
            continue
        start = parse_time(time)
        if child is None:
            tags = {"mlflow.parentRunId": mlflow_run, _STEP_TAG: step}
            child = client.create_run(experiment_id, _milliseconds(start), tags=tags, run_name=step)
        details = record.get("details")
        facts = {**record, **(details if isinstance(details, dict) else {})}
        numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        words = {key: str(value) for key, value in facts.items() if isinstance(value, str | bool)}
        numbers.pop("schema_version")
        child_run = str(child.info.run_id)
        # The time goes last: a child without it is written again by the next try.
        _log(client, child_run, params={}, metrics=numbers, tags={**words, _TIME_TAG: time})
        end = start + timedelta(seconds=numbers.get("seconds", 0.0))
        status = "FAILED" if record["status"] == "failed" else "FINISHED"
        client.set_terminated(child_run, status, _milliseconds(end))


def end_run(client: Client, mlflow_run: str, *, succeeded: bool = True) -> None:
    """Marks a run as finished or failed."""
    client.set_terminated(mlflow_run, "FINISHED" if succeeded else "FAILED")


def close_run(state: State, run: str, *, succeeded: bool) -> int:
    """For an exit handler: forwards every step's record and says how the pipeline run ended.

    Args:
        state: Where the run's records are.
        run: Id of the pipeline run.
        succeeded: Whether all of it succeeded.

    Returns:
        Number of MLflow runs that were closed; 0 if no step had begun one, and then nothing is sent.
    """
    keys = [stat.key for stat in state.storage.list(f"runs/{run}/tracking")]
    for key in keys:
        record = state.read_json(key)
        client, mlflow_run = Client(str(record["tracking_uri"])), str(record["mlflow_run"])
        forward_steps(client, state, mlflow_run, run)
        end_run(client, mlflow_run, succeeded=succeeded)
    return len(keys)


def _experiment(client: Client, state: State, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        # A plain database would otherwise put artifacts into the working directory.
        location = f"{state.storage.uri}/mlflow-artifacts/{name}" if client.is_database else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except ExistsError:
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _log(
    client: Client,
    mlflow_run: str,
    *,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    time = _milliseconds(now())
    client.log_batch(
        mlflow_run,
        metrics=[Metric(_key(key), float(value), time, 0) for key, value in metrics.items()],
        params=[Param(_key(key), str(value)[:_MAX_VALUE]) for key, value in params.items()],
        tags=[RunTag(_key(key), value[:_MAX_VALUE]) for key, value in tags.items()],
    )


def _records(state: State, run: str) -> Iterable[dict[str, object]]:
    """The last record of each step, be it of success or of failure, in order of time."""
    keys = [s.key for kind in ("steps", "failures") for s in state.storage.list(f"runs/{run}/{kind}")]
    records = sorted((state.read_json(key) for key in keys), key=_time_of)
    return {str(record["step"]): record for record in records}.values()


def _time_of(record: Mapping[str, object]) -> str:
    return str(record.get("started") or record["time"])


def _milliseconds(time: Any) -> int:
    return int(time.timestamp() * 1000)


def _key(name: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name)[:250]
