"""The component of the room: the search for parameters."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from headway.components._shared.component import component


@component(image="tabular")
def tune_model(
    train_data: Input[Dataset],
    schema: Input[Artifact],
    tuning: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    estimator: str,
    params: dict[str, Any] = {},
    search_space: dict[str, Any] = {},
    study: dict[str, Any] = {},
    engine: str = "auto",
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Searches better parameters for an estimator, and says what they gain over the given ones.

    Trials are judged by cross-validation inside the training data. The first trial is always the baseline: `params`
    as they are. The same inputs, `study` and `seed` give the same parameters on any machine, in whatever order KFP
    passes a mapping; only `timeout` and `trial_timeout` can change that. `parallel` is part of the study: trial n
    learns from the trials up to n - `parallel`.

    Args:
        train_data: Rows to learn from, with a label in every row; the same dataset as train_model's.
        schema: Types and roles of the columns. A `time` column gives folds in order of time, else a `group` column
            folds without a group on both sides.
        estimator: Import path of a classifier or regressor with scikit-learn's interface.
        params: Parameters that every trial shares; the baseline has these and no others.
        search_space: Parameter to its values, such as `{"learning_rate": {"type": "double", "min": 0.01, "max": 0.3,
            "log": true}, "max_depth": {"type": "categorical", "list": [3, 6, null]}}`. Types: `double` and `int`
            (`min`, `max`, and `log` or `step`), `categorical` (`list`; numbers take the type that the estimator wants).
            Empty: only the baseline is judged.
        study: How to search: `trials` (16, the baseline included), `parallel` (2), `timeout` and `trial_timeout`
            (durations such as `30m`), `objective` (a scikit-learn scorer or an alias such as `rmse`), `cv`
            (`{"strategy": "auto|time|group|stratified|random", "folds": 3}`), `rows` (at most so many, evenly spaced
            in time), `class_weight` (as in train_model), `early_stopping` (`median` or `none`), `goal`,
            `max_failed_share` (0.5), `sampler` (`tpe`, `random`; with engine katib also `cmaes`, `sobol`), `confidence`
            (0.95), `resume` (true), `pods` (with engine katib: `image`, `cpu`, `memory`, `environment`, `secrets`,
            `volumes`, `node_selector`, ... of the trials' pods, where they differ from this step's).
        engine: `local` runs the trials in worker processes of this step; `katib` as pods of a Katib Experiment, which
            read their data from `state_uri`; `auto` takes Katib where it can be used and says which it took and why.
        seed: Seed of the suggestions, the folds and the estimator.
        state_uri: Folder, `gs://` or `s3://` prefix where the run's records are kept; finished trials too, so that a
            step that was killed goes on where it was.

    Returns:
        tuning: JSON file with the best parameters, their gain with an interval, every trial, and the digests of code
            and data that they hold for; an input of train_model.
        metrics: Best value, baseline value, gain, number of trials and of failed ones.
        report: What was gained and how far to trust it, the history, and the cause of every failure.
    """
    from headway.components.tuning.tune import tune

    tune(
        train_data,
        schema,
        tuning,
        metrics,
        report,
        estimator=estimator,
        params=params,
        search_space=search_space,
        study=study,
        engine=engine,
        seed=seed,
        state_uri=state_uri,
    )
