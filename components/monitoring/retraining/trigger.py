"""The step `trigger_retraining`: starts a training run for each incident that asks for one, once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from headway.components._shared.artifacts import Artifact, describe, read_document, write_document
from headway.components._shared.audit import record_event
from headway.components._shared.config import Config
from headway.components._shared.decisions import Decision, Fleet, Watched
from headway.components._shared.errors import HeadwayError, raise_together
from headway.components._shared.state import RUN_ID_VARIABLE, State, dump_json, run_id
from headway.components._shared.steps import decided, log, step
from headway.components._shared.storage import local_folder
from headway.components._shared.times import in_a_name, now, parse_time
from headway.components.monitoring.config import Retraining, settings_of
from headway.components.monitoring.retraining.kfp_api import KfpApi

Outcome = Literal["started", "already", "waiting", "not set up", "failed"]


class Asked(Config):
    """A retraining that was decided; kept until it was started, by whichever run.

    Attributes:
        decision: Which window asks for it, and why.
        run_name: Of the training run.
    """

    decision: Decision
    run_name: str


@step("trigger_retraining")
def trigger_retraining(
    decisions: Artifact,
    triggered: Artifact,
    *,
    models: Mapping[str, Any],
    monitoring: Mapping[str, Any],
    state_uri: str,
) -> None:
    """Starts what was asked for and was not started; what cannot be started is told, and tried by the next run."""
    settings, state = settings_of(models, monitoring), State(state_uri)
    fleet = read_document(decisions, Fleet, "decisions", "monitor_models")
    as_of = parse_time(fleet.as_of)
    result: dict[str, list[dict[str, str]]] = {}
    errors: list[HeadwayError] = []
    for watched in fleet.models:
        wanted = settings[watched.model_name].retraining if watched.model_name in settings else None
        _note(state, watched.model_name, watched.judged)
        for asked in _open(state, watched):
            outcome, run = _act(state, asked, wanted, as_of, errors)
            ended = _ended(state, run) if outcome == "started" and wanted and wanted.api is None else ""
            found = {"outcome": outcome, "run": run, "window": asked.decision.start, "ended": ended}
            result.setdefault(watched.model_name, []).append({key: value for key, value in found.items() if value})
            log.info(f"{watched.model_name}: retraining for the window of {asked.decision.start}: {outcome} {run}")
    write_document(triggered, {"schema_version": 1, "kind": "retrainings", "models": result})
    said = "; ".join(_told(name, each) for name, found in result.items() for each in found) or "nothing was asked for"
    describe(triggered, decision=said)
    decided(said, models=result)
    raise_together("retraining.failed", errors)


def _told(name: str, found: Mapping[str, str]) -> str:
    ended = f" and ended: {found['ended']}" if "ended" in found else ""
    return f"{name}: {found['outcome']}{ended}"


def _note(state: State, name: str, judged: tuple[Decision, ...]) -> None:
    """Writes down each incident whose windows ask for retraining, once."""
    for decision in judged:
        if decision.outcome != "retrain" or decision.incident is None:
            continue
        incident = in_a_name(decision.incident.id)
        asked = Asked(decision=decision, run_name=f"headway-retrain-{name}-{incident}".lower())
        state.storage.create(_key(state, name, incident), dump_json(asked.model_dump(mode="json")))


def _open(state: State, watched: Watched) -> Iterator[Asked]:
    """What was asked for and not started, of the incident that goes on; one that is over asks for nothing any more."""
    if watched.since is None:
        return
    key = _key(state, watched.model_name, in_a_name(watched.since))
    if state.storage.stat(key) and not state.storage.stat(_run_key(key)):
        yield Asked.model_validate_json(state.storage.read(key))


def _act(
    state: State, asked: Asked, wanted: Retraining | None, as_of: datetime, errors: list[HeadwayError]
) -> tuple[Outcome, str]:
    decision = asked.decision
    if wanted is None:
        return "not set up", ""
    if decision.act_from and parse_time(decision.act_from) > as_of:
        return "waiting", decision.act_from
    parameters = _filled(wanted.parameters, decision)
    parameters.setdefault("model_name", decision.model_name)
    parameters.setdefault("state_uri", state.uri)
    assert decision.incident
    key = _key(state, decision.model_name, in_a_name(decision.incident.id))
    claim = _claimed(state, key)
    if claim is None:
        return "already", asked.run_name
    try:
        run, begun = _started(asked, wanted, parameters, state)
    except HeadwayError as error:
        state.storage.delete(claim)
        log.error(f"{decision.model_name}: {error}")
        errors.append(error)
        return "failed", error.code
    state.storage.create(_run_key(key), dump_json({"run": run, "run_name": asked.run_name}))
    evidence = {"incident": decision.incident.id, "window": decision.start, "run": run, "pipeline": wanted.pipeline}
    record_event(
        state,
        decision.model_name,
        "retraining_started",
        model_digest=decision.model_digest,
        evidence=evidence,
        once_by=("incident",),
    )
    return ("started" if begun else "already"), run


def _claimed(state: State, key: str) -> str | None:
    """The right to start a run in this hour, which one run of monitoring has; None where another one has it.

    Whoever was killed with it gets it back when it runs again, and the next hour is anybody's.
    """
    claim, whose = key.replace(".json", f"_claim_{now():%Y%m%dT%H}.json"), {"run": run_id() or ""}
    free = state.storage.create(claim, dump_json(whose))
    return claim if free or state.read_json(claim) == whose else None


def _started(asked: Asked, wanted: Retraining, parameters: Mapping[str, Any], state: State) -> tuple[str, bool]:
    """The run, and whether it was begun here and now: a step that was killed after that finds it by its name."""
    if wanted.api is None:
        return _run_here(asked, wanted, parameters, state), True
    api = KfpApi(wanted.api)
    found = api.find_run(asked.run_name)
    return (found, False) if found else (api.start(asked.run_name, wanted.pipeline, parameters), True)


def _run_here(asked: Asked, wanted: Retraining, parameters: Mapping[str, Any], state: State) -> str:
    """Runs the pipeline on this machine, in a process of its own, to its end."""
    folder = local_folder(state.uri)
    if folder is None:
        raise HeadwayError(
            "retraining.nowhere",
            "Without retraining.api the pipeline runs on this machine, and the state is not a folder of it.",
            value=state.uri,
            remedy="Give retraining.api, with the address of Kubeflow Pipelines.",
        )
    home = folder.parent
    params = home / "data" / f"{asked.run_name}.json"
    params.parent.mkdir(parents=True, exist_ok=True)
    params.write_text(json.dumps({"pipeline": wanted.pipeline, "parameters": parameters}))
    command = [sys.executable, "-m", "headway.pipelines.cli", "run", wanted.pipeline, "--params", str(params)]
    # The run is none of this one.
    theirs = {key: value for key, value in os.environ.items() if key not in (RUN_ID_VARIABLE, "_KFP_RUNTIME")}
    done = subprocess.run([*command, "--home", str(home)], env=theirs, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HeadwayError(
            "retraining.run_failed",
            f"The pipeline {wanted.pipeline} failed: {_last_lines(done.stdout + done.stderr)}",
            value=str(params),
            remedy=f"Run it by hand: headway run {wanted.pipeline} --params {params} --home {home}",
        )
    found = re.search(r"/runs/([^/\s]+)/index\.html", done.stdout)
    return found[1] if found else asked.run_name


def _ended(state: State, run: str) -> str:
    """What the steps that decide have said in a run on this machine."""
    keys = (state.run_key(run, f"steps/{name}.json") for name in ("evaluate_model", "deploy_model"))
    records = [state.read_json(key) for key in keys if state.storage.stat(key)]
    return ", ".join(str(record["decision"]) for record in records)


def _filled(value: Any, decision: Decision) -> Any:
    """Parameters in which `{window_start}` and the like stand for what the decision says."""
    known = {
        "{window_start}": decision.start,
        "{window_end}": decision.end,
        "{label_cutoff}": decision.time,
        "{incident}": decision.incident.id if decision.incident else "",
    }
    if isinstance(value, Mapping):
        return {key: _filled(item, decision) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, decision) for item in value]
    if isinstance(value, str):
        for word, meaning in known.items():
            value = value.replace(word, meaning)
    return value


def _key(state: State, name: str, incident: str) -> str:
    return state.history_key(name, f"retrainings/{incident}.json")


def _run_key(key: str) -> str:
    return key.replace(".json", "_run.json")


def _last_lines(output: str) -> str:
    return " / ".join(line.strip() for line in output.strip().splitlines()[-4:])
