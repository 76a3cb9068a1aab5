"""Compares a candidate with the stable version while both have traffic: same rows, same minutes, sequential tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from headway.components._shared.endpoints.inference import PREDICTION
from headway.components._shared.statistics.sequential import confidence_sequence, log_evidence
from headway.components._shared.times import parse_duration
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.analysis.outcome import BROKEN, CONFIDENCE, Decision, Outcome, combined
from headway.components.deployment.caller import Answer, Caller
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Check

_LOOK_EVERY = 10
_FIFTHS = (0.2, 0.4, 0.6, 0.8)


@dataclass
class Stream:
    """Differences between candidate and stable, one a request to each, and how large their mean may be.

    Attributes:
        name: What is compared.
        bounds: Lowest and highest possible difference.
        limit: Largest allowed mean.
        both_ways: Whether a mean below -limit is as bad.
        values: What was observed.
    """

    name: str
    bounds: tuple[float, float]
    limit: float
    both_ways: bool = False
    values: list[float] = field(default_factory=list)

    def decide(self, false_alarm: float) -> Decision:
        """`failed` once it is proven that the mean is beyond the limit, `passed` once that it is within.

        Args:
            false_alarm: Highest probability of ever failing a candidate whose mean is within the limit.
        """
        if not self.values:
            return "inconclusive"
        values, (low, high) = np.asarray(self.values), self.bounds
        sides = [(values, (low, high)), *([(-values, (-high, -low))] if self.both_ways else [])]
        if any(log_evidence(v, self.limit, b) >= np.log(len(sides) / false_alarm) for v, b in sides):
            return "failed"
        enough = -np.log(1 - CONFIDENCE)
        # The mirror image: evidence that the mean is below the limit.
        if all(log_evidence(-v, -self.limit, (-b[1], -b[0])) >= enough for v, b in sides):
            return "passed"
        return "inconclusive"


def analyse_pairs(
    candidate: Caller,
    stable: Caller,
    golden: Golden,
    analysis: Analysis,
    *,
    false_alarm: float,
    seed: int,
    go_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Asks both for golden rows, picked at random, in pairs and in random order, until there is a decision.

    Differences within a pair are what is tested, so whatever disturbs both, a busy machine or network, disturbs
    neither side of the comparison. The candidate passes when every limit is proven to be kept and fails as soon as
    one is proven to be broken; both may be looked at after every pair.

    Args:
        candidate: Straight at the candidate.
        stable: Straight at the stable version.
        golden: Rows to ask for.
        analysis: Limits and how much may be asked.
        false_alarm: Highest probability of failing a candidate that is within every limit.
        seed: Which rows, and who is asked first.
        go_on: Asked at every look; False ends the analysis without a decision.
    """
    rng = np.random.default_rng(seed)
    pairs = _Pairs(golden, analysis, comparable=stable.infer(golden.part(0, 1).request()).status != 400)
    bodies: dict[int, bytes] = {}
    end = time.monotonic() + parse_duration(analysis.max_duration).total_seconds()
    decision: Decision = "inconclusive"
    for asked in range(1, analysis.max_requests + 1):
        begun = time.monotonic()
        row = int(rng.integers(golden.rows.height))
        body = bodies.setdefault(row, golden.part(row, 1).request())
        if rng.random() < 0.5:
            answers = candidate.infer(body), stable.infer(body)
        else:
            answers = (stable.infer(body), candidate.infer(body))[::-1]
        pairs.add(*answers)
        if asked % _LOOK_EVERY == 0 or asked == analysis.max_requests:
            decision = pairs.decide(false_alarm)
            enough = decision == "failed" or (decision == "passed" and asked >= analysis.min_requests)
            if enough or time.monotonic() > end or not go_on():
                break
        time.sleep(max(0.0, begun + 1 / analysis.requests_per_second - time.monotonic()))
    if decision == "passed" and len(pairs.errors.values) < analysis.min_requests:
        decision = "inconclusive"
    return Outcome(decision, tuple(pairs.checks(false_alarm)))


class _Pairs:
    """What was observed so far: errors, slowness, and which class, or which fifth of the range, was predicted."""

    def __init__(self, golden: Golden, analysis: Analysis, *, comparable: bool) -> None:
        self.analysis = analysis
        self.comparable = comparable
        self.errors = Stream("errors", (-1.0, 1.0) if comparable else (0.0, 1.0), analysis.errors)
        self.streams = [self.errors]
        self._classes: Sequence[object] = ()
        self._shares: list[Stream] = []
        self._edges: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
        self._seconds: list[tuple[float, float]] = []
        if not comparable:
            return
        # As often slower as faster than so many times the stable version: that is what the limit stands for.
        self._slow = Stream("latency", (-0.5, 0.5), 0.0)
        self.streams.append(self._slow)
        if analysis.predictions is not None:
            expected = golden.expected()[PREDICTION]
            if golden.manifest.task == "regression":
                self._edges = np.quantile(np.asarray(expected, dtype=float), _FIFTHS)
                self._classes = range(len(_FIFTHS) + 1)
            else:
                self._classes = golden.manifest.classes
            # Of two classes one share tells both.
            counted = self._classes[:1] if len(self._classes) == 2 else self._classes
            self._shares = [Stream(f"{c}", (-1.0, 1.0), analysis.predictions, both_ways=True) for c in counted]
            self.streams += self._shares

    def add(self, candidate: Answer, stable: Answer) -> None:
        """Takes in the two answers to one request."""
        failed = float(candidate.status != 200)
        self.errors.values.append(failed - (stable.status != 200) if self.comparable else failed)
        if not self.comparable or candidate.status != 200 or stable.status != 200:
            return
        self._seconds.append((candidate.seconds, stable.seconds))
        self._slow.values.append(0.5 if candidate.seconds > self.analysis.latency_ratio * stable.seconds else -0.5)
        ours, theirs = self._class_of(candidate), self._class_of(stable)
        for predicted, stream in zip(self._classes, self._shares, strict=False):
            stream.values.append(float(ours == predicted) - float(theirs == predicted))

    def decide(self, false_alarm: float) -> Decision:
        """The decision over all streams, which share the false alarms among them."""
        return combined({stream.decide(false_alarm / len(self.streams)) for stream in self.streams})

    def checks(self, false_alarm: float) -> Iterator[Check]:
        """The evidence, in words and numbers."""
        share = false_alarm / len(self.streams)
        count = len(self.errors.values)
        against = "above the stable version's" if self.comparable else "(the stable version takes other inputs)"
        yield _check(
            [self.errors], share, f"share of failed requests at most {self.analysis.errors:.3g} {against}", count
        )
        if self.comparable:
            ratio = (
                float(np.median([ours / theirs for ours, theirs in self._seconds])) if self._seconds else float("nan")
            )
            limit = f"typically at most {self.analysis.latency_ratio:g} times as long as the stable version"
            seen = f"{ratio:.2f} times" if self._seconds else None
            yield _check([self._slow], share, limit, count, seen, {"median_ratio": ratio})
        if self._shares:
            what = "class" if self._edges is None else "fifth of the range"
            limit = f"share of each predicted {what} within {self.analysis.predictions:g} of the stable version's"
            yield _check(self._shares, share, limit, count, name="predictions")

    def _class_of(self, answer: Answer) -> object:
        outputs = answer.body.get("outputs") if isinstance(answer.body, dict) else None
        found = next((o["data"][0] for o in outputs or () if o["name"] == PREDICTION), None)
        if self._edges is None or not isinstance(found, int | float):
            return found
        return int(np.searchsorted(self._edges, found))


def _check(
    streams: Sequence[Stream],
    false_alarm: float,
    limit: str,
    requests: int,
    seen: str | None = None,
    measured: dict[str, float] | None = None,
    *,
    name: str | None = None,
) -> Check:
    decisions = [stream.decide(false_alarm) for stream in streams]
    worst = max(streams, key=lambda s: (s.decide(false_alarm) == "failed", abs(np.mean(s.values)) if s.values else 0.0))
    found = confidence_sequence(worst.values, worst.bounds, confidence=2 * CONFIDENCE - 1)
    numbers = {"requests": float(requests), "low": found.low, "high": found.high}
    if worst.values:
        numbers["difference"] = found.value
        seen = seen or f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    passed = all(decision == "passed" for decision in decisions)
    verdict = "" if passed else f"; {BROKEN}" if "failed" in decisions else "; not decided"
    return Check(
        check=name or streams[0].name,
        limit=limit,
        value=f"{seen or 'nothing was answered'} over {requests} requests to each{verdict}",
        passed=passed,
        measured=numbers | {k: v for k, v in (measured or {}).items() if np.isfinite(v)},
    )
