"""What both versions answered to the same requests, and how alike that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from headway.components._shared.endpoints.inference import PREDICTION, PROBABILITY
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.analysis.outcome import BROKEN, UNDECIDED, Decision, combined
from headway.components.deployment.analysis.stream import Stream
from headway.components.deployment.caller import Answer
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Check

_FEWEST = 10
_FIFTHS = (0.2, 0.4, 0.6, 0.8)


class Answers:
    """What was observed so far: errors, slowness, and what was predicted.

    Args:
        golden: Rows whose predictions are known: their fifths stand for the classes of a regression.
        analysis: Limits.
        comparable: Whether the stable version takes the same inputs; else errors are all there is.
        tell_all: Whether how alike single answers are is told without a limit too.
    """

    def __init__(self, golden: Golden, analysis: Analysis, *, comparable: bool, tell_all: bool = False) -> None:
        self.analysis = analysis
        self.comparable = comparable
        self.errors = Stream("errors", (-1.0, 1.0) if comparable else (0.0, 1.0), analysis.errors)
        # As often slower as faster than so many times the stable version: that is what the limit stands for.
        self._slow = Stream("latency", (0.0, 1.0), 0.5)
        self._classes: Sequence[object] = ()
        self._shares: list[Stream] = []
        self._alike: dict[str, Stream] = {}
        self._edges: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
        self._width = 1.0
        self._seconds: list[tuple[float, float]] = []
        self._failed, self._failed_of_stable = 0, 0
        if comparable:
            self._compare(golden, tell_all)
        self.streams = [self.errors, *([self._slow] if comparable else []), *self._shares, *self._alike.values()]
        self._tested = sum(stream.limit is not None for stream in self.streams)

    def add(self, candidate: Answer, stable: Answer) -> None:
        """Takes in the two answers to one request."""
        failed = float(candidate.status != 200)
        self._failed += candidate.status != 200
        self._failed_of_stable += stable.status != 200
        self.errors.values.append(failed - (stable.status != 200) if self.comparable else failed)
        if not self.comparable or candidate.status != 200 or stable.status != 200:
            return
        self._seconds.append((candidate.seconds, stable.seconds))
        self._slow.values.append(float(candidate.seconds > self.analysis.latency_ratio * stable.seconds))
        ours, theirs = _outputs(candidate), _outputs(stable)
        class_of_ours, class_of_theirs = self._class_of(ours), self._class_of(theirs)
        for predicted, stream in zip(self._classes, self._shares, strict=False):
            stream.values.append(float(class_of_ours == predicted) - float(class_of_theirs == predicted))
        if "disagreement" in self._alike:
            self._alike["disagreement"].values.append(float(ours.get(PREDICTION) != theirs.get(PREDICTION)))
        if "distance" in self._alike:
            self._alike["distance"].values.append(self._distance(ours, theirs))

    def decide(self, false_alarm: float) -> Decision:
        """The decision over all streams, which share the false alarms among them."""
        for stream in self.streams:
            stream.look()
        streams = [self.errors] if self._nothing_to_compare_with else self.streams
        return combined({stream.decide(false_alarm / self._tested) for stream in streams})

    @property
    def _nothing_to_compare_with(self) -> bool:
        """Whether the stable version fails most requests, and the candidate hardly any: no more is asked of a cure."""
        asked = len(self.errors.values)
        return self._failed_of_stable > max(_FEWEST, asked / 2) and self._failed <= self.analysis.errors * asked

    def checks(self, false_alarm: float) -> Iterator[Check]:
        """The evidence, in words and numbers."""
        share, count = false_alarm / self._tested, len(self.errors.values)
        against = "above the stable version's" if self.comparable else "(the stable version takes other inputs)"
        yield _check(
            [self.errors], share, f"share of failed requests at most {self.analysis.errors:.3g} {against}", count
        )
        if self._nothing_to_compare_with:
            return
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
        for name, stream in self._alike.items():
            limit = (
                f"{_ALIKE[name]} at most {stream.limit:g}" if stream.limit is not None else f"{_ALIKE[name]}: no limit"
            )
            yield _check([stream], share, limit, count)

    def _compare(self, golden: Golden, tell_all: bool) -> None:
        """Streams of what is predicted."""
        expected, regression = golden.expected()[PREDICTION], golden.manifest.task == "regression"
        if regression:
            numbers = np.asarray(expected, dtype=float)
            self._edges = np.quantile(numbers, _FIFTHS)
            self._width = float(np.ptp(numbers)) or 1.0
        if self.analysis.predictions is not None:
            self._classes = range(len(_FIFTHS) + 1) if regression else golden.manifest.classes
            # Of two classes one share tells both.
            counted = self._classes[:1] if len(self._classes) == 2 else self._classes
            limit = self.analysis.predictions
            self._shares = [Stream(f"{each}", (-1.0, 1.0), limit, both_ways=True) for each in counted]
        for name in ("distance",) if regression else _ALIKE:
            limit = getattr(self.analysis, name)
            if tell_all or limit is not None:
                self._alike[name] = Stream(name, (0.0, 1.0), limit)

    def _class_of(self, outputs: Mapping[str, object]) -> object:
        found = outputs.get(PREDICTION)
        if self._edges is None or not isinstance(found, int | float):
            return found
        return int(np.searchsorted(self._edges, found))

    def _distance(self, ours: Mapping[str, object], theirs: Mapping[str, object]) -> float:
        """0 for the same probabilities, 1 for opposite ones; of a regression, in widths of the golden predictions."""
        names = (
            [PREDICTION] if self._edges is not None else [n for n in {**ours, **theirs} if n.startswith(PROBABILITY)]
        )
        apart = 0.0
        for name in names:
            one, other = ours.get(name), theirs.get(name)
            if not isinstance(one, int | float) or not isinstance(other, int | float):
                return 1.0
            apart += abs(one - other)
        return min(1.0, apart / self._width if self._edges is not None else apart / 2)


_ALIKE = {
    "disagreement": "share of rows that are predicted otherwise",
    "distance": "mean distance of the probabilities",
}


def _outputs(answer: Answer) -> dict[str, object]:
    """The outputs for the one row that was asked for."""
    outputs = answer.body.get("outputs") if isinstance(answer.body, dict) else None
    return {output["name"]: output["data"][0] for output in outputs or ()}


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
    last = worst.now()
    numbers = {"requests": float(requests), "low": last.low, "high": last.high}
    if worst.values:
        numbers["difference"] = last.value
        seen = seen or f"{last.value:+.3f} ({last.low:+.3f} to {last.high:+.3f})"
    if worst.limit is not None:
        numbers["limit"] = math.copysign(worst.limit, last.value if worst.both_ways else 1)
    passed = all(decision == "passed" for decision in decisions)
    verdict = "" if passed else f"; {BROKEN}" if "failed" in decisions else f"; {UNDECIDED}"
    return Check(
        check=name or streams[0].name,
        limit=limit,
        value=f"{seen or 'nothing was answered'} over {requests} requests to each{verdict}",
        passed=passed,
        measured=numbers | {k: v for k, v in (measured or {}).items() if np.isfinite(v)},
        looks=(*worst.looks, last) if worst.values else (),
    )
