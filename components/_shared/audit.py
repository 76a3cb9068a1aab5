"""The audit trail: one hash-chained event for everything that decides, so that a missing or changed one shows."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Mapping

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.times import format_time, now

_ATTEMPTS = 50


def record_event(
    state: State, model_name: str, action: str, *, model_digest: str | None, evidence: Mapping[str, object]
) -> str:
    """Appends an event to `events/<model>/` and returns its key.

    Args:
        state: Where the events are.
        model_name: The model that it is about.
        action: What was done, such as `verdict`, `registered`, `deployed`, `rolled_back`.
        model_digest: Of the model version, where there is one.
        evidence: JSON values that justify the action.

    Raises:
        HeadwayError: `audit.busy` when other writers win the next number 50 times in a row.
    """
    for _ in range(_ATTEMPTS):
        events = state.storage.list(f"events/{model_name}")
        previous = hashlib.sha256(state.storage.read(events[-1].key)).hexdigest() if events else ""
        event = {
            "schema_version": 1,
            "number": len(events) + 1,
            "time": format_time(now()),
            "actor": os.environ.get("HEADWAY_ACTOR") or getpass.getuser(),
            "run_id": run_id(),
            "model": model_name,
            "model_digest": model_digest,
            "action": action,
            "evidence": dict(evidence),
            "previous_sha256": previous,
        }
        key = f"events/{model_name}/{len(events) + 1:08d}.json"
        if state.storage.create(key, dump_json(event)):
            return key
    raise HeadwayError(
        "audit.busy", "Other writers took every next event number.", value=model_name, remedy="Run the step again."
    )


def verify_events(state: State, model_name: str) -> list[dict[str, object]]:
    """Reads a model's events in order.

    Raises:
        HeadwayError: `audit.broken`: an event is missing or was changed.
    """
    events: list[dict[str, object]] = []
    previous = ""
    for number, stat in enumerate(state.storage.list(f"events/{model_name}"), start=1):
        data = state.storage.read(stat.key)
        event: dict[str, object] = json.loads(data)
        if event["number"] != number or event["previous_sha256"] != previous:
            raise HeadwayError(
                "audit.broken",
                f"The chain of events breaks at {stat.key}.",
                value=number,
                remedy="Restore the events from a backup and find out who changed them.",
            )
        previous = hashlib.sha256(data).hexdigest()
        events.append(event)
    return events
