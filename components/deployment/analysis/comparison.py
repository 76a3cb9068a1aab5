"""One metric of both versions, window by window, and what it proves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

from headway.components._shared.statistics.two_samples import (
    Evidence,
    Window,
    difference_sequence,
    mean_evidence,
    means_needed,
    requests_needed,
    share_evidence,
)
from headway.components.deployment.analysis.config import CONFIDENCE, Errors, Latency, Mean, Metric, Share
from headway.components.deployment.analysis.outcome import BROKEN, UNDECIDED, Decision
from headway.components.deployment.analysis.stream import LOOKS_GROW
from headway.components.deployment.record import Check, Look

# By how much the two counters of a metric have grown; None for one that has no series.
Counts = tuple[float | None, float | None]

_VERSIONS = ("candidate", "stable version")
_NOTHING = Window(0, 0, 0, 0)


def queries_of(metric: Metric) -> tuple[str, str]:
    """The queries of what is counted or summed, and of how many requests there were."""
    match metric:
        case Errors():
            return metric.failed, metric.total
        case Latency():
            return metric.within, metric.total
        case Share():
            return metric.successes, metric.total
        case Mean():
            return metric.sum, metric.count


@dataclass
class Comparison:
    """The windows of one metric, turned so that more is worse.

    Attributes:
        metric: What is compared.
        confidence: With which the limit must be proven to be kept.
        guess: The stable version's share before the analysis, turned as the windows are.
        needed: Requests to the candidate that `min_effect` is expected to take.
        windows: What was counted; each has requests of both versions.
        looks: How the interval shrank, by requests to the candidate.
    """

    metric: Metric
    confidence: float = CONFIDENCE
    needed: int | None = None
    guess: float = 0.05
    windows: list[Window] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    _open: Window = _NOTHING
    _seen: set[str] = field(default_factory=set)
    _odd: int = 0

    def add(self, candidate: Counts, stable: Counts) -> None:
        """Takes in by how much the counters of each version have grown."""
        found = {}
        for version, (part, total) in zip(_VERSIONS, (candidate, stable), strict=True):
            # Counters of failures and successes are there from the first one on; the others always are.
            there = total is not None and (part is not None or isinstance(self.metric, Errors | Share))
            self._seen |= {version} if there else set()
            found[version] = (part or 0.0, total or 0.0) if there else (0.0, 0.0)
        if not all(_fits(self.metric, *each) for each in found.values()):
            self._odd += 1
            return
        ours, theirs = ((_bad(self.metric, *each), each[1]) for each in found.values())
        self._open = Window(*(a + b for a, b in zip(self._open, (*ours, *theirs), strict=True)))
        if self._open.our_count >= 1 and self._open.their_count >= 1:
            self.windows.append(self._open)
            self._open = _NOTHING
            self._look()

    def requests(self) -> tuple[float, float]:
        """Requests to the candidate and to the stable version."""
        return sum(w.our_count for w in self.windows), sum(w.their_count for w in self.windows)

    def expect(self, part: float, total: float, weight: float) -> None:
        """Takes in what is known before: where the stable version is, and so how many requests `min_effect` takes.

        Args:
            part: What the stable version's counters were when the analysis began.
            total: The same of the requests.
            weight: The candidate's part of the traffic, 0 to 1.
        """
        metric, confidence = self.metric, self.confidence
        if total <= 0 or not _fits(metric, part, total):
            return
        if not isinstance(metric, Mean):
            self.guess = _bad(metric, part, total) / total
        if isinstance(metric, Errors | Latency) or not metric.min_effect:
            return
        if isinstance(metric, Mean):
            width, effect = metric.range[1] - metric.range[0], metric.min_effect
            self.needed = means_needed(width, effect, -metric.limit, weight=weight, confidence=confidence)
        else:
            asked = self.guess, metric.min_effect, -metric.limit
            self.needed = requests_needed(*asked, weight=weight, confidence=confidence)

    def decide(self, false_alarm: float) -> Decision:
        """`failed` once it is proven that the limit is broken, `passed` once that it is kept.

        Args:
            false_alarm: Highest probability of ever failing a candidate that is within the limit.
        """
        if not self.windows:
            return "inconclusive"
        evidence = self._evidence()
        if evidence(self.windows, self.metric.limit)[-1] >= -math.log(false_alarm):
            return "failed"
        swapped = [window.swapped() for window in self.windows]
        kept = evidence(swapped, -self.metric.limit)[-1] >= -math.log(1 - self.confidence)
        return "passed" if kept else "inconclusive"

    def check(self, decision: Decision) -> Check:
        """The evidence, in words and numbers."""
        verdict = {"passed": "", "failed": f"; {BROKEN}", "inconclusive": f"; {UNDECIDED}"}[decision]
        odd = f"; {self._odd} windows left out, whose counters do not fit together" if self._odd else ""
        missing = [version for version in _VERSIONS if version not in self._seen]
        limit, measured = limit_in_words(self.metric), {"limit": self._natural(self.metric.limit)}
        if self.needed is not None:
            measured["requests_needed"] = float(self.needed)
            odd += f"; about {self.needed:,} to the candidate were thought to be needed"
        if not self.windows:
            idle = [v for v, n in zip(_VERSIONS, (self._open.our_count, self._open.their_count), strict=True) if n < 1]
            why = f"Prometheus has no series of the {' and the '.join(missing)}" if missing else ""
            why = why or f"no request to the {' or the '.join(idle)} was counted"
            return Check(
                check=self.metric.name, limit=limit, value=f"{why}{odd}{verdict}", passed=False, measured=measured
            )
        last, (ours, theirs) = self._now(), self.requests()
        measured |= {"difference": last.value, "low": last.low, "high": last.high}
        measured |= {"requests": ours, "stable_requests": theirs}
        measured |= {"candidate": self._mean("ours", ours), "stable": self._mean("theirs", theirs)}
        seen = f"{last.value:+.3g} ({last.low:+.3g} to {last.high:+.3g})"
        each = f"{measured['candidate']:.3g} over {ours:,.0f} requests to the candidate, {measured['stable']:.3g} over "
        each += f"{theirs:,.0f} to the stable version"
        return Check(
            check=self.metric.name,
            limit=limit,
            value=f"{seen}: {each}{odd}{verdict}",
            passed=decision == "passed",
            measured=measured,
            looks=(*self.looks, last),
        )

    def _evidence(self) -> Evidence:
        metric = self.metric
        if isinstance(metric, Mean):
            return mean_evidence(metric.range[1] - metric.range[0])
        return partial(share_evidence, guess=self.guess)

    def _look(self) -> None:
        if not self.looks or self.requests()[0] >= LOOKS_GROW * self.looks[-1].requests:
            self.looks.append(self._now())

    def _now(self) -> Look:
        """The difference and its interval as of now, candidate less stable version."""
        width = self.metric.range[1] - self.metric.range[0] if isinstance(self.metric, Mean) else 1.0
        found = difference_sequence(self.windows, self._evidence(), width, confidence=2 * self.confidence - 1)
        value, *ends = map(self._natural, (found.value, found.low, found.high))
        return Look(requests=self.requests()[0], value=value, low=min(ends), high=max(ends))

    def _natural(self, difference: float) -> float:
        """A difference with the sign that the metric has for its users."""
        return -difference if _more_is_better(self.metric) else difference

    def _mean(self, side: str, count: float) -> float:
        bad: float = sum(getattr(window, side) for window in self.windows) / count
        if isinstance(self.metric, Mean):
            return self._natural(bad)
        return 1 - bad if _more_is_better(self.metric) else bad


def limit_in_words(metric: Metric) -> str:
    """What is allowed."""
    what = {"errors": "share of failed requests"}.get(metric.kind, f"{metric.kind} {metric.name}")
    if isinstance(metric, Latency):
        what = f"share of requests over {metric.above_s:g} s"
    better, worse = ("above", "below") if _more_is_better(metric) else ("below", "above")
    if metric.limit > 0:
        return f"{what} at most {metric.limit:.3g} {worse} the stable version's"
    return f"{what} {better} the stable version's" + (f" by more than {-metric.limit:.3g}" if metric.limit else "")


def _more_is_better(metric: Metric) -> bool:
    return isinstance(metric, Share | Mean) and metric.direction == "maximize"


def _fits(metric: Metric, part: float, total: float) -> bool:
    """Whether two counters belong together: a server that began anew between its counters makes them differ."""
    if isinstance(metric, Mean):
        return metric.range[0] * total <= part <= metric.range[1] * total
    return 0 <= part <= total


def _bad(metric: Metric, part: float, total: float) -> float:
    """What of a version's requests counts against it."""
    if isinstance(metric, Mean):
        return -part if _more_is_better(metric) else part
    return total - part if isinstance(metric, Latency) or _more_is_better(metric) else part
