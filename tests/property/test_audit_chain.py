"""Whatever is done to one event or witness, the audit trail shows it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State

_ACTIONS = st.lists(st.sampled_from(["verdict", "registered", "promoted", "rolled_back"]), min_size=1, max_size=5)


def chain(folder: str, actions: list[str]) -> State:
    state = State(folder)
    for i, action in enumerate(actions):
        record_event(state, "flights", action, model_digest=f"{i:064d}", evidence={"i": i})
    return state


@settings(max_examples=60, deadline=None)
@given(actions=_ACTIONS, data=st.data())
def test_any_change_of_any_event_shows(actions: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = chain(folder, actions)
        event = data.draw(st.sampled_from([stat.key for stat in state.storage.list("events")]))
        content = state.storage.read(event)
        at = data.draw(st.integers(0, len(content) - 1))
        other = data.draw(st.integers(1, 255))
        changed = content[:at] + bytes([content[at] ^ other]) + content[at + 1 :]
        state.storage.write(event, data.draw(st.sampled_from([changed, content[:at], content + changed, b""])))
        with pytest.raises(HeadwayError, match=r"audit\.broken"):
            verify_events(state, "flights")


@settings(max_examples=40, deadline=None)
@given(actions=_ACTIONS, data=st.data())
def test_any_removal_and_any_exchange_of_events_shows(actions: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = chain(folder, actions)
        keys = [stat.key for stat in state.storage.list("events")]
        first, second = (data.draw(st.sampled_from(keys)) for _ in range(2))
        if first == second:
            state.storage.delete(first)
        else:
            one, other = state.storage.read(first), state.storage.read(second)
            state.storage.write(first, other)
            state.storage.write(second, one)
        with pytest.raises(HeadwayError, match=r"audit\.broken"):
            verify_events(state, "flights")


@settings(max_examples=30, deadline=None)
@given(actions=_ACTIONS, data=st.data())
def test_an_event_put_in_by_hand_shows(actions: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = chain(folder, actions)
        keys = [stat.key for stat in state.storage.list("events")]
        number = data.draw(st.integers(len(keys) + 2, len(keys) + 1001))
        copied = state.storage.read(data.draw(st.sampled_from(keys)))
        state.storage.create(f"events/flights/{(number - 1) // 1000:05d}/{number:08d}.json", copied)
        with pytest.raises(HeadwayError, match=r"audit\.broken"):
            verify_events(state, "flights")


@settings(max_examples=30, deadline=None)
@given(actions=_ACTIONS)
def test_an_untouched_trail_reads_back_in_order(actions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = chain(folder, actions)
        assert [event["action"] for event in verify_events(state, "flights")] == actions
        assert Path(folder, "events", "flights").is_dir()
