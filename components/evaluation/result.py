"""Everything that an evaluation found, as one value: the gates, the worries and the report are drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.statistics.blocks import Blocks
from headway.components._shared.statistics.calibration import Calibration
from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.statistics.metrics import CALIBRATION_ERROR, Metric, Outcomes, metrics_of
from headway.components._shared.statistics.slices import SliceResult, worst_of
from headway.components.evaluation.champion import Comparison
from headway.components.evaluation.classes import ClassResult
from headway.components.evaluation.config import Evaluation
from headway.components.evaluation.gates import WORST, Evidence
from headway.components.evaluation.groups import Gap
from headway.components.evaluation.measure import Measured
from headway.components.evaluation.speed import Speed
from headway.components.evaluation.threshold import Threshold


@dataclass(frozen=True)
class Result:
    """An evaluation.

    Attributes:
        manifest: The model's.
        data_fingerprint: Of the rows that it was measured on.
        settings: How it was measured.
        outcomes: What the model said, with labels by the threshold.
        span: Earliest and latest time of the rows.
        blocks: The dependence that intervals allow for; None for independent rows.
        primary: The leading metric.
        measured: Metrics over all rows.
        skills: Metric to its gain over the best constant prediction.
        classes: Precision and recall of each class; empty for regression.
        threshold: Of a binary model with probabilities.
        calibration: None without probabilities.
        slices: Metric to what it is in every slice; of the primary metric and those of the gates.
        slice_gains: Slice to the primary metric's gain over the champion there.
        gaps: Between groups.
        comparison: With the champion, or the words why there is none.
        speed: Latency and size.
        unseen: Feature to rows with a value that training never saw.
        golden: Rows with their predictions, to check a server of the model by.
    """

    manifest: ModelManifest
    data_fingerprint: str
    settings: Evaluation
    outcomes: Outcomes
    span: tuple[str, str] | None
    blocks: Blocks | None
    primary: Metric
    measured: Mapping[str, Measured]
    skills: Mapping[str, Difference]
    classes: Sequence[ClassResult]
    threshold: Threshold | None
    calibration: Calibration | None
    slices: Mapping[str, Sequence[SliceResult]]
    slice_gains: Mapping[str, Difference]
    gaps: Sequence[Gap]
    comparison: Comparison | str
    speed: Speed
    unseen: Mapping[str, int]
    golden: pl.DataFrame

    def evidence(self) -> Evidence:
        """What gates are held against."""
        metrics = {name: found.interval for name, found in self.measured.items()} | self.speed.metrics
        if self.calibration is not None and self.calibration.ece is not None:
            metrics[CALIBRATION_ERROR] = self.calibration.ece
        slices: dict[tuple[str, str], Interval] = {}
        worst: dict[str, str] = {}
        for name, results in self.slices.items():
            slices |= {(name, s.name): s.single for s in results if s.single is not None}
            found = worst_of(results, metrics_of(self.outcomes.task)[name])
            if found is not None:
                worst[name], slices[name, WORST] = found
        gaps = {(gap.metric, gap.column): gap for gap in self.gaps}
        told = self.comparison
        return Evidence(
            metrics,
            slices,
            {key: gap.interval for key, gap in gaps.items() if gap.interval is not None},
            {} if isinstance(told, str) else {name: gain.difference for name, gain in told.gains.items()},
            told if isinstance(told, str) else None,
            worst,
            {key: " and ".join(gap.widest) for key, gap in gaps.items() if gap.widest is not None},
        )
