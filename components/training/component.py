"""The components of the room: how a model comes to be."""

from typing import Any, Optional

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from headway.components._shared.component import component


@component(image="tabular")
def train_model(
    train_data: Input[Dataset],
    schema: Input[Artifact],
    model: Output[Model],
    metrics: Output[Metrics],
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    params: dict[str, Any] = {},
    class_weight: dict[str, Any] = {},
    tuning: Input[Artifact] = None,
    accept_other_digest: bool = False,
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Fits an estimator on a dataset and writes it as an MLflow model that others can check, serve and reproduce.

    The same call with the same inputs gives the same model digest. Preprocessing lies inside the model: strings
    become categories, a category never seen counts as missing, and missing values are taken as they are or filled.

    Args:
        train_data: Rows to learn from, with the schema's columns and a label in every row.
        schema: Types and roles of the columns; exactly one has the role `target`, and columns without a role are
            the features.
        estimator: Import path of a classifier or regressor with scikit-learn's interface. XGBoost and LightGBM work
            in an image that holds them.
        params: Parameters of the estimator; unknown ones are refused. Whole numbers take the type that the estimator
            wants: 100.0 is 100 for `max_iter`, and 1 is 1.0 for `learning_rate`.
        class_weight: Weights of the classes: `{}` for equal ones, `{"mode": "balanced"}`, or a positive number for
            each label, as in `{"no": 1, "yes": 5}`.
        tuning: Result of tune_model; its best parameters take the place of `params`. Refused if it was made with
            another estimator, on other data or by other code.
        accept_other_digest: Accepts parameters that were tuned on other data or by other code.
        seed: Seed of everything random: the estimator's `random_state` and the importance estimate.
        state_uri: Folder or `gs://` prefix where the run's records are kept.

    Returns:
        model: MLflow model folder with signature, input example, pinned requirements, `headway.json` (who it is)
            and `profile.json` (reference statistics of its training data).
        metrics: Rows, features, and the usual objective on held-out training rows.
    """
    from headway.components.training.train import train

    train(
        train_data,
        schema,
        model,
        metrics,
        estimator=estimator,
        params=params,
        class_weight=class_weight,
        tuning=tuning,
        accept_other_digest=accept_other_digest,
        seed=seed,
        state_uri=state_uri,
    )


@component(image="tabular")
def adopt_model(
    model: Output[Model],
    schema: Input[Artifact],
    data: Input[Dataset],
    mlflow_uri: str,
    state_uri: Optional[str] = None,
) -> None:
    """Turns any MLflow model folder into a Model that the gates, the registry and the deployment accept.

    The model's signature is held against the schema, and the model is asked for real rows before it is accepted.
    Loading a model runs its code: adopt only what you trust.

    Args:
        schema: Types and roles of the columns; every input of the model must be a feature of it.
        data: Rows with the features and the target that stand for the model's training data: they give the
            reference profile and the labels.
        mlflow_uri: Where the model is: a folder with an `MLmodel` file, `models:/name@alias`, `runs:/id/model` (the
            server from MLFLOW_TRACKING_URI), or an address such as `gs://bucket/model`.
        state_uri: Folder or `gs://` prefix where the run's records are kept.

    Returns:
        model: The same MLflow model folder, with `headway.json` (who it is) and `profile.json` (reference statistics).
    """
    from headway.components.training.adopt import adopt

    adopt(model, schema, data, mlflow_uri=mlflow_uri, state_uri=state_uri)
