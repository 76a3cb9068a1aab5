"""The structured parameters of the room; first of all how an endpoint is watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from headway.components._shared.config import Config, Duration, overlaid, parse, readable
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import checked_model_name
from headway.components._shared.times import parse_duration, parse_time
from headway.components.monitoring.config.limits import (
    Classifier,
    ColumnDrift,
    Drift,
    Limits,
    Performance,
    Service,
    ServiceMetrics,
)
from headway.components.monitoring.config.policy import RULES, Budget, BusinessHours, Policy, Rule, SignalName
from headway.components.monitoring.config.retraining import PipelinesApi, Retraining
from headway.components.monitoring.config.versions import Outcome, Versions

__all__ = [
    "Budget",
    "BusinessHours",
    "Classifier",
    "ColumnDrift",
    "Drift",
    "Labels",
    "Limits",
    "Monitoring",
    "Outcome",
    "Performance",
    "PipelinesApi",
    "Policy",
    "RULES",
    "Retraining",
    "Rule",
    "Service",
    "ServiceMetrics",
    "SignalName",
    "Versions",
    "Windows",
    "settings_of",
]


class Labels(Config):
    """Where a model's labels come from, and when.

    Attributes:
        uris: Parquet or CSV files, with `*`; local, `gs://` or `s3://`. They hold the column that has the role `id` in
            the model's schema, the target, and the one with the role `label_time`, if there is one.
        columns: Name in the model's schema to the name that it has in these files, where that differs.
        after: How long after its end a window is judged, once for each: labels that came later give a new judgement.
    """

    uris: tuple[str, ...] = Field(min_length=1)
    columns: dict[str, str] = {}
    after: tuple[Duration, ...] = Field(default=("0s",), min_length=1)


class Windows(Config):
    """Which spans of an endpoint's life are judged.

    Attributes:
        every: Length of a window; without `since` days begin at midnight UTC and weeks on Monday.
        grace: How long after its end a window counts as closed: servers write their log with a delay.
        since: Start of the first window; by default that in which the model was deployed.
        at_most: Most windows that one run judges; what is left is for the next one.
    """

    every: Duration = "1d"
    grace: Duration = "10m"
    since: str | None = None
    at_most: int = Field(default=100, ge=1)

    @field_validator("every")
    @classmethod
    def _long_enough(cls, every: str) -> str:
        if parse_duration(every).total_seconds() < 60:
            raise ValueError("a window is a minute long at least")
        return every

    @field_validator("since")
    @classmethod
    def _a_time(cls, since: str | None) -> str | None:
        return readable(parse_time, since)


class Monitoring(Config):
    """How an endpoint is watched.

    Attributes:
        windows: What is judged.
        labels: What really happened; None where that is never known.
        log_uri: The inference log, also `kserve+` and an address; by default `logs/NAME` below the state folder.
        drift: When a window counts as drifted; None leaves that out.
        performance: When the model counts as worse than promised; None leaves that out.
        service: When the endpoint counts as too slow or failing; None leaves that out.
        policy: What follows from what.
        retraining: What is run where it was decided; None leaves that to people.
    """

    windows: Windows = Windows()
    labels: Labels | None = None
    log_uri: str | None = None
    drift: Drift | None = Drift()
    performance: Performance | None = Performance()
    service: Service | None = Service()
    policy: Policy = Policy()
    retraining: Retraining | None = None


def settings_of(models: Mapping[str, Any], monitoring: Mapping[str, Any]) -> dict[str, Monitoring]:
    """The settings of each model: what it says itself, laid over what holds for all.

    Raises:
        HeadwayError: `config.invalid`, `model.name_invalid`, `monitoring.no_model`.
    """
    parse(Monitoring, monitoring, parameter="monitoring")
    if not models:
        raise HeadwayError(
            "monitoring.no_model",
            "No model is named, so there is nothing to watch.",
            remedy='Give `models`, such as {"flights": {}}.',
        )
    merged = {checked_model_name(name): overlaid(monitoring, given or {}) for name, given in models.items()}
    return {name: parse(Monitoring, given, parameter=f"models.{name}") for name, given in merged.items()}
