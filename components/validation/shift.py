"""Compares a profile with the reference: shifts that are large enough to matter and not chance over all columns.

Effect size and significance answer different questions and a finding needs both: on a million rows every tiny
difference is significant, and on fifty rows chance alone looks large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.profiles.comparisons import binned, comparable
from headway.components._shared.statistics.homogeneity import benjamini_hochberg, homogeneity, psi, said
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft


@dataclass(frozen=True)
class Shift:
    """How one column differs from the reference.

    Attributes:
        column: Its name.
        psi: Population stability index, the sum of (p - q) ln(p / q) over bins, less what chance adds on average.
        p_value: Of a chi-square test of homogeneity over the same bins.
        adjusted: The p-value after Benjamini and Hochberg (1995) over all columns.
    """

    column: str
    psi: float
    p_value: float
    adjusted: float = 1.0


@dataclass(frozen=True)
class NullShift:
    """How a column's share of missing values differs.

    Attributes:
        column: Its name.
        reference: Share in the reference.
        current: Share now.
        p_value: Of a chi-square test of homogeneity.
        adjusted: The p-value after Benjamini and Hochberg over all columns.
    """

    column: str
    reference: float
    current: float
    p_value: float
    adjusted: float = 1.0


def compare(reference: Profile, current: Profile) -> tuple[list[Shift], list[NullShift]]:
    """Shifts of the columns that both profiles have with one type and binning kind; withheld columns are left out."""
    pairs = [(old, new) for new in current.columns if (old := reference.column(new.name)) and comparable(old, new)]
    shifts = [_shift(old, new) for old, new in pairs if old.values and new.values]
    nulls = [_null_shift(old, new) for old, new in pairs if old.rows and new.rows]
    return (
        [
            Shift(s.column, s.psi, s.p_value, adjusted)
            for s, adjusted in zip(shifts, benjamini_hochberg([s.p_value for s in shifts]), strict=True)
        ],
        [
            NullShift(s.column, s.reference, s.current, s.p_value, adjusted)
            for s, adjusted in zip(nulls, benjamini_hochberg([s.p_value for s in nulls]), strict=True)
        ],
    )


def drafts(shifts: Sequence[Shift], nulls: Sequence[NullShift], checks: Checks) -> Iterator[Draft]:
    """Findings out of the shifts that pass both limits."""
    for shift in shifts:
        if shift.psi >= checks.shift.min_psi and shift.adjusted <= checks.shift.false_discovery_rate:
            yield Draft(
                "shift",
                f"{shift.column!r} is distributed otherwise than in the reference: PSI {shift.psi:.3f} "
                f"(limit {checks.shift.min_psi:g}), adjusted p-value {said(shift.adjusted)}.",
                "Find out what changed; if the change is here to stay, train on newer rows.",
                column=shift.column,
            )
    for null in nulls:
        difference = null.current - null.reference
        limits = checks.null_shift
        if abs(difference) >= limits.min_difference and null.adjusted <= limits.false_discovery_rate:
            yield Draft(
                "null_shift",
                f"{null.current:.1%} of {null.column!r} is missing, against {null.reference:.1%} in the reference "
                f"(adjusted p-value {said(null.adjusted)}).",
                "Find out what changed in how the column is filled.",
                column=null.column,
                share=abs(difference),
            )


def _shift(reference: ColumnProfile, current: ColumnProfile) -> Shift:
    old, new = binned(reference, current)
    return Shift(current.name, psi(old, new), homogeneity(old, new))


def _null_shift(reference: ColumnProfile, current: ColumnProfile) -> NullShift:
    old, new = (np.array([c.nulls, c.rows - c.nulls], dtype=np.float64) for c in (reference, current))
    p_value = homogeneity(old, new)
    return NullShift(current.name, reference.nulls / reference.rows, current.nulls / current.rows, p_value)
