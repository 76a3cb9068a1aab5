"""The step deploy_model: the door, the release, the deployment, and the record of all that."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.components._shared import tracking
from headway.components._shared.artifacts import Artifact, ModelManifest, describe, read_manifest
from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import check_release, fetch_release, release_verdict
from headway.components._shared.state import State
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.storage import local_folder
from headway.components._shared.tracking import Registration, registered_name
from headway.components._shared.verdicts import Verdict, read_verdict
from headway.components.deployment.checks import Golden
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release, choose_engine
from headway.components.deployment.golden import keep_golden
from headway.components.deployment.record import Deployment, Outcome, write_deployment
from headway.components.deployment.report import write_report
from headway.components.deployment.rollout import Rollout


@step("deploy_model")
def deploy(
    registration: Artifact,
    verdict: Artifact,
    golden: Artifact,
    deployment: Artifact,
    report: Artifact,
    *,
    model_name: str,
    engine: str = "auto",
    serving: Mapping[str, object] | None = None,
    environment: str = "dev",
    tracking_uri: str = "auto",
    state_uri: str | None = None,
) -> Deployment:
    """Deploys a registered model; see the component's docstring."""
    settings = parse(Serving, serving or {}, parameter="serving")
    registered = tracking.read_registration(registration.path)
    judged = read_verdict(verdict.path)
    _require_same_model(registered, judged, registered_name(model_name, environment))
    closed = _closed_door(registered, judged)
    if closed is not None:
        result = _about(registered, outcome="refused", reason=closed)
        write_report(result, report.path)
        keep_report(report.path)
    else:
        result = _deploy(registered, judged, golden, report, settings, engine, tracking_uri, _state(state_uri))
    write_deployment(result, deployment.path)
    describe(
        deployment,
        outcome=result.outcome,
        decision=result.reason,
        model_digest=result.model_digest,
        version=result.version,
        endpoint=result.endpoint,
    )
    decided(
        f"{result.outcome}: {result.reason}" + (f"; {result.endpoint}" if result.endpoint else ""),
        outcome=result.outcome,
        reason=result.reason,
        engine=result.engine,
        engine_reason=result.engine_reason,
        endpoint=result.endpoint,
        example_request=result.example_request,
        model_digest=result.model_digest,
        version=result.version,
        previous_digest=result.previous_digest,
        checks=[check.model_dump(mode="json") for check in result.checks],
    )
    return result


def _deploy(
    registered: Registration,
    judged: Verdict,
    golden: Artifact,
    report: Artifact,
    settings: Serving,
    engine: str,
    tracking_uri: str,
    state: State,
) -> Deployment:
    """Behind the open door: everything that touches the endpoint, one deployment at a time."""
    place, why = choose_engine(engine, state.uri, registered.model_name, settings)
    release, manifest = _release(state, registered, judged)
    dataset = _golden(golden, judged)
    rows = Golden(dataset.read(), manifest)
    rollout = Rollout(place, release, rows, keep_golden(state, release, dataset), settings)

    def result(outcome: Outcome, reason: str) -> Deployment:
        return _about(
            registered,
            outcome=outcome,
            reason=reason,
            engine=place.name,
            engine_reason=why,
            endpoint=rollout.entrance.url if rollout.entrance else None,
            headers=dict(rollout.entrance.headers) if rollout.entrance else {},
            previous_digest=place.previous(),
            checks=tuple(rollout.timeline.checks),
            phases=tuple(rollout.timeline.phases),
            example_request=rollout.example_request(),
        )

    with place.deploying():
        try:
            rollout.run()
        except HeadwayError as error:
            failed = result("failed", error.message)
            write_report(failed, report.path)
            keep_report(report.path)
            _record_event(state, failed, "deployment_failed", code=error.code)
            raise
        done = result("deployed" if rollout.deployed else "unchanged", rollout.reason)
        write_report(done, report.path)
        keep_report(report.path)
        tracking.promote(registered, state, tracking_uri=tracking_uri, evidence=_evidence(done))
        # Also when unchanged: an earlier try may have been killed after the traffic had moved.
        if rollout.deployed or _last_deployed(state, done.model_name) != done.model_digest:
            _record_event(state, done, "deployed")
    return done


def _require_same_model(registered: Registration, verdict: Verdict, name: str) -> None:
    if registered.model_digest != verdict.model_digest:
        raise HeadwayError(
            "verdict.other_model",
            f"The verdict is about model {verdict.model_digest[:12]}, "
            f"the registration about {registered.model_digest[:12]}.",
            value=verdict.model_digest,
            remedy="Pass the verdict and the registration of one and the same model.",
        )
    if registered.registered_model != name:
        raise HeadwayError(
            "deployment.other_model",
            f"The registration is of {registered.registered_model}, not of {name}.",
            value=registered.registered_model,
            remedy="Give register_model and deploy_model the same model_name and environment.",
        )


def _closed_door(registered: Registration, verdict: Verdict) -> str | None:
    """Why nothing may be deployed; None if the door is open."""
    if not verdict.blessed:
        return f"the verdict is negative: {verdict.reason}"
    if registered.outcome == "refused":
        return f"the registration was refused: {registered.reason}"
    return None


def _state(state_uri: str | None) -> State:
    if not state_uri:
        raise HeadwayError(
            "deployment.state_missing",
            "There is no state folder, and models are served from its releases only.",
            remedy="Give deploy_model the state_uri that register_model had.",
        )
    return State(state_uri)


def _release(state: State, registered: Registration, verdict: Verdict) -> tuple[Release, ModelManifest]:
    """The released model, checked file by file against what was registered and against a verdict that blessed it."""
    uri = state.uri_of(state.release_key(registered.model_name, registered.model_digest))
    manifest = _checked(uri, registered.manifest_sha256)
    # Training again may give the same model in other bytes: the release then has the verdict of the first time.
    first = release_verdict(uri)
    if not first.blessed or registered.manifest_sha256 not in (verdict.manifest_sha256, first.manifest_sha256):
        raise HeadwayError(
            "verdict.other_model",
            "No positive verdict is about the files of this release.",
            value=registered.manifest_sha256,
            remedy="Evaluate and register the model again.",
        )
    release = Release(
        model_name=registered.model_name,
        environment=registered.environment,
        version=registered.version,
        model_digest=registered.model_digest,
        manifest_sha256=registered.manifest_sha256,
        threshold=verdict.threshold,
        uri=uri,
    )
    return release, manifest


def _checked(uri: str, manifest_sha256: str) -> ModelManifest:
    """The manifest of a release whose files are as it says; one in a bucket is copied for that and the copy removed."""
    if local_folder(uri) is not None:
        return read_manifest(check_release(uri, manifest_sha256=manifest_sha256))
    with tempfile.TemporaryDirectory(prefix="headway-release-") as scratch:
        return fetch_release(uri, Path(scratch) / "model", manifest_sha256=manifest_sha256)


def _golden(golden: Artifact, verdict: Verdict) -> Dataset:
    dataset = open_dataset(golden.path)
    if dataset.fingerprint != verdict.golden_fingerprint:
        raise HeadwayError(
            "deployment.other_golden",
            "The golden rows are not those that the verdict is bound to.",
            value=dataset.fingerprint,
            remedy="Pass verdict and golden of one and the same evaluate_model.",
        )
    return dataset


def _about(registered: Registration, **fields: Any) -> Deployment:
    return Deployment(
        model_name=registered.model_name,
        environment=registered.environment,
        model_digest=registered.model_digest,
        version=registered.version,
        **fields,
    )


def _last_deployed(state: State, model_name: str) -> object:
    """Digest that the audit trail says was deployed last."""
    events = [event for event in verify_events(state, model_name) if event["action"] == "deployed"]
    return events[-1]["model_digest"] if events else None


def _record_event(state: State, deployment: Deployment, action: str, **more: object) -> None:
    evidence = {**_evidence(deployment), "reason": deployment.reason, **more}
    record_event(state, deployment.model_name, action, model_digest=deployment.model_digest, evidence=evidence)


def _evidence(deployment: Deployment) -> dict[str, object]:
    return {
        "endpoint": deployment.endpoint,
        "engine": deployment.engine,
        "environment": deployment.environment,
        "checks": [check.model_dump(mode="json") for check in deployment.checks],
    }
