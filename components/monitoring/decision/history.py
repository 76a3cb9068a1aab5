"""What was decided before, window by window: entries that are created once, and never changed.

An entry is `history/NAME/decisions/MODEL_START_END_TIME.json`, so that a listing tells what was judged and until when,
and a decision reads no more of a history of years than its rules look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ValidationError

from headway.components._shared.decisions import Decision
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json
from headway.components._shared.times import in_a_name

_DIGITS = 12


@dataclass(frozen=True, order=True)
class Entry:
    """What the name of an entry tells; times as in names, in the order of time.

    Attributes:
        start: Of the window.
        end: Of the window.
        time: When it could be judged so.
        digest: First characters of the model's digest.
        key: In the state folder.
    """

    start: str
    end: str
    time: str
    digest: str
    key: str


class History:
    """The decisions about an endpoint.

    Args:
        state: The state folder.
        model_name: The endpoint.
    """

    def __init__(self, state: State, model_name: str) -> None:
        self._state = state
        self._folder = state.history_key(model_name, "decisions")
        found = [_entry(stat.key) for stat in state.storage.list(self._folder)]
        self.entries = sorted(entry for entry in found if entry)
        self._read: dict[str, Decision | None] = {}

    def past(self, start: str, time: str) -> Past:
        """The history as it was when a window could first be judged, whenever this is called.

        Args:
            start: Of the window: only those that began before count as windows before it.
            time: When it could be judged: only what could be judged by then counts.
        """
        return Past(self, in_a_name(start), in_a_name(time))

    def read(self, entries: Iterable[Entry]) -> list[Decision]:
        """The entries that can be read."""
        found = [self._cached(entry.key) for entry in entries]
        return [each for each in found if each]

    def keep(self, decision: Decision) -> Decision:
        """Writes a decision down unless its window was judged at this cutoff already; gives what stands there.

        Raises:
            HeadwayError: `history.damaged`.
        """
        key = f"{self._folder}/{decision.model_digest[:_DIGITS]}_{decision.key}.json"
        created = self._state.storage.create(key, dump_json(decision.model_dump(mode="json")))
        kept = decision if created else self._cached(key)
        if kept is None:
            raise HeadwayError(
                "history.damaged",
                "This window was judged before, and what was decided cannot be read.",
                value=self._state.uri_of(key),
                remedy="Restore the entry from a backup, or delete it to have the window judged anew.",
            )
        self._read[key] = kept
        entry = _entry(key)
        if entry and entry not in self.entries:
            self.entries = sorted([*self.entries, entry])
        return kept

    def is_damaged(self, entry: Entry) -> bool:
        """Whether an entry was read, and could not be."""
        return entry.key in self._read and self._read[entry.key] is None

    def _cached(self, key: str) -> Decision | None:
        if key not in self._read:
            try:
                self._read[key] = Decision.model_validate_json(self._state.storage.read(key))
            except ValidationError:
                self._read[key] = None
        return self._read[key]


class Past:
    """What a decision may look back at; read as far as it is asked for.

    Args:
        history: All of it.
        start: Of the window.
        time: When it could be judged.
    """

    def __init__(self, history: History, start: str, time: str) -> None:
        self._history = history
        self._start = start
        self._by_then = [entry for entry in history.entries if entry.time <= time]

    @property
    def damaged(self) -> tuple[str, ...]:
        """Entries that were looked at and cannot be read."""
        return tuple(entry.key for entry in self._by_then if self._history.is_damaged(entry))

    def windows(self, count: int, model_digest: str | None = None) -> list[Decision]:
        """The last windows before this one, each as it was judged last by then, in the order of time.

        Args:
            count: How many.
            model_digest: Of the model that is meant; None takes every one.
        """
        ours = [entry for entry in self._by_then if model_digest is None or entry.digest == model_digest[:_DIGITS]]
        latest: dict[tuple[str, str, str], Decision] = {}
        for entry in reversed(ours):
            window = (entry.start, entry.end, entry.digest)
            if entry.start >= self._start or window in latest:
                continue
            if len(latest) == count:
                break
            if found := self._history.read([entry]):
                latest[window] = found[0]
        return list(latest.values())[::-1]

    def judged_since(self, time: str) -> list[Decision]:
        """What could be judged after a time."""
        return self._history.read(entry for entry in self._by_then if entry.time > in_a_name(time))

    def of_window(self, start: str, end: str) -> list[Decision]:
        """The same window as it was judged at earlier cutoffs."""
        names = in_a_name(start), in_a_name(end)
        return self._history.read(entry for entry in self._by_then if (entry.start, entry.end) == names)

    def of_incident(self, incident: str) -> list[Decision]:
        """The decisions that belong to an incident."""
        since = self._history.read(entry for entry in self._by_then if entry.start >= in_a_name(incident))
        return [each for each in since if each.incident and each.incident.id == incident]


def gaps(windows: Sequence[Decision], start: str) -> list[str]:
    """Spans between windows, and before one that starts, that no window covers."""
    edges = [*((w.start, w.end) for w in windows), (start, start)]
    return [f"{end} to {begin}" for (_, end), (begin, _) in pairwise(edges) if end < begin]


def _entry(key: str) -> Entry | None:
    """None for a file that is no entry."""
    parts = key.rpartition("/")[2].removesuffix(".json").split("_")
    if len(parts) != len(("digest", "start", "end", "time")):
        return None
    digest, start, end, time = parts
    return Entry(start, end, time, digest, key)
