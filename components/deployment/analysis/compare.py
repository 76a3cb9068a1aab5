"""One analysis of a rollout, by whichever way it asks for."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.analysis.outcome import Outcome
from headway.components.deployment.analysis.pairs import analyse_pairs
from headway.components.deployment.analysis.traffic import analyse_traffic
from headway.components.deployment.caller import Caller
from headway.components.deployment.engines import Deployed
from headway.components.deployment.golden import Golden


def compare(
    candidate: Deployed,
    stable: Deployed,
    analysis: Analysis,
    *,
    model_name: str,
    golden: Golden,
    requests: pl.DataFrame | None,
    false_alarm: float,
    weight: int,
    seed: int,
    go_on: Callable[[], bool],
) -> Outcome:
    """Compares a candidate with the stable version, by the traffic of callers or by rows that both are asked for."""
    versions = (candidate, stable)
    if analysis.prometheus:
        names = [{**v.labels, "model_digest": v.model_digest, "model_name": model_name} for v in versions]
        part = min(max(weight, 1), 99) / 100
        return analyse_traffic(names[0], names[1], analysis, false_alarm=false_alarm, weight=part, go_on=go_on)
    callers = [Caller(version.address, model_name) for version in versions]
    return analyse_pairs(
        callers[0],
        callers[1],
        golden,
        analysis,
        requests=requests,
        false_alarm=false_alarm,
        seed=seed,
        go_on=go_on,
    )
