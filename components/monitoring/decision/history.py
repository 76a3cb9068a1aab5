"""What was decided before, window by window: entries that are created once, and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ValidationError

from headway.components._shared.decisions import Decision
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json


@dataclass(frozen=True)
class Past:
    """What a decision may look back at.

    Attributes:
        windows: Each window before, as it was judged last by then, in the order of time.
        decisions: Everything that was decided by then.
        damaged: Entries that cannot be read.
    """

    windows: tuple[Decision, ...]
    decisions: tuple[Decision, ...]
    damaged: tuple[str, ...]


def look_back(state: State, model_name: str, start: str, time: str) -> Past:
    """The history as it was when a window could first be judged, whenever this is called.

    Args:
        state: The state folder.
        model_name: The endpoint.
        start: Of the window: only those that began before count.
        time: When it could be judged: only what could be judged by then counts.
    """
    found: list[Decision] = []
    damaged: list[str] = []
    for stat in state.storage.list(_folder(state, model_name)):
        try:
            found.append(Decision.model_validate_json(state.storage.read(stat.key)))
        except ValidationError:
            damaged.append(stat.key)
    by_then = sorted((each for each in found if each.time <= time), key=lambda each: (each.start, each.time))
    latest = {(each.start, each.end, each.model_digest): each for each in by_then if each.start < start}
    return Past(tuple(latest.values()), tuple(each for each in by_then), tuple(damaged))


def keep(state: State, decision: Decision) -> Decision:
    """Writes a decision down unless its window was judged at this cutoff already; gives what stands there."""
    key = f"{_folder(state, decision.model_name)}/{decision.model_digest[:12]}_{decision.key}.json"
    if state.storage.create(key, dump_json(decision.model_dump(mode="json"))):
        return decision
    try:
        return Decision.model_validate_json(state.storage.read(key))
    except ValidationError:
        raise HeadwayError(
            "history.damaged",
            "This window was judged before, and what was decided cannot be read.",
            value=state.uri_of(key),
            remedy="Restore the entry from a backup, or delete it to have the window judged anew.",
        ) from None


def gaps(windows: Sequence[Decision], start: str) -> list[str]:
    """Spans between windows, and before one that starts, that no window covers."""
    edges = [*((w.start, w.end) for w in windows), (start, start)]
    return [f"{end} to {begin}" for (_, end), (begin, _) in pairwise(edges) if end < begin]


def _folder(state: State, model_name: str) -> str:
    return state.history_key(model_name, "decisions")
