"""The components of the room: how a model's inputs and answers fare once it is in use."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from headway.components._shared.component import component


@component(image="tabular")
def detect_drift(
    data: Input[Dataset],
    reference: Input[Artifact],
    findings: Output[Artifact],
    profile: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    drift: dict[str, Any] = {},
    before: Input[Artifact] = None,
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Says which columns of a window differ from what the model has learned from: by how much, and not by chance.

    Needs no training data: its profile travels with the model. A difference counts when it reaches its limit and is
    significant over everything that was tested; so a tiny shift of a million rows is none, and a real one of 300 is.

    Args:
        data: Rows of the window, with the model's features; other columns are ignored.
        reference: A Model, of which the features are looked at, weighed by their importance; or a Profile.
        drift: Measures and limits, see the JSON Schema `Drift`: `numbers` (measure of numbers, `wasserstein`),
            `categories` (`jensen_shannon`), `limits` (measure to limit, 0.1 each), `columns` (name to `measure`,
            `limit` or `ignore`), `false_discovery_rate` (0.01), `missing` (0.05), `outside` (0.01), `min_rows` (30),
            `classifier` (`min_auc` 0.6, `confidence`, `min_rows`; or none).
        before: Profile of the window before; with it, the report says what has changed since.
        seed: Of the classifier; nothing else depends on it.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        findings: JSON: every measure of every column, what was found, the drifted share, how well all features together
            tell the window from the reference, and what could not be compared.
        profile: Profile of the window; the `before` of the next one, and mergeable.
        metrics: Rows, drifted columns, drifted share (by importance), separation (AUC).
        report: What differs, with both distributions, and how it was judged.
    """
    from headway.components.monitoring.drift.detect import detect_drift as run

    run(
        data,
        reference,
        findings,
        profile,
        metrics,
        report,
        drift=drift,
        before=before,
        seed=seed,
        state_uri=state_uri,
    )
