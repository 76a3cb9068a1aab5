"""The engine katib through whole searches, on an API server in this process."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.code import code_digest
from headway.components._shared.config import parse
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.tunings import Trial, TuningResult
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.times import format_time, now
from headway.components.tuning.config import Study
from headway.components.tuning.katib import engine as katib_engine
from headway.components.tuning.katib import trials as katib_trials
from headway.components.tuning.katib.engine import KatibEngine, reason_against_katib
from headway.components.tuning.katib.experiment import ALIVE
from headway.components.tuning.memory import Memory
from tests.katib_api import Asked, KatibApi, katib_api
from tests.unit.test_tuning import ROOT, refused, tuned

pytestmark = pytest.mark.network

LONG_AGO = "2026-01-01T00:00:00Z"
CRASH = "\n".join(f"line {number} of its log" for number in range(30))


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KatibApi]:
    assert KatibEngine.__init__.__kwdefaults__
    monkeypatch.setitem(KatibEngine.__init__.__kwdefaults__, "poll_s", 0.02)
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-1")
    with katib_api(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield api


def searched(folder: Path, **given: Any) -> tuple[TuningResult, str]:
    """Runs the step on the engine katib: its result and report."""
    state = str(folder / "state")
    pods = {"image": "image:1", "volumes": [{"path": state, "claim": "c"}], "patience": "60s"}
    study = {"trials": 4, "sampler": "random", "pods": pods, **given.pop("study", {})}
    result, _, report = tuned(folder, engine="katib", study=study, state_uri=state, **given)
    return result, report


def vanish(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """A search whose step is killed before it deletes anything."""
    with monkeypatch.context() as patch:
        patch.setattr(KatibEngine, "close", lambda _: None)
        searched(folder, **given)


def test_every_trials_record_holds_the_digests_of_code_and_data(api: KatibApi, tmp_path: Path) -> None:
    staged: list[dict[str, Any]] = []

    def look(asked: Asked) -> None:
        if asked.method == "PATCH" and asked.plural == "jobs":
            (spec,) = tmp_path.glob("state/trials/*/spec.json")
            staged.append(json.loads(spec.read_text()))

    api.on = look
    result, _ = searched(tmp_path)
    kept = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("state/runs/run-1/tuning/*/*.json"))]
    assert [trial["number"] for trial in kept] == [trial.number for trial in result.trials] == [0, 1, 2, 3]
    for record in [*staged, *kept, *(trial.model_dump() for trial in result.trials)]:
        assert record["code_digest"] == code_digest()
        assert record["data_fingerprint"] == open_dataset(tmp_path / "data").fingerprint
    assert len(staged) == 1


@pytest.mark.parametrize("count", [4, 5])
def test_what_ends_while_the_step_looks_is_seen_with_its_evidence(api: KatibApi, tmp_path: Path, count: int) -> None:
    """Between any two requests: the baseline, a trial, the last trial together with the experiment."""
    result, _ = searched(tmp_path, study={"trials": count})
    assert [trial.state for trial in result.trials] == ["succeeded"] * count
    assert not api.objects


@pytest.mark.parametrize("which", ["one", "all"])
def test_the_last_lines_of_a_failed_trials_log_are_in_the_report_before_anything_is_deleted(
    api: KatibApi, tmp_path: Path, which: str
) -> None:
    """Of a search that finds something, and of one that is given up."""
    report = tmp_path / "report.html"
    there: list[str] = []

    def look(asked: Asked) -> None:
        if asked.method == "DELETE":
            there.append(report.read_text() if report.exists() else "")

    api.judge = lambda number: CRASH if number == 2 or which == "all" else (0.6, 0.6, 0.6)
    api.on = look
    if which == "one":
        searched(tmp_path)
    else:
        assert refused(lambda: searched(tmp_path)).startswith("tuning.too_many_failed")
    assert there
    for text in there:
        assert "its process ended with exit code 1: line 29 of its log" in text
        assert "line 10 of its log\nline 11 of its log\n" in text
        assert "line 9 of its log" not in text


def test_an_experiment_that_fails_for_no_trials_sake_is_told_in_katibs_words(api: KatibApi, tmp_path: Path) -> None:
    api.failure = "Suggestion has failed"
    condition = {"type": "Failed", "status": "True", "message": "random_state must be a number"}
    told = {"metadata": {"name": "s"}, "status": {"conditions": [condition]}}

    def add_suggestion(asked: Asked) -> None:
        for name in [name for plural, name in api.objects if plural == "experiments"]:
            api.objects["suggestions", name] = told

    api.on = add_suggestion
    says = refused(lambda: searched(tmp_path))
    assert says.startswith("tuning.experiment_failed")
    assert "gave the experiment" in says
    assert "Suggestion has failed; random_state must be a number." in says
    assert "study.sampler" in says
    assert "Suggestion has failed" in (tmp_path / "report.html").read_text()


def test_an_experiment_that_fails_for_its_trials_leaves_the_decision_to_the_search(
    api: KatibApi, tmp_path: Path
) -> None:
    api.judge = lambda number: "broken" if number else (0.6, 0.6, 0.6)
    says = refused(lambda: searched(tmp_path, study={"max_failed_share": 0.5}))
    assert says.startswith("tuning.too_many_failed")
    api.started.clear()
    result, _ = searched(tmp_path, study={"max_failed_share": 1.0})
    assert [trial.state for trial in result.trials] == ["succeeded", "failed", "failed", "failed"]


def test_first_trials_that_fail_alike_but_for_a_number_end_the_search(api: KatibApi, tmp_path: Path) -> None:
    api.judge = lambda number: f"rate must be under 1, got {1.5 * number + 2}"
    says = refused(lambda: searched(tmp_path, study={"trials": 12, "max_failed_share": 1.0}))
    assert says.startswith("tuning.too_many_failed")
    assert "The first 3 trials failed alike: its process ended with exit code 1: rate must be under 1, got 2.0." in says
    assert len(api.started) < 8


def test_what_a_vanished_step_has_left_is_swept_where_katib_made_no_experiment_too(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"max_depth": {"type": "categorical", "list": [2, 3]}}
    staged = tmp_path / "state" / "trials"
    vanish(tmp_path, monkeypatch, search_space=space)
    left = [job["metadata"] for job in api.all("jobs")]
    assert len(left) == 3
    assert not api.all("experiments")

    def next_run(name: str) -> list[Any]:
        monkeypatch.setenv("HEADWAY_RUN_ID", name)
        searched(tmp_path, search_space={})
        assert list(staged.rglob("*.json")) or not api.all("jobs")
        return api.all("jobs")

    assert len(next_run("run-2")) == 3, "it may be between two signs of life"
    for job in left:
        job["creationTimestamp"] = LONG_AGO
    left[0]["annotations"] = {ALIVE: format_time(now())}
    assert len(next_run("run-3")) == 3
    left[0]["annotations"] = {ALIVE: LONG_AGO}
    assert not next_run("run-4")
    assert not list(staged.rglob("*.*"))


def test_data_that_a_step_had_no_time_to_remove_is_removed_by_a_later_search(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to end, a step deletes its search and no more; a run that is deleted takes its search along."""
    vanish(tmp_path, monkeypatch)
    api.objects.clear()
    (left,) = (tmp_path / "state" / "trials").iterdir()

    def next_run(name: str) -> None:
        monkeypatch.setenv("HEADWAY_RUN_ID", name)
        searched(tmp_path, search_space={})

    next_run("run-2")
    assert (left / "spec.json").exists(), "another namespace's step may be at work on it"
    old = time.time() - 2 * 3600
    for file in left.rglob("*.*"):
        os.utime(file, (old, old))
    (left / "alive").touch()
    next_run("run-3")
    assert (left / "spec.json").exists(), "its step says that it lives"
    os.utime(left / "alive", (old, old))
    next_run("run-4")
    assert not [path for path in left.rglob("*") if path.is_file()]


def test_a_search_that_is_not_to_be_resumed_does_not_go_on_with_what_runs(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanish(tmp_path, monkeypatch)
    before = {found["metadata"]["uid"] for found in api.all("experiments")}
    seen: set[str] = set()

    def look(asked: Asked) -> None:
        seen.update(found["metadata"]["uid"] for found in api.all("experiments"))

    first = len(api.started)
    result, _ = searched(tmp_path, study={"trials": 4, "resume": False})
    assert len(api.started) == 2 * first
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3]
    assert before
    assert not before & seen


def test_trials_that_failed_for_something_that_is_gone_are_run_again(api: KatibApi, tmp_path: Path) -> None:
    """A retry has the same parameters, so what failed would fail it again at once."""
    api.judge = lambda number: "the store is away" if number else (0.6, 0.6, 0.6)
    given = {"study": {"trials": 8, "max_failed_share": 0.25}}
    assert refused(lambda: searched(tmp_path, **given)).startswith("tuning.too_many_failed")
    api.judge = lambda _: (0.6, 0.6, 0.6)
    result, _ = searched(tmp_path, **given)
    assert [trial.state for trial in result.trials] == ["succeeded"] * 8
    again, _ = searched(tmp_path, **given)
    assert again.trials == result.trials


def test_without_a_run_no_search_takes_anothers_trials(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADWAY_RUN_ID")
    searched(tmp_path)
    first = len(api.started)
    searched(tmp_path)
    assert len(api.started) == 2 * first
    assert not [*(tmp_path / "state" / "runs").rglob("tuning/*/*.json")]


def test_told_to_end_a_search_of_jobs_deletes_those_that_run_and_not_those_that_are_over(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[KatibEngine] = []
    seen: list[int] = []
    opened = KatibEngine.open

    def open_(engine: KatibEngine, *given: Any) -> Any:
        engines.append(engine)
        return opened(engine, *given)

    def look(asked: Asked) -> None:
        if asked.method == "PATCH" and asked.plural == "jobs":
            seen.append(len(engines[0]._started))

    monkeypatch.setattr(KatibEngine, "open", open_)
    api.on = look
    space = {"max_depth": {"type": "categorical", "list": [2, 3, 4, 5]}}
    result, _ = searched(tmp_path, search_space=space, study={"trials": 6, "parallel": 2})
    assert len(result.trials) == len(seen) == 5
    assert max(seen) == 2
    assert engines[0]._started == []


def test_auto_does_not_take_an_outage_for_a_cluster_without_katib(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(katib_engine, "in_cluster", lambda: True)
    assert Cluster.__init__.__kwdefaults__
    monkeypatch.setitem(Cluster.__init__.__kwdefaults__, "patience_s", 0.1)
    study, state = parse(Study, {"pods": {"image": "image:1"}}, parameter="study"), "s3://bucket/state"
    assert reason_against_katib(study, state) is None
    api.faults += [500] * 50
    with pytest.raises(HeadwayError, match=r"kubernetes.failing"):
        reason_against_katib(study, state)
    api.faults.clear()
    api.katib = False
    assert "Katib cannot be used" in str(reason_against_katib(study, state))


def test_an_experiment_that_goes_on_without_its_step_is_swept_all_the_same(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanish(tmp_path, monkeypatch)
    (experiment,) = api.all("experiments")
    experiment["metadata"]["annotations"][ALIVE] = LONG_AGO
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-2")
    searched(tmp_path, search_space={})
    assert not api.objects


def test_a_step_says_that_it_lives_while_its_jobs_run(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(katib_trials, "HEARTBEAT_S", 0.1)
    said: list[str] = []

    def look(asked: Asked) -> None:
        said.extend(job["metadata"].get("annotations", {}).get(ALIVE, "") for job in api.all("jobs"))
        api.pending = "" if any(said) else "it takes its time"

    api.pending, api.on = "it takes its time", look
    searched(tmp_path, search_space={})
    assert any(said)


@pytest.mark.parametrize("search_ends", ["well", "badly"])
def test_a_search_that_cannot_be_deleted_ends_as_it_would_have(
    api: KatibApi, tmp_path: Path, search_ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_to_delete(asked: Asked) -> None:
        if asked.method == "DELETE":
            api.faults.append(403)

    api.on = refuse_to_delete
    if search_ends == "well":
        assert len(searched(tmp_path)[0].trials) == 4
    else:
        api.judge = lambda _: CRASH
        assert refused(lambda: searched(tmp_path)).startswith("tuning.too_many_failed")
    assert "is left for a next search to delete: This step's account may not delete" in caplog.text


def test_a_search_that_was_left_running_is_adopted_and_its_trials_are_not_run_again(
    api: KatibApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Killed(BaseException):
        pass

    keep = Memory.keep

    def kill(memory: Memory, trial: Trial) -> None:
        if trial.number == 2:
            raise _Killed
        keep(memory, trial)

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "keep", kill)
        with pytest.raises(_Killed):
            vanish(tmp_path, patch)
    (before,) = [found["metadata"]["uid"] for found in api.all("experiments")]
    seen = set()

    def look(asked: Asked) -> None:
        seen.update(found["metadata"]["uid"] for found in api.all("experiments"))

    api.on = look
    result, _ = searched(tmp_path)
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3]
    assert seen == {before}
    assert len(api.started) == 4


def test_sigterm_needs_one_request_on_an_open_connection(api: KatibApi, tmp_path: Path) -> None:
    """The process is killed as soon as that request is there."""
    program = (
        "import sys; from pathlib import Path; from tests.unit.test_tuning_search import searched\n"
        "searched(Path(sys.argv[1]), study={'trials': 500})"
    )
    api.on = lambda _: time.sleep(0.01)
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL) as step:
        while not api.all("trials"):
            assert step.poll() is None
            time.sleep(0.05)
        told = len(api.asked)

        def kill(asked: Asked) -> None:
            if asked.method == "DELETE":
                os.kill(step.pid, signal.SIGKILL)

        api.on = kill
        step.send_signal(signal.SIGTERM)
        assert step.wait(10) == -signal.SIGKILL
    first = next(number for number, asked in enumerate(api.asked) if asked.method == "DELETE")
    assert api.asked[first].plural == "experiments"
    assert api.asked[first].port in {asked.port for asked in api.asked[:told]}
    assert not api.all("experiments") + api.all("trials")


def test_trials_that_begin_or_wait_are_told_with_the_reason(
    api: KatibApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks = itertools.count()

    def free_a_node(asked: Asked) -> None:
        look = next(looks) if asked.plural == "pods" else 0
        if look == 3:
            api.all("pods")[0]["status"] = {"phase": "Running"}
        elif look == 6:
            api.pending = ""

    api.pending, api.on = "0/1 nodes are available: Insufficient cpu", free_a_node
    searched(tmp_path, search_space={})
    (name,) = api.started
    told = [f"{name} waits: 0/1 nodes are available: Insufficient cpu", f"{name} runs", "baseline roc_auc 0.6 ("]
    assert [what for message in caplog.messages for what in told if what in message] == told


def test_a_search_outlives_an_api_server_with_bad_minutes(api: KatibApi, tmp_path: Path) -> None:
    """Every fifth request is answered 500 or 429, or it is done and the connection cut before the client knows."""
    undisturbed, _ = searched(tmp_path / "undisturbed")
    faults = itertools.cycle([500, 429, 0])

    def disturb(asked: Asked) -> None:
        if len(api.asked) % 5 == 0:
            api.faults.append(next(faults))

    api.on = disturb
    result, _ = searched(tmp_path / "disturbed")
    assert [(t.params, t.state, t.folds) for t in result.trials] == [
        (t.params, t.state, t.folds) for t in undisturbed.trials
    ]
    assert len(api.started) == 8
    assert not api.objects


def test_a_cluster_without_katib_is_named(api: KatibApi, tmp_path: Path) -> None:
    api.katib = False
    says = refused(lambda: searched(tmp_path))
    assert says.startswith("tuning.katib_missing")
    assert "Install Katib, or use engine local" in says
    assert not [asked for asked in api.asked if asked.method == "PATCH"]
