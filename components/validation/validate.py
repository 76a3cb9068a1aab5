"""The step `validate_data`: validates, writes everything down, keeps the score, and only then fails if it must."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared.artifacts import Artifact, Metrics, describe, show_metrics, write_document
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import BINNING, write_profile
from headway.components._shared.profiles.references import read_reference
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import write_schema
from headway.components._shared.state import State
from headway.components._shared.steps import decided, keep_report, step
from headway.components.validation import timeliness
from headway.components.validation.config import Checks
from headway.components.validation.contract import find_contract
from headway.components.validation.findings import Finding
from headway.components.validation.judge import Validation, validate
from headway.components.validation.report import write_report
from headway.components.validation.score import PastScore, keep_score, past_score, past_scores


@step("validate_data")
def validate_data(
    data: Artifact,
    schema: Artifact,
    profile: Artifact,
    findings: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    contract: Mapping[str, Any],
    checks: Mapping[str, Any],
    reference: Artifact | None = None,
    model_name: str | None = None,
    state_uri: str | None = None,
) -> None:
    """Holds a dataset against its contract, its reference and its clock; errors stop the pipeline."""
    asked = parse(Checks, checks, parameter="checks")
    dataset = open_dataset(data.path)
    curated, inferred = find_contract(contract, dataset)
    before = read_reference(reference.path) if reference is not None else None
    result = validate(dataset, curated, asked, inferred=inferred, reference=before)
    times = timeliness.time_column(result.schema, result.profile)
    end = timeliness.span(times)[1] if times else None
    entry = past_score(result.as_of, end, dataset.fingerprint, dataset.rows, result.score, result.findings)
    history = _remember(entry, result, dataset, model_name, state_uri)

    write_schema(result.schema, schema.path)
    write_profile(result.profile, profile.path)
    document = {
        "schema_version": 1,
        "quality_score": result.score,
        "rows": dataset.rows,
        "fingerprint": dataset.fingerprint,
        "schema_digest": result.schema.digest(),
        "findings": [finding.model_dump(mode="json") for finding in result.findings],
    }
    write_document(findings, document)
    write_report(report.path, result, dataset, history, before, getattr(schema, "uri", None) or schema.path)
    where = keep_report(report.path) or report.path

    curator = "inferred" if inferred else result.schema.curated_by or "nobody"
    describe(schema, digest=result.schema.digest(), curated_by=curator, columns=len(result.schema.columns))
    describe(profile, digest=result.profile.digest(), fingerprint=dataset.fingerprint, binning=BINNING)
    describe(findings, quality_score=result.score, rows=dataset.rows, decision=_counts(result))
    figures = {"quality_score": result.score, "errors": len(result.of("error")), "warnings": len(result.of("warning"))}
    show_metrics(metrics, {"rows": dataset.rows, **figures})
    told = [f"quality {result.score:.3f}", _counts(result) + _named(result.of("warning"))]
    decided(", ".join(told), rows=dataset.rows, **figures)
    _stop_on_errors(result, where)


def _remember(
    entry: PastScore, result: Validation, dataset: Dataset, model_name: str | None, state_uri: str | None
) -> list[PastScore]:
    """Keeps the score where there is a place for it; the history with it, oldest first."""
    if model_name is None or state_uri is None:
        return [entry]
    state = State(state_uri)
    checks = hashlib.sha256(result.checks.model_dump_json().encode()).hexdigest()
    keep_score(state, model_name, entry, dataset.fingerprint, result.schema.digest(), checks)
    return past_scores(state, model_name)


def _counts(result: Validation) -> str:
    return f"{counted(len(result.of('error')), 'error')}, {counted(len(result.of('warning')), 'warning')}"


def _named(findings: Sequence[Finding]) -> str:
    """The first few findings by check and column."""
    names = list(dict.fromkeys(f"{f.check} of {f.column}" if f.column else f.check for f in findings))
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _stop_on_errors(result: Validation, where: str) -> None:
    errors = result.of("error")
    if not errors:
        return
    first = " ".join(f"({finding.check}) {finding.message}" for finding in errors[:3])
    more = f" And {len(errors) - 3} more." if len(errors) > 3 else ""
    raise HeadwayError(
        "data.invalid",
        f"The data has {_counts(result)}. {first}{more} Report: {where}",
        remedy=f"{errors[0].remedy} What is an error, a warning or off is set in `checks`.",
    )
