"""The audit trail: chained events with witnesses, many writers, and what shows."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.components._shared import audit
from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.storage import FolderStorage, Stat


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "state"))


def record(state: State, action: str = "registered") -> str:
    return record_event(state, "flights", action, model_digest="a" * 64, evidence={"auc": 0.7})


def keys(state: State, kind: str = "events") -> list[str]:
    return [stat.key for stat in state.storage.list(f"{kind}/flights")]


def test_an_event_says_who_did_what_when_to_which_model_and_why(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_ACTOR", "release-bot")
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-7")
    record(state)
    (event,) = verify_events(state, "flights")
    assert {k: event[k] for k in ("actor", "run_id", "action", "model", "model_digest", "evidence", "number")} == {
        "actor": "release-bot",
        "run_id": "run-7",
        "action": "registered",
        "model": "flights",
        "model_digest": "a" * 64,
        "evidence": {"auc": 0.7},
        "number": 1,
    }
    assert str(event["time"]).endswith("Z")


def test_a_user_without_a_name_is_named_by_number(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.delenv("HEADWAY_ACTOR", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)
    record(state)
    assert str(verify_events(state, "flights")[0]["actor"]).startswith("uid ")


def test_no_events_are_no_fault(state: State) -> None:
    assert verify_events(state, "flights") == []


def test_the_events_of_models_are_chains_of_their_own(state: State) -> None:
    record(state)
    record_event(state, "flights-eu", "registered", model_digest=None, evidence={})
    record(state)
    assert len(verify_events(state, "flights")) == 2
    assert len(verify_events(state, "flights-eu")) == 1


def test_a_removed_last_event_shows(state: State) -> None:
    for _ in range(3):
        record(state)
    state.storage.delete(keys(state)[-1])
    with pytest.raises(HeadwayError, match=r"audit.broken.*event 3 is missing.*Restore the events from a backup"):
        verify_events(state, "flights")


def test_a_removed_event_in_the_middle_shows(state: State) -> None:
    for _ in range(3):
        record(state)
    state.storage.delete(keys(state)[1])
    with pytest.raises(HeadwayError, match=r"audit.broken.*event 2 is missing"):
        verify_events(state, "flights")


def test_an_event_removed_with_its_witness_shows_by_the_event_after_it(state: State) -> None:
    for _ in range(3):
        record(state)
    for kind in ("events", "witnesses"):
        state.storage.delete(keys(state, kind)[0])
    with pytest.raises(HeadwayError, match=r"audit.broken.*event 1 is missing"):
        verify_events(state, "flights")


def test_a_tail_cut_off_with_its_witnesses_shows_only_by_a_receipt(state: State) -> None:
    receipts = [record(state) for _ in range(3)]
    for kind in ("events", "witnesses"):
        state.storage.delete(keys(state, kind)[-1])
    assert len(verify_events(state, "flights")) == 2
    with pytest.raises(HeadwayError, match=r"audit.broken.*event 3 is not the one whose receipt was kept"):
        verify_events(state, "flights", receipts)


def test_a_history_written_anew_shows_by_a_receipt(state: State, tmp_path: Path) -> None:
    receipts = [record(state) for _ in range(3)]
    other = State(str(tmp_path / "other"))
    for _ in range(3):
        record(other, "rolled_back")
    assert len(verify_events(other, "flights")) == 3
    with pytest.raises(HeadwayError, match=r"audit.broken"):
        verify_events(other, "flights", receipts)


def test_a_gap_that_a_later_writer_filled_shows(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_SEGMENT", 2)
    for _ in range(6):
        record(state)
    state.storage.delete(keys(state)[4])
    record(state)
    with pytest.raises(HeadwayError, match=r"audit.broken"):
        verify_events(state, "flights")


def test_a_writer_killed_before_its_witness_is_no_fault_and_the_next_event_adds_it(state: State) -> None:
    record(state)
    record(state)
    state.storage.delete(keys(state, "witnesses")[-1])
    assert len(verify_events(state, "flights")) == 2
    record(state)
    assert len(keys(state, "witnesses")) == 3
    assert len(verify_events(state, "flights")) == 3


def test_a_witness_that_is_missing_before_the_last_shows(state: State) -> None:
    for _ in range(3):
        record(state)
    state.storage.delete(keys(state, "witnesses")[0])
    with pytest.raises(HeadwayError, match=r"audit.broken.*witness of event 1 is missing"):
        verify_events(state, "flights")


def test_many_writers_make_one_chain(state: State) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: record(state), range(40)))
    assert len(verify_events(state, "flights", receipts)) == 40
    assert len(set(receipts)) == 40


def test_processes_that_write_at_the_same_time_make_one_chain(state: State) -> None:
    code = (
        "import sys; from headway.components._shared.audit import record_event; "
        "from headway.components._shared.state import State; "
        "[record_event(State(sys.argv[1]), 'flights', 'x', model_digest=None, evidence={}) for _ in range(15)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, state.uri]) for _ in range(3)]
    assert [writer.wait(100) for writer in writers] == [0, 0, 0]
    assert len(verify_events(state, "flights")) == 45


def test_an_event_costs_the_same_late_in_a_long_history(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_SEGMENT", 10)
    seen: list[int] = []

    class Counting(FolderStorage):
        def list(self, prefix: str = "") -> list[Stat]:
            found = super().list(prefix)
            seen.append(len(found))
            return found

        def stat(self, key: str) -> Stat | None:
            seen.append(1)
            return super().stat(key)

    for _ in range(205):
        record(state)
    monkeypatch.setattr(state, "storage", Counting(Path(state.uri)))
    record(state)
    assert sum(seen) <= 10 + 2 * 6
    assert len(verify_events(state, "flights")) == 206


def test_a_model_whose_next_numbers_are_always_taken_is_busy(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_ATTEMPTS", 3)
    monkeypatch.setattr(FolderStorage, "create", lambda *_: False)
    with pytest.raises(HeadwayError, match=r"audit.busy.*Run the step again"):
        record(state)


def test_an_event_that_is_no_json_shows(state: State) -> None:
    record(state)
    state.storage.write(keys(state)[0], b"nonsense")
    state.storage.delete(keys(state, "witnesses")[0])
    with pytest.raises(HeadwayError, match=r"audit.broken"):
        verify_events(state, "flights")


def test_events_are_plain_json_that_other_tools_can_read(state: State) -> None:
    record(state)
    assert json.loads(state.storage.read("events/flights/00000/00000001.json"))["schema_version"] == 1


def test_a_step_that_is_tried_again_records_its_decision_once(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(auc: float, reason: str) -> str:
        evidence = {"auc": auc, "reason": reason}
        return record_event(
            state, "flights", "verdict", model_digest="a" * 64, evidence=evidence, once_by=("run_id", "reason")
        )

    monkeypatch.setenv(RUN_ID_VARIABLE, "run-7")
    first = judge(0.7, "good")
    record(state)
    assert judge(0.71, "good") == first
    assert judge(0.71, "bad") != first
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-8")
    assert judge(0.7, "good") != first
    assert [event["action"] for event in verify_events(state, "flights")] == ["verdict", "registered", *["verdict"] * 2]


def test_writers_of_the_same_fact_at_the_same_time_leave_one_event(state: State) -> None:
    def register(version: int) -> str:
        evidence = {"version": version}
        return record_event(
            state, "flights", "registered", model_digest="a" * 64, evidence=evidence, once_by=("version",)
        )

    with ThreadPoolExecutor(6) as pool:
        receipts = list(pool.map(register, [1, 2] * 6))
    assert len(verify_events(state, "flights", receipts)) == len(set(receipts)) == 2
