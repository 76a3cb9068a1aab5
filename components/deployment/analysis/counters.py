"""How much counters have grown since an analysis began: pods come, go and begin anew, and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Mapping

from headway.components._shared.prometheus import Answer, Labels

# A series without these has been added up over targets; then all are of one.
_TARGET = ("instance", "pod")


class Counters:
    """The counters of one version.

    A target counts from its first scrape after the beginning, so what was sent to it before, such as the checks of the
    candidate, does not count. A series that appears later on a target that is known already, such as the first failed
    request, counts from nothing; one that falls has begun anew and counts from nothing too.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, Labels], float] = {}
        self._known: set[Labels] = set()

    def unknown(self, query: str, answer: Answer) -> bool:
        """Whether an answer has series that were not there before."""
        return any((query, labels) not in self._last for labels in answer)

    def grown(
        self, values: Mapping[str, Answer], scraped: Mapping[str, Answer], begun_s: float
    ) -> dict[str, float | None]:
        """By how much the counters of each query have grown since the last look; None for a query without any series.

        Args:
            values: Query to what it gives now, all at one moment.
            scraped: The same for those with unknown series: when each was scraped last.
            begun_s: When the analysis began, by the clock of Prometheus.
        """
        grown: dict[str, float | None] = {}
        seen: set[Labels] = set()
        for query, answer in values.items():
            total = 0.0
            for labels, value in answer.items():
                before = self._last.get((query, labels))
                if before is None:
                    if scraped[query].get(labels, 0.0) < begun_s:
                        continue
                    before = 0.0 if _target(labels) in self._known else value
                total += value - before if value >= before else value
                self._last[query, labels] = value
                seen.add(_target(labels))
            grown[query] = total if answer else None
        self._known |= seen
        return grown


def _target(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] in _TARGET)
