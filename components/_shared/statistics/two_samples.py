"""Two versions side by side, counted in windows: sequential tests of a difference that may be looked at at any time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.intervals import Interval

# How far beyond the doubted difference the alternatives lie: large effects are seen early, small ones at last.
_STAKES = 0.999 * 0.5 ** np.arange(8)
_NEVER = 1e-9
# How many requests a guess is worth.
_GUESSED = 10
_HALVINGS = 45
_PRECISION = 1e-4
_NEEDED_WINDOWS, _NEEDED_TESTS = 20, 60


class Window(NamedTuple):
    """What two versions did in the same minutes.

    Attributes:
        ours: Sum of our values; of a share, how many of our requests had it.
        our_count: Our requests.
        theirs: The same of the other version.
        their_count: Its requests.
    """

    ours: float
    our_count: float
    theirs: float
    their_count: float

    def swapped(self) -> Window:
        """The same from the other side."""
        return Window(self.theirs, self.their_count, self.ours, self.our_count)


Evidence = Callable[[Sequence[Window], float], Floats]


def share_evidence(windows: Sequence[Window], difference: float, guess: float = 0.05) -> Floats:
    """Logarithm of the evidence that our share is more than `difference` above theirs, after each window.

    In each window the likelihood under two shares, chosen from the windows before, is set against the likelihood under
    the nearest pair of shares (by Kullback-Leibler) that keeps the difference. That ratio has a mean of at most 1 under
    every pair that keeps it, so the product over the windows, averaged over several choices, ever reaches 1/alpha with
    a probability of at most alpha. Shares may change from window to window, as by day and night, so long as the
    difference is kept in each; the versions may have any number of requests.

    Turner and Grünwald, Anytime-valid confidence intervals for contingency tables and beyond, Statistics and
    Probability Letters 198 (2023), theorem 1; averaged over a grid of alternatives.

    Args:
        windows: In order; each has as many requests of each version as it happens to have.
        difference: Our share less theirs, above -1 and below 1.
        guess: Their share, as well as it is known before; a bad guess costs time and nothing else.
    """
    ours, n, theirs, m = _columns(windows)
    before, count = np.cumsum(theirs) - theirs, np.cumsum(m) - m
    known = np.clip((before + _GUESSED * guess) / (count + _GUESSED), _NEVER, 1 - _NEVER)
    room = np.maximum(0.0, 1 - difference - known)
    a = np.clip(known + difference + _STAKES[:, None] * room, _NEVER, 1 - _NEVER)
    b = np.broadcast_to(known, a.shape)
    near_b = _nearest(a, b, n, m, difference)
    near_a = near_b + difference
    ratio = ours * np.log(a / near_a) + (n - ours) * np.log((1 - a) / (1 - near_a))
    ratio += theirs * np.log(b / near_b) + (m - theirs) * np.log((1 - b) / (1 - near_b))
    wealth = np.cumsum(np.where(a - b > difference, ratio, 0.0), axis=1)
    return _averaged(wealth)


def mean_evidence(value_range: float) -> Evidence:
    """The same for means of values that lie within a range of this width: an average of Hoeffding's supermartingales.

    Howard, Ramdas, McAuliffe and Sekhon, Time-uniform Chernoff bounds via nonnegative supermartingales, Probability
    Surveys 17 (2020), section 3; each window weighs as much as its smaller half allows.
    """

    def evidence(windows: Sequence[Window], difference: float) -> Floats:
        ours, n, theirs, m = _columns(windows)
        weight = n * m / (n + m)
        stakes = (4 / value_range * _STAKES)[:, None]
        gained = np.cumsum(weight * (ours / n - theirs / m - difference))
        wealth = stakes * gained - stakes**2 * value_range**2 / 8 * np.cumsum(weight)
        return _averaged(wealth)

    return evidence


def difference_sequence(
    windows: Sequence[Window], evidence: Evidence, value_range: float = 1.0, *, confidence: float = 0.95
) -> Interval:
    """Interval of our mean less theirs that holds at all times at once; each end errs with half of 1 - confidence."""
    if not windows:
        return Interval(math.nan, -value_range, value_range)
    ours, n, theirs, m = _columns(windows)
    found = float(ours.sum() / n.sum() - theirs.sum() / m.sum())
    enough = math.log(2 / (1 - confidence))

    def end(given: Sequence[Window], start: float) -> float:
        """The largest difference that is put in doubt from above."""
        low, high = -value_range, start
        while high - low > _PRECISION * value_range:
            middle = (low + high) / 2
            if evidence(given, middle)[-1] >= enough:
                low = middle
            else:
                high = middle
        return low

    return Interval(found, end(windows, found), -end([window.swapped() for window in windows], -found))


def _nearest(a: Floats, b: Floats, n: Floats, m: Floats, difference: float) -> Floats:
    """Their share in the pair at this difference that is nearest to a and b."""
    low, high = np.full(a.shape, max(0.0, -difference)), np.full(a.shape, min(1.0, 1 - difference))
    for _ in range(_HALVINGS):
        found = (low + high) / 2
        other = found + difference
        slope = n * (other - a) / (other * (1 - other)) + m * (found - b) / (found * (1 - found))
        low, high = np.where(slope < 0, found, low), np.where(slope < 0, high, found)
    nearest: Floats = (low + high) / 2
    return nearest


def _averaged(wealth: Floats) -> Floats:
    """Logarithm of the average over the alternatives, after each window."""
    average: Floats = np.logaddexp.reduce(wealth, axis=0) - math.log(len(_STAKES))
    return average


def requests_needed(
    share: float, effect: float, limit: float, *, weight: float, confidence: float, cases: float = 0.8
) -> int:
    """Our requests with which such a share of tests has proven that our share is below theirs by more than `limit`.

    By simulation, with the same numbers for the same question.

    Args:
        share: Theirs.
        effect: By how much ours is truly below it, more than `limit`.
        limit: By how much it must be proven to be below it.
        weight: Our part of all requests, 0 to 1.
        confidence: Of the proof.
        cases: Share of the tests that shall have it by then.
    """
    ours, beyond = max(0.0, share - effect), effect - limit
    guess = 4 * max(share * (1 - share), beyond / 10) * math.log(len(_STAKES) / (1 - confidence)) / beyond**2
    n = math.ceil(guess / _NEEDED_WINDOWS)
    m, enough = max(1, round(n * (1 - weight) / weight)), -math.log(1 - confidence)
    rng, needed = np.random.default_rng(0), []
    for _ in range(_NEEDED_TESTS):
        counts = (rng.binomial(m, share, 4 * _NEEDED_WINDOWS), rng.binomial(n, ours, 4 * _NEEDED_WINDOWS))
        windows = [Window(a, m, b, n) for a, b in zip(*counts, strict=True)]
        proven = share_evidence(windows, limit, share) >= enough
        needed.append(n * (1 + int(np.argmax(proven)) if proven.any() else 4 * _NEEDED_WINDOWS))
    return int(np.quantile(needed, cases, method="higher"))


def means_needed(value_range: float, effect: float, limit: float, *, weight: float, confidence: float) -> int:
    """The same for means within a range: what the expected evidence takes, whatever the spread of the values."""
    wanted = value_range**2 * math.log(len(_STAKES) / (1 - confidence)) / (2 * (effect - limit) ** 2)
    return math.ceil(wanted / (1 - weight))


def _columns(windows: Sequence[Window]) -> tuple[Floats, Floats, Floats, Floats]:
    ours, n, theirs, m = np.asarray(windows, dtype=float).reshape(-1, 4).T
    return ours, n, theirs, m
