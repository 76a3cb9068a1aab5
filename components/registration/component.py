"""The components of the room: the champion, the registry, and the verdict as a condition."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Input, Model, Output

from headway.components._shared.component import component


@component(image="tabular")
def resolve_champion(
    champion: Output[Model],
    verdict: Output[Artifact],
    model_name: str,
    environment: str = "dev",
    tracking_uri: str = "auto",
    state_uri: Optional[str] = None,
) -> None:
    """Finds the model that is in service now, so that a new one can be compared with it.

    Always gives an artifact. The files are checked against the registry; a release that is gone or was changed is an
    error, never "no champion". Not cached: the champion changes without the inputs changing.

    Args:
        model_name: Name of the model: 2 to 31 of a-z, 0-9 and -.
        environment: `dev`, `staging` or `prod`; the champion is the alias `champion` of the registered model
            `ENVIRONMENT.MODEL_NAME`.
        tracking_uri: MLflow server or database; `auto` takes MLFLOW_TRACKING_URI, else a database in a local state
            folder. An unreachable one is an error after a few tries.
        state_uri: Folder or `gs://` prefix where the run's records are kept.

    Returns:
        champion: The champion's model folder, or a folder whose `headway.json` says that there is none, and why.
        verdict: The verdict that let it through: what was promised of it; or the record that there is none.
    """
    from headway.components.registration.champion import resolve

    resolve(
        champion,
        verdict,
        model_name=model_name,
        environment=environment,
        tracking_uri=tracking_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def register_model(
    model: Input[Model],
    verdict: Input[Artifact],
    registration: Output[Artifact],
    card: Output[HTML],
    model_name: str,
    environment: str = "dev",
    tracking_uri: str = "auto",
    intended_use: dict[str, Any] = {},
    state_uri: Optional[str] = None,
) -> None:
    """Releases a blessed model and gives it its version in the MLflow registry.

    The verdict is the door. Negative: nothing is released or registered, the step succeeds with the outcome `refused`.
    Missing, for another model, unsigned where signatures are required, or files changed since: an error. The same model
    again: `unchanged`, the same version. Also logs the run and its steps to MLflow and writes the model card.

    Args:
        model: The model that was evaluated.
        verdict: The verdict of evaluate_model about this very model.
        model_name: Name of the model: 2 to 31 of a-z, 0-9 and -.
        environment: `dev`, `staging` or `prod`; the registered model is `ENVIRONMENT.MODEL_NAME`, the new version gets
            the alias `challenger`.
        tracking_uri: MLflow server or database; `auto` takes MLFLOW_TRACKING_URI, else a database in a local state
            folder.
        intended_use: What the model is for, for its card: `purpose`, `owner`, `users` (texts), `limits`,
            `ethical_notes` (lists of texts).
        state_uri: Folder or `gs://` prefix where releases, audit events and run records are kept; needed.

    Returns:
        registration: JSON record: outcome (`registered`, `unchanged` or `refused`), reason, version, model digest,
            address of the release.
        card: The model card: what it is for, data, training, metrics with intervals, slices, gates, what to worry
            about, lineage, how to use it.
    """
    from headway.components.registration.register import register

    register(
        model,
        verdict,
        registration,
        card,
        model_name=model_name,
        environment=environment,
        tracking_uri=tracking_uri,
        intended_use=intended_use,
        state_uri=state_uri,
    )


@component(image="tabular")
def check_verdict(verdict: Input[Artifact]) -> bool:
    """Tells whether a verdict lets its model go on, for a condition in a pipeline.

    The suite's own pipelines need no such condition, since register_model and deploy_model ask the verdict themselves.

    Args:
        verdict: The verdict of evaluate_model.

    Returns:
        Whether the model is blessed.
    """
    from headway.components.registration.register import is_blessed

    return is_blessed(verdict)
