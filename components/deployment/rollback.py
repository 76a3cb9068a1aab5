"""The step rollback_deployment: a release that had the traffic before gets it again, checked as any candidate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.components._shared import tracking
from headway.components._shared.artifacts import Artifact
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import verified_manifest
from headway.components._shared.state import run_id
from headway.components._shared.steps import step
from headway.components.deployment.bookkeeping import (
    carry_out,
    evidence,
    keep_event,
    last_event,
    need_state,
    tell,
)
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release, choose_engine
from headway.components.deployment.golden import Golden, kept_golden
from headway.components.deployment.memory import History, Served
from headway.components.deployment.record import Deployment
from headway.components.deployment.rollout.rollout import Rollout


@step("rollback_deployment")
def rollback(
    deployment: Artifact,
    report: Artifact,
    *,
    model_name: str,
    reason: str,
    to_digest: str | None = None,
    engine: str = "auto",
    serving: Mapping[str, object] | None = None,
    tracking_uri: str = "auto",
    state_uri: str | None = None,
) -> Deployment:
    """Rolls back; see the component's docstring."""
    state, given = need_state(state_uri), dict(serving or {})
    found, _ = choose_engine(engine, state.uri, model_name, parse(Serving, given, parameter="serving"))
    history = found.history()
    target = _target(history, to_digest, model_name)
    release = Release(**target.release)  # type: ignore[arg-type]
    manifest = verified_manifest(release.uri, release.manifest_sha256)
    rows = Golden(kept_golden(target.golden_uri).read(), manifest)
    settings = parse(Serving, as_then(target.serving, given), parameter="serving")
    place, why = choose_engine(engine, state.uri, model_name, settings)
    with place.deploying():
        if place.history() != history:
            raise _meanwhile(model_name)
        rollout = Rollout(place, release, rows, target.golden_uri, settings, why=reason)
        result = carry_out(rollout, why, report, state, done="rolled_back")
        registered = tracking.registered_version(
            model_name, release.environment, release.version, state, tracking_uri=tracking_uri
        )
        if registered is not None:
            tracking.promote(registered, state, tracking_uri=tracking_uri, evidence=evidence(result))
        last = last_event(state, model_name, "deployed", "rolled_back")
        if rollout.deployed or last is None or last["model_digest"] != result.model_digest:
            keep_event(state, result, "rolled_back", why=reason)
    tell(result, deployment)
    return result


def as_then(then: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a release had, without its rollout, and what was given in their place, in `kserve` by field."""
    settings = {**then, "rollout": {}, **given}
    if then.get("kserve") and given.get("kserve"):
        settings["kserve"] = {**then["kserve"], **given["kserve"]}
    return settings


def _target(history: History, wanted: str | None, model_name: str) -> Served:
    """What is to serve: what was asked for, else the newest release before this one that nobody rolled back.

    A step that is run again after it had moved the traffic goes on with what it has chosen then.
    """
    serving = history.served[0] if history.served else None
    if serving and not serving.until and serving.run and serving.run == run_id() and wanted is None:
        return serving
    if wanted is None:
        sound = [served for served in history.before if not served.rolled_back]
        if sound:
            return sound[0]
        raise HeadwayError(
            "rollback.nothing_before",
            f"No release had the traffic of {model_name} before this one, or all of them were rolled back themselves.",
            value=model_name,
            remedy="Deploy a model that is sound, or give to_digest to take one that was rolled back.",
        )
    matching = [served for served in history.served if served.model_digest.startswith(wanted)]
    if len(matching) != 1:
        known = ", ".join(served.model_digest[:12] for served in history.served) or "none"
        raise HeadwayError(
            "rollback.unknown",
            f"{'No' if not matching else 'More than one'} release that {model_name} remembers begins with this digest.",
            value=wanted,
            remedy=f"Give one of: {known}.",
        )
    return matching[0]


def _meanwhile(model_name: str) -> HeadwayError:
    return HeadwayError(
        "rollback.overtaken",
        f"Another deployment changed {model_name} while this rollback was waiting for it.",
        value=model_name,
        remedy="Look at deployment_status, and roll back again if that is still wanted.",
    )
