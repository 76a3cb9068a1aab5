"""What a deployment leaves behind: its record, with every check and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headway.components._shared.config import Config
from headway.components._shared.state import dump_json

Outcome = Literal["deployed", "rolled_back", "unchanged", "withdrawn", "refused", "failed"]


class Look(Config):
    """A look at the evidence of an analysis on its way.

    Attributes:
        requests: To the candidate, until then.
        value: The difference, candidate less stable version.
        low: Lower end of its interval.
        high: Upper end.
    """

    requests: float
    value: float
    low: float
    high: float


class Check(Config):
    """One thing that a candidate must show.

    Attributes:
        check: What was checked.
        limit: What is allowed, in words.
        value: What was seen, in words.
        passed: Whether it is allowed.
        measured: Numbers behind it, by name with their unit.
        looks: Of an analysis, how the interval of the difference shrank.
    """

    check: str
    limit: str
    value: str
    passed: bool
    measured: dict[str, float] = {}
    looks: tuple[Look, ...] = ()


class Phase(Config):
    """One step of a deployment.

    Attributes:
        phase: What was done.
        start_s: When it began, in seconds since the deployment began.
        end_s: When it ended.
        passed: Whether it went well.
        detail: What came of it.
        weight: Share of the traffic in percent that the candidate had at its end; None before there was one.
    """

    phase: str
    start_s: float
    end_s: float
    passed: bool
    detail: str
    weight: int | None = None


class Deployment(Config):
    """The content of the artifact `deployment` (one JSON file).

    Attributes:
        outcome: `deployed`, `rolled_back` (a release that had the traffic before has it again), `unchanged` (this
            digest had the traffic already), `withdrawn` (it passed, and was only to be looked at), `refused` (the door
            is closed), or `failed` (stable kept the traffic; only in the report and the audit trail of a failed step).
        reason: Why, in one sentence.
        model_name: The endpoint.
        environment: dev, staging or prod.
        engine: Where it runs; None when refused.
        engine_reason: Why there.
        endpoint: Address that answers predictions; None when refused.
        headers: What every request to it must carry, such as `Host` for a gateway.
        model_digest: What it is about.
        version: Version in the registry.
        previous_digest: The release that had the traffic before, to roll back to.
        checks: What the candidate showed.
        phases: What was done, in order.
        example_request: A shell command that asks the endpoint about one golden row.
    """

    schema_version: Literal[1] = 1
    outcome: Outcome
    reason: str
    model_name: str
    environment: str
    engine: str | None = None
    engine_reason: str | None = None
    endpoint: str | None = None
    headers: dict[str, str] = {}
    model_digest: str
    version: str | None = None
    previous_digest: str | None = None
    checks: tuple[Check, ...] = ()
    phases: tuple[Phase, ...] = ()
    example_request: str | None = None


def write_deployment(deployment: Deployment, path: str | Path) -> None:
    """Writes the record."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_json(deployment.model_dump(mode="json")))
