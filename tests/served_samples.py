"""Models that are in service without an endpoint: released, registered and champion, with a promise of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headway.components._shared import tracking
from headway.components._shared.artifacts import manifest_digest, read_manifest
from headway.components._shared.releases import write_release
from headway.components._shared.state import State
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components._shared.verdicts import GateOutcome, Verdict, write_verdict
from headway.components.registration.versions import register_version


def serve(state: State, name: str, model: Path, promised: Mapping[str, Mapping[str, float]], scratch: Path) -> str:
    """Makes a model the champion, as register_model and deploy_model do; gives the address of its release.

    Args:
        state: The state folder.
        name: The endpoint.
        model: The model folder.
        promised: Metric to value, low and high; each has a gate.
        scratch: For the verdict.
    """
    manifest = read_manifest(model)
    verdict = Verdict(
        model_digest=manifest.model_digest,
        manifest_sha256=manifest_digest(model),
        data_fingerprint="e" * 64,
        golden_fingerprint="g" * 64,
        task=manifest.task,
        metrics={metric: dict(span) for metric, span in promised.items()},
        gates=tuple(GateOutcome(gate=metric, metric=metric, passed=True, reason="") for metric in promised),
        blessed=True,
        reason="all gates passed",
        time="2026-03-01T00:00:00Z",
    )
    write_verdict(verdict, scratch / "verdict.json")
    uri, release = write_release(state, name, model, scratch / "verdict.json")
    planned = tracking.Registration(
        outcome="registered",
        reason="all gates passed",
        model_name=name,
        environment="dev",
        registered_model=f"dev.{name}",
        model_digest=manifest.model_digest,
        manifest_sha256=release.manifest_sha256,
        release_uri=uri,
        tracking_uri="auto",
    )
    client = Client(tracking_address("auto", state.uri))
    tracking.promote(register_version(client, state, planned, description="", tags={}, run=None), state)
    return uri
