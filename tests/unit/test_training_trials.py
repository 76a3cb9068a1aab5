"""Trials outside the tuning step: `python -m headway.components.training`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.code import code_digest
from headway.components._shared.datasets import open_dataset
from headway.components._shared.estimators.trials import CrossValidation, TrialSpec
from headway.components.training.__main__ import main
from headway.components.training.trials import Trials
from headway.components.tuning.katib.experiment import SHORTEST_TRIAL_S
from headway.components.tuning.katib.stage import Stage
from tests.engine_cases import FRAGILE
from tests.tabular_samples import CLASSIFIER, customer_schema, customers, stored


def spec_of(folder: Path, **given: Any) -> TrialSpec:
    data, schema = stored(folder, customers(), customer_schema())
    settings = {"estimator": CLASSIFIER, "params": {"max_iter": 5}, **given}
    return TrialSpec(data=data.path, schema_path=schema.path, **settings)


def run(folder: Path, spec: TrialSpec, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    (folder / "spec.json").write_text(spec.model_dump_json())
    metrics = folder / "out" / "metrics.jsonl"
    code = main(["trial", "--spec", str(folder / "spec.json"), "--metrics", str(metrics), *arguments])
    return code, [json.loads(line) for line in metrics.read_text().splitlines()]


def test_a_trial_reports_the_mean_so_far_as_text_with_the_digests(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    code, lines = run(
        tmp_path, spec, "--double", "learning_rate=0.2", "--int", "max_depth=3", "--choice", "warm_start=false"
    )
    trials = Trials(spec)
    folds = [trials.score({"learning_rate": 0.2, "max_depth": 3, "warm_start": False}, fold) for fold in range(3)]
    assert code == 0
    assert [line["roc_auc"] for line in lines] == [repr(sum(folds[: n + 1]) / (n + 1)) for n in range(3)]
    assert all(isinstance(value, str) for line in lines for value in line.values())
    assert {line["code_digest"] for line in lines} == {code_digest()}
    assert {line["data_fingerprint"] for line in lines} == {open_dataset(spec.data).fingerprint}


@pytest.mark.parametrize(
    ("given", "code"),
    [({"code_digest": "other"}, "trial.other_code"), ({"data_fingerprint": "other"}, "trial.other_data")],
)
def test_a_trial_with_other_code_or_data_than_its_step_reports_no_number_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, str], code: str
) -> None:
    spec = spec_of(tmp_path)
    same = {"code_digest": code_digest(), "data_fingerprint": open_dataset(spec.data).fingerprint}
    assert run(tmp_path, spec.model_copy(update={**same, **given})) == (1, [])
    assert f"[{code}]" in capsys.readouterr().err


def test_a_trial_reads_what_its_step_has_staged_and_finds_the_same_code_and_data(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    expected = {"code_digest": code_digest(), "data_fingerprint": open_dataset(spec.data).fingerprint}
    Stage(str(tmp_path / "stage")).put(spec.model_copy(update=expected))
    metrics = tmp_path / "metrics.jsonl"
    assert main(["trial", "--spec", f"{tmp_path}/stage/spec.json", "--metrics", str(metrics)]) == 0
    assert len(metrics.read_text().splitlines()) == 3


def test_a_short_trial_stays_for_as_long_as_katibs_collector_needs(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert run(tmp_path, spec_of(tmp_path), "--at-least", str(SHORTEST_TRIAL_S))[0] == 0
    assert time.monotonic() - begun >= SHORTEST_TRIAL_S


def test_a_trial_that_cannot_be_judged_reports_no_number_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of(tmp_path, estimator=FRAGILE, params={"behaviour": "not finite"}, objective="log_loss")
    code, lines = run(tmp_path, spec)
    assert (code, lines) == (1, [])
    assert "log_loss cannot be measured on fold 1" in capsys.readouterr().err


def test_the_sample_is_the_same_every_time_and_keeps_the_order(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, rows=120, cv=CrossValidation(folds=4))
    one, two = Trials(spec), Trials(spec)
    assert one.setting == two.setting
    assert (one.setting.rows, one.setting.available, one.setting.folds) == (120, 400, 4)
    assert one.score({}, 3) == two.score({}, 3)


def test_a_worker_ends_when_its_parent_is_gone_even_in_the_middle_of_a_fit(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, estimator=FRAGILE, params={"behaviour": "hang"}, objective="log_loss")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    worker = subprocess.Popen(
        [sys.executable, "-m", "headway.components.training", "worker", "--spec", str(tmp_path / "spec.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert "setting" in json.loads(worker.stdout.readline())
    worker.stdin.write(json.dumps({"params": {}, "fold": 0}) + "\n")
    worker.stdin.flush()
    time.sleep(0.5)
    assert worker.poll() is None
    worker.stdin.close()
    assert worker.wait(timeout=10) == 0
    worker.stdout.close()
