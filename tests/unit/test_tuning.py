"""The step tune_model: what it decides, what it refuses, and that nothing of it is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.code import code_digest
from headway.components._shared.config import parse
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.tunings import TuningResult, read_tuning
from headway.components.tuning.config import SearchSpace, Study
from headway.components.tuning.engines import choose_engine
from headway.components.tuning.tune import tune
from tests.engine_cases import FRAGILE, SPACE
from tests.tabular_samples import CLASSIFIER, REGRESSOR, customer_schema, customers, stored, trained

ROOT = Path(__file__).parents[2]


def tuned(folder: Path, **given: Any) -> tuple[TuningResult, LocalArtifact, str]:
    """Runs the step on small data: the result, its artifact, and the report."""
    frame, schema = given.pop("frame", customers()), given.pop("schema", customer_schema())
    study = {"trials": 3, "parallel": 2, **given.pop("study", {})}
    data, contract = stored(folder, frame, schema)
    tuning, metrics, report = (LocalArtifact(str(folder / name)) for name in ("tuning.json", "metrics", "report.html"))
    settings: Mapping[str, Any] = {"estimator": CLASSIFIER, "params": {"max_iter": 5}, "search_space": SPACE, **given}
    tune(data, contract, tuning, metrics, report, study=study, **settings)
    tuning.metadata["metrics"] = metrics.metadata
    return read_tuning(tuning.path), tuning, Path(report.path).read_text()


def refused(run: Callable[[], object]) -> str:
    with pytest.raises(HeadwayError) as caught:
        run()
    return f"{caught.value.code}: {caught.value}"


# What it decides


def test_the_result_holds_the_best_trial_the_digests_and_the_gain(tmp_path: Path) -> None:
    result, tuning, report = tuned(tmp_path)
    values = [trial.value for trial in result.trials if trial.value is not None]
    assert result.best_value == max(values)
    assert result.params == result.trials[result.best_trial].params
    assert result.code_digest == code_digest()
    assert result.data_fingerprint == open_dataset(tmp_path / "data").fingerprint
    assert result.objective == "roc_auc"
    assert "3 folds in order of time" in result.cv
    assert tuning.metadata["trials"] == 3
    assert tuning.metadata["metrics"]["best_value"] == result.best_value
    assert "What was gained" in report
    heads = [name.replace("_", "_<wbr>") for name in SPACE]
    assert all(f'<th scope="col" class="num">{head}</th>' in report for head in heads), "numbers stand at the right"
    assert "example.org" not in report


PERMUTED = """
import json, sys
from pathlib import Path
from tests.tabular_samples import trained
from tests.unit.test_tuning import tuned

def turned(value):
    return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

given = json.loads(sys.argv[2])
result, artifact, _ = tuned(Path(sys.argv[1]), **(turned(given) if sys.argv[3] == "turned" else given))
print(json.dumps(result.model_dump(mode="json", exclude={"trials": {"__all__": {"seconds"}}})))
print(trained(Path(sys.argv[1]), tuning=artifact)[1].model_digest)
"""


def test_the_same_call_gives_the_same_result_and_model_however_kfp_passes_its_mappings(tmp_path: Path) -> None:
    given = {
        "params": {"max_iter": 5, "l2_regularization": 1.0, "max_bins": 64},
        "search_space": {
            "learning_rate": {"type": "double", "min": 0.01, "max": 0.5, "log": True},
            "max_depth": {"type": "int", "min": 2, "max": 6},
            "min_samples_leaf": {"type": "categorical", "list": [5, 10, 20]},
            "max_features": {"type": "categorical", "list": [0.5, 1.0]},
        },
        "study": {
            "trials": 8,
            "parallel": 2,
            "cv": {"strategy": "stratified", "folds": 2},
            "class_weight": {"False": 1, "True": 2},
        },
    }
    as_floats = json.loads(json.dumps(given), parse_int=float)
    said = [
        subprocess.run(
            [sys.executable, "-c", PERMUTED, str(tmp_path / order), json.dumps(call), order],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for order, call, hash_seed in (("given", given, "1"), ("turned", as_floats, "2"))
    ]
    assert said[0] == said[1]
    trials = json.loads(said[0][0])["trials"]
    assert len({json.dumps(trial["params"]) for trial in trials}) == 8
    assert {type(trial["params"].get("min_samples_leaf", 5)) for trial in trials} == {int}


def test_a_search_that_learns_nothing_takes_the_same_course_with_any_number_of_workers(tmp_path: Path) -> None:
    study: dict[str, Any] = {"trials": 5, "sampler": "random", "early_stopping": "none"}
    courses = [
        [(t.params, t.folds) for t in tuned(tmp_path / str(n), study={**study, "parallel": n})[0].trials]
        for n in (1, 2)
    ]
    assert courses[0] == courses[1]


def test_parameters_are_told_in_the_estimators_own_types(tmp_path: Path) -> None:
    space = {"max_depth": {"type": "categorical", "list": [2.0, 3.0, None]}}
    result, _, report = tuned(tmp_path, params={"max_iter": 5.0, "learning_rate": 1}, search_space=space)
    assert repr(result.trials[0].params) == "{'learning_rate': 1.0, 'max_iter': 5}"
    assert {repr(trial.params["max_depth"]) for trial in result.trials[1:]} <= {"2", "3", "None"}
    assert '"max_iter": 5.0' not in (tmp_path / "tuning.json").read_text()
    assert "max_iter&quot;: 5.0" not in report
    assert "max_iter&quot;: 5" in report


def test_training_takes_the_result(tmp_path: Path) -> None:
    result, tuning, _ = tuned(tmp_path, study={"trials": 2, "parallel": 1})
    assert trained(tmp_path, tuning=tuning)[1].params == result.params


def test_an_empty_space_judges_the_baseline_and_says_so(tmp_path: Path) -> None:
    result, _, report = tuned(tmp_path, search_space={})
    assert result.params == {"max_iter": 5}
    assert result.gain is None
    assert result.reason.startswith("empty search space: only the baseline was judged")
    assert "Nothing to search" in report


def test_errors_are_minimised_in_their_natural_unit(tmp_path: Path) -> None:
    result, _, _ = tuned(
        tmp_path, estimator=REGRESSOR, schema=customer_schema("spend"), study={"parallel": 1, "trials": 2}
    )
    assert (result.objective, result.direction) == ("rmse", "minimize")
    values = [trial.value for trial in result.trials if trial.value is not None]
    assert result.best_value == min(values) > 0


def test_the_search_ends_at_the_goal(tmp_path: Path) -> None:
    result, _, _ = tuned(tmp_path, study={"goal": 0.5, "parallel": 1, "trials": 50})
    assert len(result.trials) == 1
    assert "ended at the goal 0.5" in result.reason


def test_the_timeout_ends_the_search_with_what_is_there(tmp_path: Path) -> None:
    space = {"behaviour": {"type": "categorical", "list": ["fine", "hang"]}}
    result, _, _ = tuned(
        tmp_path, estimator=FRAGILE, params={}, search_space=space, study={"timeout": "12s", "parallel": 1}
    )
    assert result.trials[0].state == "succeeded"
    assert "ended by the timeout of 12s after" in result.reason


def test_a_failed_trial_is_in_the_report_with_its_cause(tmp_path: Path) -> None:
    space = {"behaviour": {"type": "categorical", "list": ["fine", "raise"]}}
    result, _, report = tuned(tmp_path, estimator=FRAGILE, params={}, search_space=space, study={"parallel": 1})
    assert sum(trial.state == "failed" for trial in result.trials) == 1
    assert "this one cannot be fitted" in report


def test_a_bound_on_rows_takes_them_evenly_over_time(tmp_path: Path) -> None:
    result, _, report = tuned(tmp_path, search_space={}, study={"rows": 100})
    assert result.rows == 100
    assert "100 of 400" in report


@pytest.mark.parametrize(
    ("schema", "strategy", "words"),
    [
        (customer_schema(), "auto", "in order of time"),
        (customer_schema(signed=("label_time",), contract=("group",)), "auto", "no group on both sides"),
        (customer_schema(signed=("label_time",)), "auto", "every class in its share"),
        (customer_schema(), "random", "drawn at random"),
    ],
)
def test_folds_are_made_as_the_schema_allows(tmp_path: Path, schema: Any, strategy: str, words: str) -> None:
    frame = customers().with_columns(contract=pl.col("id").str.slice(-2))
    result, _, _ = tuned(tmp_path, frame=frame, schema=schema, search_space={}, study={"cv": {"strategy": strategy}})
    assert words in result.cv


# What it refuses


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"type": "double", "min": 0.5, "max": 0.1}, "search_space.x: min 0.5 is over max 0.1"),
        ({"type": "int", "min": 5, "max": 1}, "min 5 is over max 1"),
        ({"type": "double", "min": 0, "max": 1, "log": True}, "log needs a min over 0, not 0"),
        ({"type": "double", "min": -1, "max": 1, "log": True}, "log needs a min over 0, not -1"),
        ({"type": "categorical", "list": []}, "list is empty"),
        ({"type": "categorical"}, "list is empty"),
        ({"type": "categorical", "list": [1, 1]}, "names a value twice"),
        ({"type": "categorical", "list": [1], "min": 0}, "a categorical parameter has a list, and no min"),
        ({"type": "double", "min": 0}, "needs min and max"),
        ({"type": "double", "list": [1]}, "has min and max, and no list"),
        ({"type": "int", "min": 0.5, "max": 2}, "must be whole numbers"),
        ({"type": "int", "min": 1, "max": 8, "log": True, "step": 2}, "log and step exclude each other"),
        ({"type": "double", "min": 0, "max": float("inf")}, "must be finite"),
        ({"type": "double", "min": 0, "max": 1, "step": 0}, "greater than 0"),
        ({"type": "float", "min": 0, "max": 1}, "search_space.x.type"),
        ({"type": "double", "min": 0, "max": 1, "distribution": "uniform"}, "search_space.x.distribution"),
        ("between 0 and 1", "search_space.x"),
    ],
)
def test_a_senseless_space_is_named(parameter: object, message: str) -> None:
    says = refused(lambda: parse(SearchSpace, {"x": parameter}, parameter="search_space"))
    assert says.startswith("config.invalid")
    assert message in says


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"trials": 0}, "study.trials"),
        ({"timeout": "soon"}, "soon"),
        ({"cv": {"folds": 1}}, "study.cv.folds"),
        ({"sampler": "grid"}, "study.sampler"),
        ({"trails": 3}, "study.trails"),
    ],
)
def test_a_senseless_study_is_named(study: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: parse(Study, study, parameter="study"))


def test_whole_numbers_may_come_as_floats() -> None:
    study = parse(Study, {"trials": 8.0, "parallel": 2.0, "cv": {"folds": 3.0}}, parameter="study")
    assert (study.trials, study.cv.folds) == (8, 3)


def test_an_unknown_parameter_of_the_estimator_is_named(tmp_path: Path) -> None:
    space = {"max_deep": {"type": "int", "min": 1, "max": 3}}
    says = refused(lambda: tuned(tmp_path, search_space=space))
    assert says.startswith("estimator.parameter_unknown")
    assert "'max_deep'" in says
    assert "Did you mean 'max_depth'?" in says


def test_class_weights_that_do_not_fit_are_refused_before_any_trial(tmp_path: Path) -> None:
    says = refused(lambda: tuned(tmp_path, study={"class_weight": {"False": 1, "True": -2}}))
    assert says.startswith("training.class_weight_invalid")
    assert "the weight of 'True' is -2, not a positive number" in says


def test_classes_that_the_folds_tear_apart_are_named(tmp_path: Path) -> None:
    frame = customers().with_columns(plan=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("rare")).otherwise("plan"))
    given: dict[str, Any] = {"frame": frame, "schema": customer_schema("plan"), "search_space": {}}
    says = refused(lambda: tuned(tmp_path, **given))
    assert says.startswith("tuning.too_many_failed")
    assert "No trial succeeded: log_loss cannot be measured on fold 1: class 'rare' has rows on one side" in says


def test_bad_data_is_named_as_in_training(tmp_path: Path) -> None:
    says = refused(lambda: tuned(tmp_path, frame=customers().with_columns(churned=pl.lit(True))))
    assert says.startswith("training.one_class")


def test_an_unknown_objective_is_named_with_likely_ones(tmp_path: Path) -> None:
    says = refused(lambda: tuned(tmp_path, study={"objective": "roc_uac"}))
    assert says.startswith("objective.unknown")
    assert "roc_auc" in says


def test_the_engine_is_chosen_and_said() -> None:
    study = Study()
    assert choose_engine("auto", study, None)[1] == "engine local: this step runs in no cluster"
    assert choose_engine("katib", study, None)[1] == "engine katib, as asked"
    assert refused(lambda: choose_engine("spark", study, None)).startswith("tuning.engine_unknown")
    sobol = Study(sampler="sobol")
    assert refused(lambda: choose_engine("local", sobol, None)).startswith("tuning.sampler_unavailable")


def test_a_hopeless_search_ends_early_and_leaves_its_report(tmp_path: Path) -> None:
    given: dict[str, Any] = {"estimator": FRAGILE, "params": {"behaviour": "raise"}, "search_space": {}}
    says = refused(lambda: tuned(tmp_path, **given))
    assert says.startswith("tuning.too_many_failed")
    assert "No trial succeeded" in says
    assert "this one cannot be fitted" in (tmp_path / "report.html").read_text()


def test_first_trials_that_fail_for_different_causes_do_not(tmp_path: Path) -> None:
    causes = ["die", "not finite", "raise"]
    study = {"trials": 4, "max_failed_share": 1.0, "sampler": "random", "parallel": 1, "objective": "log_loss"}
    space = {"behaviour": {"type": "categorical", "list": ["die", "fine", "not finite"]}}
    given = {"estimator": FRAGILE, "params": {"behaviour": "raise"}, "search_space": space, "study": study, "seed": 0}
    result, _, report = tuned(tmp_path, **given)
    assert sorted(str(trial.params["behaviour"]) for trial in result.trials[:3]) == causes
    assert result.trials[3].state == "succeeded"
    assert "last words</code></pre>" in report


def test_too_many_failures_end_the_search(tmp_path: Path) -> None:
    space = {"behaviour": {"type": "categorical", "list": ["raise", "not finite"]}}
    study = {"max_failed_share": 0.2, "parallel": 1, "objective": "log_loss"}
    says = refused(lambda: tuned(tmp_path, estimator=FRAGILE, params={}, search_space=space, study=study))
    assert says.startswith("tuning.too_many_failed")
    assert "1 of the first 2 trials failed" in says


# Killed and run again


def test_a_killed_search_goes_on_where_it_was_and_decides_the_same(tmp_path: Path) -> None:
    undisturbed, _, _ = tuned(tmp_path / "undisturbed", study={"trials": 5})
    state = tmp_path / "state"
    script = (
        "import sys; from pathlib import Path; from tests.unit.test_tuning import tuned;"
        "tuned(Path(sys.argv[1]), study={'trials': 5}, state_uri=sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), str(state)]
    environment = {**os.environ, "HEADWAY_RUN_ID": "run-1"}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    kept = _wait_for_trials(state, 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (tmp_path / "killed" / "tuning.json").exists()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "of an earlier try" in again.stderr
    result = read_tuning(tmp_path / "killed" / "tuning.json")
    assert [t.params for t in result.trials] == [t.params for t in undisturbed.trials]
    assert [t.folds for t in result.trials] == [t.folds for t in undisturbed.trials]
    for path, before in kept.items():
        assert path.read_bytes() == before
        seconds = json.loads(before)["seconds"]
        assert seconds in [t.seconds for t in result.trials]


def test_another_search_in_the_same_run_adopts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-1")
    given: dict[str, Any] = {"search_space": {}, "state_uri": str(tmp_path / "state")}
    tuned(tmp_path, **given)
    tuned(tmp_path, **given)
    assert len(list(tmp_path.glob("state/runs/run-1/tuning/*/0000.json"))) == 1
    tuned(tmp_path, params={"max_iter": 6}, **given)
    assert len(list(tmp_path.glob("state/runs/run-1/tuning/*/0000.json"))) == 2


def _wait_for_trials(state: Path, count: int) -> dict[Path, bytes]:
    for _ in range(1200):
        found = sorted(state.glob("runs/run-1/tuning/*/*.json"))
        if len(found) >= count:
            return {path: path.read_bytes() for path in found}
        time.sleep(0.05)
    raise AssertionError("no trial was finished in a minute")
