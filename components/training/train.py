"""The step train_model: fits an estimator and writes it so that others can check, serve and reproduce it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    ModelManifest,
    describe,
    show_metrics,
    write_manifest,
)
from headway.components._shared.code import code_digest
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.objectives import find_objective
from headway.components._shared.estimators.paths import settled
from headway.components._shared.estimators.tunings import read_tuning
from headway.components._shared.profiles import profile_dataset, write_profile
from headway.components._shared.schemas import read_schema
from headway.components._shared.state import run_id
from headway.components._shared.steps import decided, step
from headway.components.training.fit import Recipe, fit, held_out
from headway.components.training.rows import read_rows
from headway.components.training.save import PROFILE, libraries, model_digest, model_folder, save_pipeline


@step("train_model")
def train(
    train_data: Artifact,
    schema: Artifact,
    model: Artifact,
    metrics: Metrics,
    *,
    estimator: str,
    params: Mapping[str, Any],
    class_weight: Mapping[str, Any],
    tuning: Artifact | None = None,
    accept_other_digest: bool = False,
    seed: int = 0,
    state_uri: str | None = None,  # noqa: ARG001 - `step` reads it
) -> None:
    """Fits an estimator on a dataset and writes it as an MLflow model folder; see the component's docstring."""
    dataset = open_dataset(train_data.path)
    contract = read_schema(schema.path)
    if tuning is not None:
        params = tuned_params(tuning.path, estimator, dataset.fingerprint, accept_other_digest=accept_other_digest)
    params = settled(estimator, params)
    recipe = Recipe(estimator, params, class_weight, int(seed))
    rows = read_rows(dataset, contract, classifier=recipe.classifier())
    started = time.monotonic()
    pipeline = fit(rows, recipe)
    seconds = time.monotonic() - started
    guesses = rows.task != "multiclass" or hasattr(pipeline, "predict_proba")
    objective = find_objective(None if guesses else "accuracy", rows.task)
    judged = held_out(rows, recipe, objective)
    digest, payload = model_digest(pipeline, rows)
    with model_folder(model.path) as folder:
        serialization = save_pipeline(pipeline, folder, rows)
        write_profile(profile_dataset(dataset, contract), folder / PROFILE)
        manifest = ModelManifest(
            model_digest=digest,
            payload_sha256=payload,
            task=rows.task,
            target=rows.target_name,
            classes=rows.classes,
            features=rows.inputs,
            schema_=contract,
            estimator=estimator,
            params=params,
            seed=int(seed),
            serialization=serialization,
            data_fingerprint=dataset.fingerprint,
            code_digest=code_digest(),
            libraries=libraries(pipeline),
            metrics={f"held_out_{objective.name}": judged.score} if judged else {},
            importance=judged.importance if judged else {},
            reference_profile=PROFILE,
            run_id=run_id(),
        )
        write_manifest(folder, manifest)
    describe(
        model,
        model_digest=digest,
        data_fingerprint=dataset.fingerprint,
        code_digest=manifest.code_digest,
        estimator=estimator,
        task=rows.task,
        rows=len(rows),
    )
    show_metrics(metrics, {"rows": len(rows), "features": len(rows.inputs), **manifest.metrics})
    says = f"{objective.name} {judged.score:.4f} on {judged.rows:,} held-out training rows" if judged else "not judged"
    silent = rows.silent()
    decided(
        f"{estimator.rpartition('.')[2]} on {len(rows.inputs)} features, fit in {seconds:.1f} s, {says}"
        + (f"; constant or empty: {', '.join(silent)}" if silent else ""),
        rows=len(rows),
        model_digest=digest,
        serialization=serialization,
        silent_features=silent,
        importance=manifest.importance,
    )


def tuned_params(path: str | Path, estimator: str, fingerprint: str, *, accept_other_digest: bool) -> dict[str, Any]:
    """The best parameters of a search over the same estimator, data and code.

    Raises:
        HeadwayError: `tuning.unreadable`, `training.tuned_other_estimator`, `training.tuned_elsewhere`.
    """
    result = read_tuning(path)
    if result.estimator != estimator:
        raise HeadwayError(
            "training.tuned_other_estimator",
            f"These parameters were tuned for {result.estimator}.",
            value=estimator,
            remedy="Give tune_model and train_model the same estimator.",
        )
    differs = [
        what
        for what, tuned, now in (
            ("code", result.code_digest, code_digest()),
            ("training data", result.data_fingerprint, fingerprint),
        )
        if tuned != now
    ]
    if differs and not accept_other_digest:
        raise HeadwayError(
            "training.tuned_elsewhere",
            f"These parameters were tuned with other {' and '.join(differs)}.",
            value=differs,
            remedy="Tune again on this data with this version, or set accept_other_digest if you mean it.",
        )
    return result.params
