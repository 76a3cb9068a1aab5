"""Which windows are due: every one that is over and was not judged yet, also after runs that never were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headway.components._shared.times import format_time, in_a_name, parse_duration
from headway.components.monitoring.config import Labels, Windows
from headway.components.monitoring.decision.history import Entry

# Days begin at midnight and weeks on Monday.
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Due:
    """A window that is to be judged.

    Attributes:
        start: Inclusive.
        end: Exclusive.
        label_cutoff: By when labels must have been known; None takes what there is.
    """

    start: datetime
    end: datetime
    label_cutoff: datetime | None = None

    @property
    def time(self) -> datetime:
        """When it can be judged so."""
        return self.label_cutoff or self.end

    @property
    def key(self) -> tuple[str, str, str]:
        """Start, end and time as in the names of a history."""
        return tuple(in_a_name(format_time(time)) for time in (self.start, self.end, self.time))  # type: ignore[return-value]


def due_windows(
    windows: Windows, labels: Labels | None, judged: Iterable[Entry], first: datetime, as_of: datetime
) -> list[Due]:
    """The windows that are over and not judged yet, in the order in which they could be judged.

    Args:
        windows: Their length, and when one counts as over.
        labels: How long after its end a window is judged, once for each delay; None is once.
        judged: What the history has: nothing is judged twice.
        first: When watching begins.
        as_of: The present time.
    """
    known = {(entry.start, entry.end, entry.time) for entry in judged}
    grace = parse_duration(windows.grace)
    found = [
        due
        for start, end in _closed(windows, first, as_of)
        for due in _at_each_cutoff(start, end, labels)
        if due.time + grace <= as_of and due.key not in known
    ]
    return sorted(found, key=lambda due: (due.time, due.start))


def _closed(windows: Windows, first: datetime, as_of: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The windows that are over: they begin at `since` or, without it, at days and weeks as calendars have them."""
    every = parse_duration(windows.every)
    start = first if windows.since else _MONDAY + (first - _MONDAY) // every * every
    while start + every <= as_of:
        yield start, start + every
        start += every


def _at_each_cutoff(start: datetime, end: datetime, labels: Labels | None) -> Iterator[Due]:
    if labels is None:
        yield Due(start, end)
        return
    for delay in sorted(_delays(labels)):
        yield Due(start, end, end + delay)


def _delays(labels: Labels) -> Sequence[timedelta]:
    return [parse_duration(after) for after in labels.after]
