"""Compares candidate and stable version by the metrics of the traffic that callers send to both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from string import Template

from headway.components._shared.errors import HeadwayError
from headway.components._shared.prometheus import QUERY, Answer, Server
from headway.components._shared.times import parse_duration
from headway.components.deployment.analysis.comparison import Comparison, Counts, queries_of
from headway.components.deployment.analysis.config import Analysis, Latency, Metric, Prometheus
from headway.components.deployment.analysis.counters import Counters
from headway.components.deployment.analysis.outcome import Decision, Outcome, combined
from headway.components.deployment.record import Check

log = logging.getLogger("headway")

_FAULTS = "prometheus."


def analyse_traffic(
    candidate: Mapping[str, str],
    stable: Mapping[str, str],
    analysis: Analysis,
    *,
    false_alarm: float,
    weight: float = 0.5,
    go_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Looks at the counters of both versions, again and again, until there is a decision.

    Args:
        candidate: What stands for the candidate in queries: name to text.
        stable: The same for the stable version.
        analysis: With `prometheus`.
        false_alarm: Highest probability of failing a candidate that is within every limit.
        weight: The candidate's part of the traffic, 0 to 1, for what is expected of the test.
        go_on: Asked at every look; False ends the analysis without a decision.

    Raises:
        HeadwayError: `deployment.query_name_unknown`.
    """
    settings = analysis.prometheus
    assert settings
    traffic = _Traffic(candidate, stable, analysis, settings, weight)
    interval_s, patience_s = (parse_duration(d).total_seconds() for d in (settings.interval, settings.patience))
    answered = time.monotonic()
    end = answered + parse_duration(analysis.max_duration).total_seconds()
    fault: HeadwayError | None = None
    while True:
        begun = time.monotonic()
        try:
            traffic.look()
            answered, fault = begun, None
        except HeadwayError as error:
            if not error.code.startswith(_FAULTS):
                raise
            log.warning(error.message)
            fault = error
        decision = traffic.decide(false_alarm)
        given_up = fault is not None and (fault.code == QUERY or time.monotonic() - answered >= patience_s)
        if decision != "inconclusive" or given_up or time.monotonic() >= end or traffic.enough() or not go_on():
            return Outcome(decision, tuple(traffic.checks(false_alarm, fault)), fault)
        time.sleep(max(0.0, min(begun + interval_s, end) - time.monotonic()))


class _Traffic:
    """What is known of both versions so far."""

    def __init__(
        self,
        candidate: Mapping[str, str],
        stable: Mapping[str, str],
        analysis: Analysis,
        settings: Prometheus,
        weight: float,
    ) -> None:
        self.weight = weight
        self.analysis = analysis
        self.settings = settings
        self.server = Server(settings)
        self.comparisons = [Comparison(metric, settings.confidence) for metric in settings.metrics]
        self.versions = [_Version(names, settings) for names in (candidate, stable)]
        self._offset_s = parse_duration(settings.query_offset).total_seconds()
        self._begun_s: float | None = None

    def look(self) -> None:
        """Takes in what has been counted since the last look; all of it at one moment, or nothing."""
        now_s = self.server.now()
        answers = [version.ask(self.server, now_s - self._offset_s) for version in self.versions]
        if self._begun_s is None:
            self._begun_s = now_s
            self._expect(answers[1][0])
        candidate, stable = (
            version.grown(*each, self._begun_s) for version, each in zip(self.versions, answers, strict=True)
        )
        for comparison, ours, theirs in zip(self.comparisons, candidate, stable, strict=True):
            comparison.add(ours, theirs)

    def _expect(self, stable: Mapping[str, Answer]) -> None:
        """Says beforehand how many requests the effects that are looked for take."""
        for comparison, queries in zip(self.comparisons, self.versions[1].queries, strict=True):
            part, total = (sum(stable[query].values()) for query in queries)
            comparison.expect(part, total, self.weight)
            if comparison.needed is not None:
                about = f"{comparison.needed:,} requests to the candidate"
                log.info(f"{comparison.metric.name}: the effect that is looked for is expected to take {about}")

    def decide(self, false_alarm: float) -> Decision:
        """The decision over all metrics, which share the false alarms among them."""
        decision = combined({c.decide(false_alarm / len(self.comparisons)) for c in self.comparisons})
        few = min(min(c.requests()) for c in self.comparisons) < self.analysis.min_requests
        return "inconclusive" if decision == "passed" and few else decision

    def enough(self) -> bool:
        """Whether the candidate has had as many requests as were to be looked at."""
        most = self.settings.max_requests
        return most is not None and min(c.requests()[0] for c in self.comparisons) >= most

    def checks(self, false_alarm: float, fault: HeadwayError | None) -> Iterator[Check]:
        """The evidence of each metric, and what Prometheus did not answer."""
        for comparison in self.comparisons:
            yield comparison.check(comparison.decide(false_alarm / len(self.comparisons)))
        if fault:
            yield Check(check="prometheus", limit="answers every query", value=fault.message, passed=False)


class _Version:
    """The counters of one version, and the queries that find them."""

    def __init__(self, names: Mapping[str, str], settings: Prometheus) -> None:
        self.queries = [
            tuple(_filled(query, _names(names, metric), settings.selector) for query in queries_of(metric))
            for metric in settings.metrics
        ]
        self.counters = Counters()

    def ask(self, server: Server, time_s: float) -> tuple[dict[str, Answer], dict[str, Answer]]:
        """The values of all queries, and when the series of those with new ones were scraped."""
        values = {query: server.query(query, time_s) for pair in self.queries for query in pair}
        scraped = {
            query: server.query(f"timestamp({query})", time_s)
            for query, series in values.items()
            if self.counters.unknown(query, series)
        }
        return values, scraped

    def grown(self, values: dict[str, Answer], scraped: dict[str, Answer], begun_s: float) -> list[Counts]:
        """By how much the two counters of each metric have grown."""
        grown = self.counters.grown(values, scraped, begun_s)
        return [(grown[part], grown[total]) for part, total in self.queries]


def _names(names: Mapping[str, str], metric: Metric) -> dict[str, str]:
    """A version's names and those of a metric; the edge of a bucket is written `1` or `1.0`."""
    if not isinstance(metric, Latency):
        return dict(names)
    edge = f"{metric.above_s:g}"
    return {**names, "le": edge.replace(".", "\\\\.") if "." in edge else f"{edge}(\\\\.0)?"}


def _filled(query: str, names: Mapping[str, str], selector: str | None) -> str:
    try:
        chosen = Template(selector or names.get("selector", "")).substitute(names)
        if not chosen and "$selector" in query:
            raise KeyError("selector")
        return Template(query).substitute(names, selector=chosen)
    except KeyError as error:
        raise HeadwayError(
            "deployment.query_name_unknown",
            f"A query of the analysis names ${error.args[0]}, which this engine does not know.",
            value=query,
            remedy=f"These are known: {', '.join(f'${name}' for name in sorted(names))}.",
        ) from None
