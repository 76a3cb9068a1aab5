"""`headway run` as a shell sees it: what it says, how it exits, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from headway.components._shared.state import State
from headway.pipelines.cli.parameters import read_parameters

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "headway.pipelines.cli"]


def parameter_file(folder, pipeline="delivery", **changes):
    parameters = read_parameters(ROOT / "pipelines/demos/churn/delivery.yaml", folder / "data").parameters
    parameters = {**parameters, "study": {**parameters["study"], "trials": 2}, **changes}
    path = folder / "churn.yaml"
    path.write_text(yaml.safe_dump({"pipeline": pipeline, "parameters": parameters}))
    return path


def start(path, home):
    return subprocess.Popen(
        [*COMMAND, "run", "delivery", "--params", path, "--home", home],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def processes_of(home):
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(home / "artifacts").encode() in entry.read_bytes():
                found.append((entry.parent / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return found


def read_until(process, text):
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} was never said: {said}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_goes_on_after_a_run_was_stopped(tmp_path, number):
    home = tmp_path / "home"
    run = start(parameter_file(tmp_path), home)
    read_until(run, "done  validate_data")
    time.sleep(1)
    assert processes_of(home)
    run.send_signal(number)
    said = run.stdout.read()
    code = run.wait(10)
    deadline = time.monotonic() + 5
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(home) == []
    assert not (home / "state/releases").exists()
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
        return
    assert code == 128 + number
    assert "ended the run\n      remedy: start it again" in said
    page = next((home / "state/runs").glob("*/index.html")).read_text()
    assert "ended the run." in page
    assert "run.stopped" in page


def test_a_refused_model_is_told_and_changes_the_exit_code_when_asked(tmp_path):
    gates = {"impossible": {"kind": "metric", "metric": "roc_auc", "at_least": 0.9999}}
    path = parameter_file(tmp_path, "training", gates=gates)
    home = tmp_path / "home"
    asked = [*COMMAND, "run", "training", "--params", path, "--home", home]
    plain = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert "\nregistered nothing\nreport " in plain.stdout
    strict = subprocess.run([*asked, "--fail-if-refused"], capture_output=True, text=True, check=False)
    assert "computed anew" not in plain.stdout
    assert strict.returncode == 3, strict.stdout + strict.stderr
    assert not State(str(home / "state")).storage.list("releases")


def test_results_of_other_code_are_not_adopted_and_that_is_said(tmp_path):
    (tmp_path / "empty.csv").write_text("id,target\n")
    path = parameter_file(tmp_path, source={"uris": [str(tmp_path / "empty.csv")]})
    (tmp_path / "home/cache/0123456789abcdef").mkdir(parents=True)
    asked = [*COMMAND, "run", "delivery", "--params", path, "--home", tmp_path / "home"]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "every step is computed anew" in ran.stdout
    assert ran.returncode == 1
    assert "code:   data.empty" in ran.stdout


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_a_home_that_cannot_be_written_is_named(tmp_path, command):
    (tmp_path / "file").write_text("")
    asked = ["churn"] if command == "demo" else ["delivery", "--params", parameter_file(tmp_path)]
    ran = subprocess.run(
        [*COMMAND, command, *asked, "--home", tmp_path / "file/home"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("error [state.unusable] The folder ")


def test_a_step_whose_state_cannot_be_written_ends_with_that_message(tmp_path):
    (tmp_path / "file").write_text("")
    script = "import sys; from headway.components._shared.steps import step\n"
    script += "@step('ingest_data')\ndef work(state_uri): raise SystemExit('worked')\nwork(state_uri=sys.argv[1])"
    environment = {**os.environ, "HEADWAY_RUN_ID": "r1", "_KFP_RUNTIME": "true"}
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "file/state"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("[state.unusable] The folder ")
