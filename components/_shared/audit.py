"""The audit trail: one hash-chained event for everything that decides, so that a missing or changed one shows.

An event is `events/<model>/<thousand>/<number>.json` and names the hash of the event before it. Beside it, created
after it, stands its witness `witnesses/<model>/<thousand>/<number>.json` with the event's own hash. Both are only ever
created, never replaced, so the writers need no right to overwrite or delete.

What `verify_events` promises: any event that was changed, removed, inserted or moved is found, the last one included,
as long as its witness or a later event is left as it was. Whoever may delete in the store can still cut off events
together with their witnesses, or write a whole new history. Against that, keep receipts outside of it:
`record_event` returns one, the registry's versions carry theirs in tags (`audit_registered`, `audit_promoted`), and
`verify_events` takes them; and give the writers no right to delete, or the bucket a retention policy. The last event
may lack its witness when its writer was killed in between; the next event adds it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.times import format_time, now

_ATTEMPTS = 50
_SEGMENT = 1000
_RECENT = 20  # an earlier try of a step lies no further back, even with other runs beside it


def record_event(
    state: State,
    model_name: str,
    action: str,
    *,
    model_digest: str | None,
    evidence: Mapping[str, object],
    once_by: Sequence[str] = (),
) -> str:
    """Appends an event to `events/<model>/` and returns its receipt, `<number>:<sha256>`.

    Finding the next number costs one listing of at most 1,000 names and a few look-ups, however long the history is.

    Args:
        state: Where the events are.
        model_name: The model that it is about.
        action: What was done, such as `verdict`, `registered`, `deployed`, `rolled_back`.
        model_digest: Of the model version, where there is one.
        evidence: JSON values that justify the action.
        once_by: Keys of the evidence, or `run_id`. An event among the latest with the same action, model and values
            there is returned instead of a second one: a step that is tried again, or two runs that do the same at the
            same time, decide nothing twice. With `run_id`, and outside a run, every event is one of its own.

    Raises:
        HeadwayError: `audit.busy` when other writers win the next number 50 times in a row.
    """
    for attempt in range(_ATTEMPTS):
        last = _last_number(state, model_name)
        previous = _witness(state, model_name, last) if last else ""
        event = {
            "schema_version": 1,
            "number": last + 1,
            "time": format_time(now()),
            "actor": _actor(),
            "run_id": run_id(),
            "model": model_name,
            "model_digest": model_digest,
            "action": action,
            "evidence": dict(evidence),
            "previous_sha256": previous,
        }
        if earlier := _earlier(state, model_name, last, event, once_by):
            return f"{earlier}:{_witness(state, model_name, earlier)}"
        if state.storage.create(_key("events", model_name, last + 1), dump_json(event)):
            return f"{last + 1}:{_witness(state, model_name, last + 1)}"
        time.sleep(min(1.0, 0.01 * 2**attempt) * secrets.randbelow(1000) / 1000)
    raise HeadwayError(
        "audit.busy", "Other writers took every next event number.", value=model_name, remedy="Run the step again."
    )


def _earlier(
    state: State, model_name: str, last: int, event: Mapping[str, object], once_by: Sequence[str]
) -> int | None:
    """Number of the same event among the latest."""
    wanted = _facts(json.loads(dump_json(event)), once_by)
    if not once_by or ("run_id" in once_by and event["run_id"] is None):
        return None
    for number in range(last, max(last - _RECENT, 0), -1):
        if _facts(_parsed(state.storage.read(_key("events", model_name, number))), once_by) == wanted:
            return number
    return None


def _facts(event: Mapping[str, Any], keys: Sequence[str]) -> list[object]:
    facts = {**event.get("evidence", {}), "run_id": event.get("run_id")}
    return [event.get("action"), event.get("model_digest"), *(facts.get(key) for key in keys)]


def _actor() -> str:
    """Who acts: `HEADWAY_ACTOR`, or the user; user 65532 of our images has no name."""
    try:
        return os.environ.get("HEADWAY_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def verify_events(state: State, model_name: str, receipts: Iterable[str] = ()) -> list[dict[str, object]]:
    """Reads a model's events in order.

    Args:
        state: Where the events are.
        model_name: The model that they are about.
        receipts: What `record_event` returned and somebody kept elsewhere: those events must be there.

    Raises:
        HeadwayError: `audit.broken`: an event is missing or was changed.
    """
    keys = [stat.key for stat in state.storage.list(f"events/{model_name}")]
    witnessed = {stat.key for stat in state.storage.list(f"witnesses/{model_name}")}
    events: list[dict[str, object]] = []
    hashes = [""]
    for number in range(1, max(len(keys), len(witnessed)) + 1):
        key, witness = _key("events", model_name, number), _key("witnesses", model_name, number)
        if number > len(keys) or keys[number - 1] != key:
            raise _broken(number, f"event {number} is missing")
        data = state.storage.read(key)
        hashes.append(hashlib.sha256(data).hexdigest())
        if witness in witnessed:
            if state.storage.read(witness) != _witness_content(hashes[-1]):
                raise _broken(number, f"event {number} is not what was recorded")
        elif number < len(keys):
            raise _broken(number, f"the witness of event {number} is missing")
        event = _parsed(data)
        if event.get("number") != number or event.get("previous_sha256") != hashes[-2]:
            raise _broken(number, f"event {number} does not follow the one before it")
        events.append(event)
    for receipt in receipts:
        position, _, expected = receipt.partition(":")
        if hashes[int(position) : int(position) + 1] != [expected]:
            raise _broken(int(position), f"event {position} is not the one whose receipt was kept")
    return events


def _parsed(data: bytes) -> dict[str, object]:
    try:
        event = json.loads(data)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _last_number(state: State, model_name: str) -> int:
    """Number of the last event: look for the last thousand that has begun, then list only that."""
    segment = 0
    step = 1
    while _begun(state, model_name, segment + step):
        segment, step = segment + step, step * 2
    while step > 1:
        step //= 2
        if _begun(state, model_name, segment + step):
            segment += step
    names = state.storage.list(f"events/{model_name}/{segment:05d}")
    return int(names[-1].key.rpartition("/")[2].removesuffix(".json")) if names else 0


def _begun(state: State, model_name: str, segment: int) -> bool:
    return state.storage.stat(_key("events", model_name, segment * _SEGMENT + 1)) is not None


def _witness(state: State, model_name: str, number: int) -> str:
    """The hash of an event, and its witness if its writer did not get that far."""
    digest = hashlib.sha256(state.storage.read(_key("events", model_name, number))).hexdigest()
    state.storage.create(_key("witnesses", model_name, number), _witness_content(digest))
    return digest


def _witness_content(digest: str) -> bytes:
    return dump_json({"schema_version": 1, "sha256": digest})


def _key(kind: str, model_name: str, number: int) -> str:
    return f"{kind}/{model_name}/{(number - 1) // _SEGMENT:05d}/{number:08d}.json"


def _broken(number: int, what: str) -> HeadwayError:
    return HeadwayError(
        "audit.broken",
        f"The audit trail is broken: {what}.",
        value=number,
        remedy="Restore the events from a backup and find out who changed them.",
    )
