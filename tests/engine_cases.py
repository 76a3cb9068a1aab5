"""What every tuning engine promises; a test class of an engine inherits these cases.

class TestMyEngine(EngineCases):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        ...
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components.tuning.config import SearchSpace, Study
from headway.components.tuning.engines import Engine, Search
from tests.tabular_samples import CLASSIFIER, customer_schema, customers, stored

SPACE: Mapping[str, Any] = {
    "learning_rate": {"type": "double", "min": 0.01, "max": 0.5, "log": True},
    "max_depth": {"type": "int", "min": 2, "max": 6},
}
FRAGILE = "tests.tabular_samples.Fragile"


class EngineCases:
    """Needs a fixture `engine`.

    Attributes:
        always: What every study of this engine says.
        trial_timeout: More than a trial needs, and short enough to wait for.
    """

    always: Mapping[str, Any] = {}
    trial_timeout = "15s"

    def another(self, engine: Engine) -> Engine:
        """One more engine of the same kind."""
        return type(engine)()

    def search(self, engine: Engine, folder: Path, space: Mapping[str, Any] = SPACE, **given: Any) -> list[Trial]:
        """Runs a search and gives its trials."""
        finished = given.pop("finished", {})
        keep = given.pop("keep", lambda _: None)
        deadline = given.pop("deadline", None)
        estimator = given.pop("estimator", CLASSIFIER)
        params = given.pop("params", {"max_iter": 5} if estimator == CLASSIFIER else {})
        study = parse(Study, {"trials": 3, "parallel": 2, **self.always, **given}, parameter="study")
        data, schema = stored(folder, customers(), customer_schema())
        spec = TrialSpec(
            data=data.path,
            schema_path=schema.path,
            estimator=estimator,
            params=params,
            searched=tuple(space),
            objective=study.objective,
            cv=study.cv,
            rows=study.rows,
        )
        with contextlib.closing(engine):
            search = Search(
                space=parse(SearchSpace, space, parameter="search_space").root,
                study=study,
                setting=engine.open(spec, study),
                finished=finished,
                keep=keep,
                deadline=deadline,
            )
            with contextlib.closing(engine.trials(search)) as trials:
                return list(trials)

    def test_the_baseline_comes_first_with_its_own_parameters(self, engine: Engine, tmp_path: Path) -> None:
        trials = self.search(engine, tmp_path)
        assert [trial.number for trial in trials] == [0, 1, 2]
        assert trials[0].params == {"max_iter": 5}
        for trial in trials[1:]:
            assert trial.params["max_iter"] == 5
            assert 0.01 <= trial.params["learning_rate"] <= 0.5
            assert trial.params["max_depth"] in range(2, 7)

    def test_the_value_is_the_mean_over_all_folds(self, engine: Engine, tmp_path: Path) -> None:
        for trial in self.search(engine, tmp_path, early_stopping="none"):
            assert trial.state == "succeeded"
            assert trial.value == pytest.approx(math.fsum(trial.folds) / 3)

    def test_an_empty_space_gives_the_baseline_only(self, engine: Engine, tmp_path: Path) -> None:
        assert [trial.number for trial in self.search(engine, tmp_path, {})] == [0]

    def test_no_parameters_are_tried_twice_and_a_small_space_ends_the_search(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        trials = self.search(engine, tmp_path, {"max_depth": {"type": "categorical", "list": [2, 3, None]}}, trials=9)
        assert sorted(str(trial.params.get("max_depth")) for trial in trials) == ["2", "3", "None"]

    def test_every_trial_is_kept_as_soon_as_it_ends(self, engine: Engine, tmp_path: Path) -> None:
        kept: list[Trial] = []
        trials = self.search(engine, tmp_path, keep=kept.append)
        assert sorted(kept, key=lambda trial: trial.number) == trials

    def test_finished_trials_are_adopted_and_the_course_stays_the_same(self, engine: Engine, tmp_path: Path) -> None:
        whole = self.search(engine, tmp_path)
        kept: list[Trial] = []
        again = self.search(
            self.another(engine), tmp_path, finished={trial.number: trial for trial in whole[:2]}, keep=kept.append
        )
        assert [trial.params for trial in again] == [trial.params for trial in whole]
        assert [trial.folds for trial in again] == [trial.folds for trial in whole]
        assert sorted(trial.number for trial in kept) == [2]

    def test_a_failed_trial_keeps_its_cause_and_the_search_goes_on(self, engine: Engine, tmp_path: Path) -> None:
        causes = {
            "raise": "tests.tabular_samples.Fragile could not be fitted: this one cannot be fitted",
            "not finite": "cannot be measured on fold 1",
            "die": "its process ended with exit code 3: last words",
            "hang": "it did not answer in time",
        }
        space = {"behaviour": {"type": "categorical", "list": ["fine", *causes]}}
        given: dict[str, Any] = {"estimator": FRAGILE, "trial_timeout": self.trial_timeout, "objective": "log_loss"}
        trials = self.search(engine, tmp_path, space, trials=9, **given)
        assert {trial.params.get("behaviour") for trial in trials} == {None, "fine", *causes}
        for trial in trials:
            cause = causes.get(trial.params.get("behaviour", "fine"))
            assert trial.state == ("failed" if cause else "succeeded")
            assert (trial.value is None) == bool(cause)
            assert (cause or "") in (trial.cause or "")

    def test_nothing_goes_on_after_the_deadline(self, engine: Engine, tmp_path: Path) -> None:
        space = {"behaviour": {"type": "categorical", "list": ["fine", "hang"]}}
        begun = time.monotonic()
        trials = self.search(engine, tmp_path, space, estimator=FRAGILE, deadline=begun + 12)
        assert time.monotonic() - begun < 25
        assert all(trial.params.get("behaviour") != "hang" for trial in trials)

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({"space": {"max_deep": {"type": "int", "min": 1, "max": 2}}}, "estimator.parameter_unknown"),
            ({"estimator": "sklearn.ensemble.Nothing"}, "estimator.unknown"),
            ({"objective": "beauty"}, "objective.unknown"),
            ({"objective": "rmse"}, "objective.unfit"),
            ({"cv": {"strategy": "group"}}, "tuning.cv_impossible"),
            ({"params": {"max_iter": -1}}, "estimator.parameter_invalid"),
        ],
    )
    def test_what_cannot_be_searched_is_refused_before_anything_runs(
        self, engine: Engine, tmp_path: Path, given: dict[str, Any], code: str
    ) -> None:
        with pytest.raises(HeadwayError) as caught:
            self.search(engine, tmp_path, **{"parallel": 1, **given})
        assert caught.value.code == code
