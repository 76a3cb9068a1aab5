"""Do two samples come from one distribution: effect size, significance, and significance over many columns at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.components._shared.statistics.estimates import Floats

MIN_EXPECTED = 5.0  # rows expected in each cell of a chi-square test


def psi(reference: Floats, current: Floats) -> float:
    """Population stability index of two vectors of counts over the same bins, without the bias of small samples.

    Empty cells count as half a row. Where nothing shifted, the expectation is about (bins - 1) (1/n + 1/m) for
    n and m rows (Yurdakul 2018); it is taken off, and what is left is at least 0.
    """
    n, m = float(reference.sum()), float(current.sum())
    p, q = (reference + 0.5) / (n + 0.5 * reference.size), (current + 0.5) / (m + 0.5 * current.size)
    index = float(((p - q) * np.log(p / q)).sum())
    return max(0.0, index - (reference.size - 1) * (1 / n + 1 / m))


def homogeneity(reference: Floats, current: Floats) -> float:
    """p-value of two vectors of counts coming from one distribution.

    Pearson's chi-square test (1900) over the bins in which at least 5 rows are expected of the smaller sample; the
    other bins, joined, by an exact binomial test; both by Bonferroni.
    """
    from scipy.special import bdtr, bdtrc, chdtrc

    n, m = reference.sum(), current.sum()
    pooled = reference + current
    small = pooled * min(n, m) / (n + m) < MIN_EXPECTED
    table = np.stack([np.append(counts[~small], counts[small].sum()) for counts in (reference, current)])
    expected = np.outer([n, m], table.sum(axis=0)) / (n + m)
    enough = expected.min(axis=0) >= 1
    statistic = ((table - expected)[:, enough] ** 2 / expected[:, enough]).sum()
    chi_square = float(chdtrc(enough.sum() - 1, statistic)) if enough.sum() > 1 else 1.0
    if not small.any():
        return chi_square
    rows, seen, share = int(pooled[small].sum()), float(current[small].sum()), m / (n + m)
    at_least = 1.0 if seen == 0 else float(bdtrc(seen - 1, rows, share))
    exact = min(1.0, 2 * min(at_least, float(bdtr(seen, rows, share))))
    return min(1.0, 2 * min(chi_square, exact))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that a limit on them bounds the expected share of false findings (1995)."""
    count = len(p_values)
    adjusted, running = [0.0] * count, 1.0
    for rank, place in sorted(enumerate(sorted(range(count), key=p_values.__getitem__), start=1), reverse=True):
        running = min(running, p_values[place] * (count / rank))
        adjusted[place] = running
    return adjusted


def said(p_value: float) -> str:
    """A p-value for people: beyond one in a trillion digits mean nothing."""
    return "below 1e-12" if p_value < 1e-12 else f"{p_value:.2g}"
