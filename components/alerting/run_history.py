"""How a model's runs ended, one after the other, so that a message can say since when they fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headway.components._shared.state import State, dump_json
from headway.components._shared.times import format_time, parse_time


@dataclass(frozen=True)
class Streak:
    """The failed runs up to now.

    Attributes:
        failed: How many failed in a row, this one among them; 0 when this one succeeded.
        since: When the first of them began; this run when it succeeded.
        last_success: When the last good run began, if there was one.
    """

    failed: int
    since: datetime
    last_success: datetime | None


def remember(state: State, model_name: str, run: str, *, succeeded: bool, began: datetime) -> Streak:
    """Keeps how a run ended in `history/<model>/runs/`, once, and looks back to the last good run."""
    entry = state.history_key(model_name, f"runs/{began:%Y%m%dT%H%M%SZ}-{run}.json")
    state.storage.create(
        entry, dump_json({"schema_version": 1, "run_id": run, "began": format_time(began), "succeeded": succeeded})
    )
    failed, since = (0, began) if succeeded else (1, began)
    earlier = [stat.key for stat in state.storage.list(state.history_key(model_name, "runs")) if stat.key < entry]
    for key in reversed(earlier):
        record = state.read_json(key)
        time = parse_time(str(record["began"]))
        if record["succeeded"]:
            return Streak(failed, since, time)
        if not succeeded:
            failed, since = failed + 1, time
    return Streak(failed, since, None)
