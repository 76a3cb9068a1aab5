"""The pipeline `training`: from raw data to a registered challenger, or to a verdict that says why not."""

from types import SimpleNamespace
from typing import Any

from kfp import dsl

from headway.components import notify
from headway.pipelines.placement import place
from headway.pipelines.stages import learn


@dsl.pipeline(
    name="training",
    description="Ingests, validates, tunes, trains, evaluates against the champion, and registers what is blessed.",
)
def training(
    model_name: str,
    source: dict[str, Any],
    split: dict[str, Any],
    state_uri: str,
    contract: dict[str, Any] = {},
    checks: dict[str, Any] = {},
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    params: dict[str, Any] = {},
    class_weight: dict[str, Any] = {},
    search_space: dict[str, Any] = {},
    study: dict[str, Any] = {},
    gates: dict[str, Any] = {},
    evaluation: dict[str, Any] = {},
    intended_use: dict[str, Any] = {},
    alerts: dict[str, Any] = {},
    tuning_engine: str = "auto",
    environment: str = "dev",
    tracking_uri: str = "auto",
    seed: int = 0,
) -> None:
    """Trains, judges and registers a model.

    Args:
        model_name: The model's name everywhere: 2 to 31 of a-z, 0-9 and -, beginning with a letter.
        source: Where the data is and which part of it is wanted; see ingest_data.
        split: How train and test rows are parted; see split_data.
        state_uri: Folder or gs:// or s3:// prefix where the suite keeps releases, history, events and run records.
        contract: The Schema that the data must meet, or {"roles": {...}} with the target to infer one and warn.
        checks: Which data checks are errors, warnings or off, and their limits; see validate_data.
        estimator: Import path of a scikit-learn estimator.
        params: Baseline parameters of the estimator.
        class_weight: Weight of each class, or {"mode": "balanced"}; empty weighs all rows alike.
        search_space: Parameters to tune; empty keeps the baseline.
        study: Budget and objective of tuning; see tune_model.
        gates: What a model must show before it is registered; without gates nothing is.
        evaluation: Slices, costs and confidence of the evaluation; see evaluate_model.
        intended_use: What the model is for, for its card; see register_model.
        alerts: Who is told when a run fails; see notify.
        tuning_engine: Where tuning runs: auto, local or katib.
        environment: dev, staging or prod.
        tracking_uri: MLflow server; auto takes MLFLOW_TRACKING_URI, or SQLite beside a local state folder.
        seed: Seed of everything random.
    """
    with dsl.ExitHandler(place(notify(model_name=model_name, alerts=alerts, state_uri=state_uri))):
        learn(SimpleNamespace(**locals()))
