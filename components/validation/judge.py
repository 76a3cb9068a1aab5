"""Runs every check over a dataset and gathers what they saw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import Profile, profile_dataset
from headway.components._shared.schemas import Schema, columns_in
from headway.components._shared.times import now, parse_time
from headway.components.validation import distributions, expectations, leakage, shift, timeliness
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft, Finding, complete
from headway.components.validation.rules import apply
from headway.components.validation.score import quality_score
from headway.components.validation.shift import NullShift, Shift
from headway.components.validation.timeliness import Timeline


@dataclass(frozen=True)
class Validation:
    """What a validation saw.

    Attributes:
        schema: The contract, or what was inferred in its place.
        inferred: Whether it was inferred.
        profile: Of the contract's columns that are there.
        findings: The most severe first.
        score: Quality score, 0 to 1.
        shifts: Against the reference, one a comparable column; empty without a reference.
        null_shifts: Likewise for missing values.
        timeline: Rows over time, where the schema has a time.
        checks: The configuration.
        as_of: The present.
    """

    schema: Schema
    inferred: bool
    profile: Profile
    findings: tuple[Finding, ...]
    score: float
    shifts: tuple[Shift, ...]
    null_shifts: tuple[NullShift, ...]
    timeline: Timeline | None
    checks: Checks
    as_of: datetime

    def of(self, severity: str) -> list[Finding]:
        """Findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]


def validate(
    dataset: Dataset, contract: Schema, checks: Checks, *, inferred: bool = False, reference: Profile | None = None
) -> Validation:
    """Runs every check that is not off.

    Args:
        dataset: What is validated.
        contract: What it must meet.
        checks: Severities and limits.
        inferred: Whether the contract was inferred from this very data.
        reference: Profile of the data to compare with.
    """
    as_of = parse_time(checks.as_of) if checks.as_of else now()
    scan = dataset.scan()
    columns = columns_in(contract, dataset.columns)
    if not columns:
        raise HeadwayError(
            "data.other",
            "No column of the contract is in the data.",
            value=sorted(dataset.columns)[:20],
            remedy="Give the contract of this data, or ingest the data of this contract.",
        )
    profile = profile_dataset(dataset, Schema(columns=columns))
    times = timeliness.time_column(contract, profile)
    timeline = timeliness.timeline_of(scan, times, checks)
    shifts, nulls = shift.compare(reference, profile) if reference else ([], [])
    rules = [
        *expectations.rules(columns, profile),
        *distributions.rules(columns, profile, checks),
        *timeliness.rules(contract, profile, checks, as_of),
    ]
    drafts = [
        *_about_contract(inferred),
        *expectations.column_drafts(contract, dataset.columns),
        *apply(rules, scan, profile, checks),
        *distributions.drafts(columns, profile, scan, checks),
        *leakage.drafts(columns, profile, checks),
        *shift.drafts(shifts, nulls, checks),
        *timeliness.drafts(times, timeline, checks, as_of),
    ]
    findings = complete(drafts, scan, checks)
    score = quality_score([column.name for column in contract.columns], findings)
    return Validation(
        contract, inferred, profile, tuple(findings), score, tuple(shifts), tuple(nulls), timeline, checks, as_of
    )


def _about_contract(inferred: bool) -> list[Draft]:
    if not inferred:
        return []
    return [
        Draft(
            "contract",
            "No contract was given. The schema was inferred from this very data, which therefore meets it.",
            "Review the schema that this step wrote, say who stands for it, and give it as `contract`.",
            share=0.0,
        )
    ]
