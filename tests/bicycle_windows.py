"""Quarters of a year of bicycles as windows: what detect_drift makes of them, with the first quarter as reference."""

from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.profiles import profile_dataset, write_profile
from headway.components._shared.schemas import Column, Schema, type_of
from headway.components.monitoring.drift.detect import detect_drift
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.evidently.report import report_to_evidently
from tests.real_rows import bikeshare

COLUMNS = ("temp", "windspeed", "weathersit", "hr", "bikers")
QUARTERS = {1: ("2011-04-01", "2011-07-01"), 2: ("2011-07-01", "2011-10-01")}


def bicycle_windows(folder: Path) -> dict[int, "Window"]:
    """Quarter to window."""
    rows = bikeshare()
    reference = rows.filter(pl.col("quarter") == 0).select(COLUMNS)
    columns = tuple(Column(name=name, type=type_of(reference.schema[name])) for name in COLUMNS)
    write_dataset({"rows": reference}, folder / "reference")
    write_profile(profile_dataset(open_dataset(folder / "reference"), Schema(columns=columns)), folder / "known.json")
    made = {}
    for quarter in QUARTERS:
        write_dataset({"rows": rows.filter(pl.col("quarter") == quarter).select(COLUMNS)}, folder / f"rows-{quarter}")
        made[quarter] = Window(folder, quarter)
    return made


class Window:
    """The inputs of one window."""

    def __init__(self, folder, quarter):
        self.reference = LocalArtifact(str(folder / "known.json"))
        self.findings = LocalArtifact(str(folder / f"findings-{quarter}.json"))
        self.profile = LocalArtifact(str(folder / f"profile-{quarter}.json"))
        outputs = (self.findings, self.profile, LocalArtifact(str(folder / "m")), LocalArtifact(str(folder / "r.html")))
        detect_drift(LocalArtifact(str(folder / f"rows-{quarter}")), self.reference, *outputs, drift={})
        self.span = dict(zip(("start", "end"), QUARTERS[quarter], strict=True))
        self.result = DriftResult.model_validate_json(Path(self.findings.path).read_bytes())

    def report(self, path, **where):
        artifact = LocalArtifact(str(path))
        report_to_evidently(
            self.reference, self.profile, self.findings, artifact, model_name="bicycles", **self.span, **where
        )
        return artifact
