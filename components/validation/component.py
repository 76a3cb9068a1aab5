"""The components of the room: whether data is what it is supposed to be."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from headway.components._shared.component import component


@component(image="tabular")
def infer_schema(
    data: Input[Dataset],
    schema: Output[Artifact],
    difference: Output[Artifact],
    report: Output[HTML],
    roles: dict[str, Any] = {},
    current: dict[str, Any] = {},
    state_uri: Optional[str] = None,
) -> None:
    """Proposes a schema for data that has none yet, or what to change in the current one.

    Proposes types, roles, missing values, domains of strings with at most 20 values, and ranges widened by half of
    their width. A proposal is for people to review: nobody stands for it (`curated_by` is empty).

    Args:
        data: Rows to look at.
        roles: Role (`id`, `time`, `label_time`, `target`, `group`, `entity`, `subject`, `personal`) to the column, or
            the list of columns, that play it. A column with any role is no feature. A column named `id` is the id
            unless another is named.
        current: The current schema as a mapping. With it, its expectations are kept where the data meets them.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        schema: The proposed Schema, one JSON file; the current one where it fits.
        difference: JSON with `changes`: column, what it says, what the data needs. Empty without a current schema.
        report: What is proposed, column by column, for a review.
    """
    from headway.components.validation.infer import infer_schema as run

    run(data, schema, difference, report, roles=roles, current=current, state_uri=state_uri)


@component(image="tabular")
def validate_data(
    data: Input[Dataset],
    schema: Output[Artifact],
    profile: Output[Artifact],
    findings: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    contract: dict[str, Any] = {},
    checks: dict[str, Any] = {},
    reference: Input[Artifact] = None,
    model_name: Optional[str] = None,
    state_uri: Optional[str] = None,
) -> None:
    """Holds data against its contract, its reference and its clock; errors stop the pipeline, warnings do not.

    Args:
        data: Rows to validate.
        contract: The Schema that the data must meet: as a mapping with `columns`, or `{"uri": ..., "sha256": ...}` of a
            JSON or YAML file. Without one, a schema is inferred (with `{"roles": {...}}` given that way) and a warning
            says so. Columns without a role are the features; one with the role `group` keeps its rows together in
            cross-validation and in intervals, and is not learned from.
        checks: Check to its severity (`error`, `warning`, `info`, `off`), or to a mapping with `severity` and limits,
            such as `{"nulls": "warning", "shift": {"min_psi": 0.1}}`; `as_of` and `examples`. See the JSON Schema
            `Checks`.
        reference: A Profile, or a Model, whose training data this data is compared with.
        model_name: Keeps the quality score in the history of this model; needs `state_uri`.
        state_uri: Folder or `gs://` or `s3://` prefix of the history and of the run's records and reports.

    Returns:
        schema: The Schema that was used, one JSON file.
        profile: Mergeable statistics of the contract's columns, one JSON file.
        findings: JSON with `quality_score` and `findings`: check, severity, column, count, positions of example rows,
            message and remedy.
        metrics: Quality score (0 to 1), rows, errors and warnings.
        report: What was checked and found, column by column, past scores, and what to do.
    """
    from headway.components.validation.validate import validate_data as run

    run(
        data,
        schema,
        profile,
        findings,
        metrics,
        report,
        contract=contract,
        checks=checks,
        reference=reference,
        model_name=model_name,
        state_uri=state_uri,
    )
