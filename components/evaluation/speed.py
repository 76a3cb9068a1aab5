"""How long a model takes to answer, and how large it is on disk."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from headway.components._shared.estimators import LoadedModel
from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.intervals import Interval, quantile_interval

BATCH_ROWS = 1000
TAIL = 0.99
# Timing stops here even when calls are left, so that a slow model does not hold up its evaluation.
MAX_SECONDS = 60.0
OPERATIONAL = {
    "latency_p50_ms": "Median time of one prediction of one row, in this process.",
    "latency_p99_ms": "99 % quantile of the same.",
    "batch_ms": f"Median time of one prediction of {BATCH_ROWS:,} rows.",
    "size_mb": "Size of the model folder, in millions of bytes.",
}


@dataclass(frozen=True)
class Speed:
    """Times of predictions in this process, on this machine, with one thread unless a variable says otherwise.

    Attributes:
        metrics: The names of `OPERATIONAL` to intervals.
        calls: Predictions of one row that were timed.
    """

    metrics: dict[str, Interval]
    calls: int


def time_model(model: LoadedModel, frame: pl.DataFrame, folder: Path, *, calls: int, confidence: float) -> Speed:
    """Times single rows and batches after a warm-up; quantiles have distribution-free intervals.

    An upper end that so few calls cannot bound is infinite.
    """
    model.predict(frame[:1])
    deadline = time.perf_counter() + MAX_SECONDS
    spread = np.linspace(0, frame.height - 1, calls).astype(int).tolist()
    single: list[float] = []
    for row in spread:
        single.append(_milliseconds(model, frame[row : row + 1]))
        if time.perf_counter() > deadline and len(single) >= 20:
            break
    batch = frame[:BATCH_ROWS] if frame.height >= BATCH_ROWS else pl.concat([frame] * (BATCH_ROWS // frame.height + 1))
    several = np.array([_milliseconds(model, batch[:BATCH_ROWS]) for _ in range(7)])
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    times = np.array(single)
    return Speed(
        {
            "latency_p50_ms": latency_quantile(times, 0.5, confidence),
            "latency_p99_ms": latency_quantile(times, TAIL, confidence),
            "batch_ms": latency_quantile(several, 0.5, confidence),
            "size_mb": Interval(size, size, size),
        },
        len(single),
    )


def calls_to_bound_tail(confidence: float) -> int:
    """Calls without which nothing bounds the 99 % quantile from above: 368 for a confidence of 0.95."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(TAIL))


def latency_quantile(times: Floats, share: float, confidence: float) -> Interval:
    """A quantile of times that are independent of each other; infinite above where so few do not bound it."""
    found = quantile_interval(times, share, confidence=confidence)
    return replace(found, low=max(found.low, 0.0))


def _milliseconds(model: LoadedModel, frame: pl.DataFrame) -> float:
    started = time.perf_counter()
    model.predict(frame)
    return (time.perf_counter() - started) * 1000
