"""The step deploy_model: the door, the release, the deployment, and the record of all that."""

from __future__ import annotations

from collections.abc import Mapping

from headway.components._shared import tracking
from headway.components._shared.artifacts import Artifact, ModelManifest
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import release_verdict, verified_manifest
from headway.components._shared.state import State
from headway.components._shared.steps import step
from headway.components._shared.tracking import Registration, registered_name
from headway.components._shared.verdicts import Verdict, read_verdict
from headway.components.deployment.analysis.requests import logged_requests
from headway.components.deployment.bookkeeping import (
    carry_out,
    evidence,
    keep_event,
    last_event,
    need_state,
    show,
    tell,
)
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release, choose_engine
from headway.components.deployment.golden import Golden, keep_golden
from headway.components.deployment.record import Deployment
from headway.components.deployment.rollout.rollout import Rollout


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
    requests: Artifact | None = None,
) -> Deployment:
    """Deploys a registered model; see the component's docstring."""
    settings = parse(Serving, serving or {}, parameter="serving")
    registered = tracking.read_registration(registration.path)
    judged = read_verdict(verdict.path)
    _require_same_model(registered, judged, registered_name(model_name, environment))
    closed = _closed_door(registered, judged)
    if closed is not None:
        result = _refused(registered, closed)
        show(result, report)
    else:
        state = need_state(state_uri)
        result = _deploy(registered, judged, golden, requests, report, settings, engine, tracking_uri, state)
    tell(result, deployment)
    return result


def _deploy(
    registered: Registration,
    judged: Verdict,
    golden: Artifact,
    requests: Artifact | None,
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
    logged = logged_requests(requests, settings.rollout, rows)
    with place.deploying():
        known = place.history().of(release.model_digest)
        if known and known.rolled_back:
            why_not = f"it was rolled back at {known.until}: {known.rolled_back}; rollback_deployment brings it back"
            result = _refused(registered, why_not)
            show(result, report)
            return result
        rollout = Rollout(place, release, rows, keep_golden(state, release, dataset), settings, requests=logged)
        result = carry_out(rollout, why, report, state, done="deployed")
        if rollout.withdrawn:
            keep_event(state, result, "withdrawn")
            return result
        tracking.promote(registered, state, tracking_uri=tracking_uri, evidence=evidence(result))
        # Also when unchanged: an earlier try may have been killed after the traffic had moved.
        last = last_event(state, result.model_name, "deployed", "rolled_back")
        if rollout.deployed or last is None or last["model_digest"] != result.model_digest:
            keep_event(state, result, "deployed")
    return result


def _refused(registered: Registration, reason: str) -> Deployment:
    return Deployment(
        outcome="refused",
        reason=reason,
        model_name=registered.model_name,
        environment=registered.environment,
        model_digest=registered.model_digest,
        version=registered.version,
    )


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


def _release(state: State, registered: Registration, verdict: Verdict) -> tuple[Release, ModelManifest]:
    """The released model, checked file by file against what was registered and against a verdict that blessed it."""
    uri = state.uri_of(state.release_key(registered.model_name, registered.model_digest))
    manifest = verified_manifest(uri, registered.manifest_sha256)
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
