"""Compares a candidate with the stable version by the same rows, in the same minutes, with sequential tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.times import parse_duration
from headway.components.deployment.analysis.answers import Answers
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.analysis.outcome import Decision, Outcome
from headway.components.deployment.caller import Caller
from headway.components.deployment.golden import Golden

_LOOK_EVERY = 10


def analyse_pairs(
    candidate: Caller,
    stable: Caller,
    golden: Golden,
    analysis: Analysis,
    *,
    requests: pl.DataFrame | None = None,
    false_alarm: float,
    seed: int,
    go_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Asks both for rows, picked at random, in pairs and in random order, until there is a decision.

    Differences within a pair are what is tested, so whatever disturbs both, a busy machine or network, disturbs
    neither side of the comparison. The candidate passes when every limit is proven to be kept and fails as soon as
    one is proven to be broken; both may be looked at after every pair.

    Args:
        candidate: Straight at the candidate.
        stable: Straight at the stable version.
        golden: Rows to ask for, and what is predicted for them.
        analysis: Limits and how much may be asked.
        requests: Logged requests to ask for instead; how alike the answers are is then told in any case.
        false_alarm: Highest probability of failing a candidate that is within every limit.
        seed: Which rows, and who is asked first.
        go_on: Asked at every look; False ends the analysis without a decision.
    """
    rng = np.random.default_rng(seed)
    bodies = _Bodies(golden.rows if requests is None else requests, golden)
    comparable = stable.infer(bodies.of(0)).status != 400
    answers = Answers(golden, analysis, comparable=comparable, tell_all=requests is not None)
    end = time.monotonic() + parse_duration(analysis.max_duration).total_seconds()
    decision: Decision = "inconclusive"
    for asked in range(1, analysis.max_requests + 1):
        begun = time.monotonic()
        body = bodies.of(int(rng.integers(bodies.rows.height)))
        if rng.random() < 0.5:
            ours, theirs = candidate.infer(body), stable.infer(body)
        else:
            theirs, ours = stable.infer(body), candidate.infer(body)
        answers.add(ours, theirs)
        if asked % _LOOK_EVERY == 0 or asked == analysis.max_requests:
            decision = answers.decide(false_alarm)
            enough = decision == "failed" or (decision == "passed" and asked >= analysis.min_requests)
            if enough or time.monotonic() > end or not go_on():
                break
        time.sleep(max(0.0, begun + 1 / analysis.requests_per_second - time.monotonic()))
    if decision == "passed" and len(answers.errors.values) < analysis.min_requests:
        decision = "inconclusive"
    return Outcome(decision, tuple(answers.checks(false_alarm)))


class _Bodies:
    """Requests of one row, each made once."""

    def __init__(self, rows: pl.DataFrame, golden: Golden) -> None:
        self.rows = rows
        self._features = golden.manifest.features
        self._made: dict[int, bytes] = {}

    def of(self, row: int) -> bytes:
        """The request for a row."""
        if row not in self._made:
            self._made[row] = json.dumps(request_of(self.rows[row : row + 1], self._features)).encode()
        return self._made[row]
