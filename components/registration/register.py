"""The step register_model: the door, the release, the version in the registry, and the record of all that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import Artifact, describe, manifest_digest, read_manifest
from headway.components._shared.audit import record_event
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import write_release
from headway.components._shared.state import State, run_id
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.tracking import Registration, registered_name, write_registration
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.tracking.experiments import begin_run, end_run, forward_steps, log_run
from headway.components._shared.tracking.faults import without_credentials
from headway.components._shared.verdicts import read_verdict, require_verdict
from headway.components.registration.card import Card, description
from headway.components.registration.card_page import write_card
from headway.components.registration.config import IntendedUse
from headway.components.registration.versions import register_version


@step("register_model")
def register(
    model: Artifact,
    verdict: Artifact,
    registration: Artifact,
    card: Artifact,
    *,
    model_name: str,
    environment: str = "dev",
    tracking_uri: str = "auto",
    intended_use: Mapping[str, Any] | None = None,
    state_uri: str | None = None,
) -> Registration:
    """Releases and registers a blessed model; see the component's docstring."""
    name = registered_name(model_name, environment)
    use = parse(IntendedUse, intended_use or {}, parameter="intended_use")
    state = _state(state_uri)
    judged = require_verdict(verdict.path, model.path)
    manifest = read_manifest(model.path)
    client = Client(tracking_address(tracking_uri, state_uri))
    planned = Registration(
        outcome="refused",
        reason=judged.reason,
        model_name=model_name,
        environment=environment,
        registered_model=name,
        model_digest=judged.model_digest,
        manifest_sha256=manifest_digest(model.path),
        tracking_uri=without_credentials(client.address),
    )
    run = run_id() or f"model-{judged.model_digest[:16]}"
    mlflow_run = begin_run(client, state, name, run)
    facts = Card(planned, manifest, judged, use, Path(model.path))
    if judged.blessed:
        result = _register(client, state, facts, verdict.path, mlflow_run)
    else:
        result = planned
        evidence = {"registered_model": name, "reason": judged.reason}
        record_event(
            state,
            model_name,
            "refused",
            model_digest=judged.model_digest,
            evidence=evidence,
            once_by=("run_id", "registered_model", "reason"),
        )
    facts = replace(facts, registration=result)
    write_card(facts, card.path)
    keep_report(card.path)
    write_registration(result, registration.path)
    _log(client, mlflow_run, facts, card=card.path, verdict=verdict.path)
    forward_steps(client, state, mlflow_run, run)
    end_run(client, mlflow_run)
    describe(
        registration,
        outcome=result.outcome,
        version=result.version,
        model_digest=result.model_digest,
        release_uri=result.release_uri,
        decision=result.reason,
    )
    decided(
        f"refused: {result.reason}"
        if result.version is None
        else f"{result.outcome}: {name} version {result.version}, {result.model_digest[:12]}",
        outcome=result.outcome,
        version=result.version,
        model_digest=result.model_digest,
        reason=result.reason,
    )
    return result


def is_blessed(verdict: Artifact) -> bool:
    """What check_verdict returns."""
    return read_verdict(verdict.path).blessed


def _state(state_uri: str | None) -> State:
    if state_uri is None:
        raise HeadwayError(
            "state.not_configured",
            "A model cannot be released without a place for releases.",
            remedy="Set the parameter state_uri to a folder or a gs:// or s3:// prefix.",
        )
    return State(state_uri)


def _register(client: Client, state: State, facts: Card, verdict_path: str, mlflow_run: str) -> Registration:
    """Releases the model, then registers what lies in the release: an earlier run's copy, if it was there first."""
    planned = facts.registration
    release_uri, release = write_release(state, planned.model_name, facts.folder, verdict_path)
    return register_version(
        client,
        state,
        planned.model_copy(update={"release_uri": release_uri, "manifest_sha256": release.manifest_sha256}),
        description=description(facts),
        tags={
            "data_fingerprint": facts.manifest.data_fingerprint,
            "evaluated_on": facts.verdict.data_fingerprint,
            "code_digest": facts.manifest.code_digest,
            "estimator": facts.manifest.estimator,
            **({"trained_in_run": facts.manifest.run_id} if facts.manifest.run_id else {}),
        },
        run=mlflow_run,
    )


def _log(client: Client, mlflow_run: str, facts: Card, *, card: str, verdict: str) -> None:
    """What MLflow shows about the run: parameters, metrics with both ends of their intervals, card and verdict."""
    manifest, judged, registration = facts.manifest, facts.verdict, facts.registration
    measured = {
        name if end == "value" else f"{name}_{end}": value
        for name, values in judged.metrics.items()
        for end, value in values.items()
    }
    log_run(
        client,
        mlflow_run,
        params={
            "estimator": manifest.estimator,
            "seed": manifest.seed,
            "task": manifest.task,
            "target": manifest.target,
            "features": len(manifest.features),
            **({} if judged.threshold is None else {"threshold": judged.threshold}),
            **{f"params.{name}": value for name, value in manifest.params.items()},
        },
        metrics={**{f"training.{name}": value for name, value in manifest.metrics.items()}, **measured},
        tags={
            "mlflow.note.content": description(facts),
            "model_digest": manifest.model_digest,
            "data_fingerprint": manifest.data_fingerprint,
            "evaluated_on": judged.data_fingerprint,
            "code_digest": manifest.code_digest,
            "blessed": str(judged.blessed).lower(),
            "reason": judged.reason,
            "outcome": registration.outcome,
            "version": registration.version or "",
        },
        texts={
            "model_card.html": Path(card).read_text(encoding="utf-8"),
            "verdict.json": Path(verdict).read_text(encoding="utf-8"),
        },
    )
