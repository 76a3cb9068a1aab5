"""How often monitoring raises an alarm where nothing has changed, and how often it sees what has; fixed seeds.

Of single tests this is known elsewhere (drift, performance, sequential tests); here are the rules, over windows.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from headway.components._shared.decisions import severity
from headway.components._shared.inference_logs import TIME
from headway.components._shared.state import State
from headway.components._shared.statistics.metrics import Outcomes, metrics_of
from headway.components._shared.times import format_time
from headway.components.monitoring.config import Policy, Service
from headway.components.monitoring.decision.history import History
from headway.components.monitoring.decision.rules import conclude
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.performance.measures import measured
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.service.measure import level
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.result import WindowResult

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
DIGEST = "a" * 64
KNOWN = {name: metrics_of("binary")[name] for name in ("roc_auc", "log_loss", "bias")}
# What such a model really has, as 20,000 rows of an evaluation would tell.
PROMISED = {"roc_auc": {"value": 0.7417, "low": 0.734, "high": 0.749}}
SETTINGS = Service()


def performance(rng: np.random.Generator, rows: int, shift: float = 0.0) -> PerformanceResult:
    """A window of a calibrated model; with a shift, what happens is so much rarer than it says."""
    score = rng.normal(-1, 1, rows)
    probability = 1 / (1 + np.exp(-score))
    happened = (rng.random(rows) < np.clip(probability - shift, 0, 1)).astype(float)
    said = np.column_stack([1 - probability, probability])
    outcomes = Outcomes("binary", happened, (probability > 0.5).astype(float), 2, said)
    found = measured(KNOWN, outcomes, None, PROMISED, {"roc_auc": 0.037}, confidence=0.95)
    return PerformanceResult(
        model_digest=DIGEST,
        fingerprint="f",
        start=format_time(BEGIN),
        end=format_time(BEGIN),
        rows=rows,
        labelled=rows,
        enough=True,
        primary="roc_auc",
        metrics=found,
    )


def service(rng: np.random.Generator, failing: float, requests: int = 3000, clumped: bool = False) -> ServiceResult:
    """A day whose requests fail with a probability, each by itself or, clumped, some minutes more than others."""
    minute = np.sort(rng.integers(0, 24 * 60, requests))
    risk = (
        rng.beta(failing * 2, (1 - failing) * 2, 24 * 60 // 5)[minute // 5] if clumped else np.full(requests, failing)
    )
    times = pl.Series(TIME, [BEGIN + timedelta(minutes=int(m)) for m in minute])
    failed = pl.Series(rng.random(requests) < risk)
    errors = level(pl.DataFrame({TIME: times}), failed, SETTINGS.errors, SETTINGS)
    known = {"model_digest": DIGEST, "start": format_time(BEGIN), "end": format_time(BEGIN)}
    return ServiceResult(**known, requests=requests, errors=errors, enough=True)


def course(state: State, windows: int, performed, served=None) -> Counter[str]:
    """Judges windows one after the other; gives how many times each rule decided for an alert or more."""
    history, fired = History(state, "model"), Counter()
    for number in range(windows):
        start = BEGIN + timedelta(days=number)
        times = {"start": format_time(start), "end": format_time(start + timedelta(days=1))}
        window = WindowResult(model_name="model", model_digest=DIGEST, rows=1, requests=1, fingerprint="", **times)
        signals = signals_of(window, None, performed(number), Policy(), served(number) if served else None)
        found = history.keep(conclude(window, signals, history.past(times["start"], times["end"]), Policy()))
        if severity(found.outcome) >= severity("alert"):
            fired[str(found.rule)] += 1
    return fired


def most(rate: float, windows: int) -> int:
    """So many come up at most where the rate is kept, in 99 of 100 cases."""
    return int(binom.ppf(0.99, windows, rate))


@pytest.mark.parametrize("rows", [300, 3000])
def test_where_nothing_has_changed_alarms_are_as_rare_as_their_rules_say(tmp_path, rows):
    """Each of three signals errs with 2.5 % at most in a window, so 1,000 windows have 75 alarms at most; two of three
    windows with the same one come by chance 2 times in 1,000."""
    rng = np.random.default_rng(0)
    fired = course(State(str(tmp_path)), 400, lambda _: performance(rng, rows), lambda _: service(rng, 0.005))
    retrained = sum(count for rule, count in fired.items() if rule.endswith("twice"))
    assert fired.total() <= most(0.075, 400), fired
    assert retrained <= most(0.002, 400), fired
    if rows == 3000:
        assert fired.total() <= 0.01 * 400, "what does not matter is no alarm, however many rows there are"


@pytest.mark.parametrize(
    ("shift", "rows", "power"), [(0.08, 300, 0.6), (0.12, 300, 0.95), (0.08, 3000, 0.95), (0.04, 3000, 0.0)]
)
def test_power_against_what_has_become_rarer(shift, rows, power):
    rng, policy = np.random.default_rng(1), Policy()
    window = WindowResult(model_name="model", model_digest=DIGEST, start="", end="", rows=1, requests=1, fingerprint="")
    seen = [signals_of(window, None, performance(rng, rows, shift), policy)["too_high"].fired for _ in range(200)]
    assert np.mean(seen) >= power
    if power == 0:
        assert np.mean(seen) < 0.2, "less than the limit does not matter"


@pytest.mark.parametrize("clumped", [False, True])
def test_errors_at_the_limit_are_an_alarm_as_rarely_as_the_confidence_says(clumped):
    rng = np.random.default_rng(2)
    alarms = [service(rng, SETTINGS.errors, clumped=clumped).errors.exceeded for _ in range(300)]
    assert sum(alarms) <= most(0.005, 300), "an interval of 99 % has 0.5 % on this side"


def test_twice_the_errors_that_are_allowed_are_seen():
    rng = np.random.default_rng(3)
    assert np.mean([service(rng, 0.02).errors.exceeded for _ in range(100)]) > 0.9
