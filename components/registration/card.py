"""The model card: what a person who was not there needs to know about a registered model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.profiles import Profile, read_profile
from headway.components._shared.reports.formats import counted, interval, number
from headway.components._shared.statistics.metrics import LABELS
from headway.components._shared.times import format_time
from headway.components._shared.tracking import Registration
from headway.components._shared.verdicts import Verdict
from headway.components.registration.config import IntendedUse

SMALLEST_CATEGORY = 10  # a label of fewer rows is not named


@dataclass(frozen=True)
class Card:
    """Everything that a model card tells.

    Attributes:
        registration: What became of the model.
        manifest: Who it is.
        verdict: How it was judged.
        use: What people say it is for.
        folder: The model folder.
    """

    registration: Registration
    manifest: ModelManifest
    verdict: Verdict
    use: IntendedUse
    folder: Path

    @property
    def profile(self) -> Profile | None:
        """Statistics of the training data, where the model carries them."""
        name = self.manifest.reference_profile
        return read_profile(self.folder / name) if name else None


def description(card: Card) -> str:
    """The short card for the registry, in Markdown."""
    manifest, verdict = card.manifest, card.verdict
    asked = dict.fromkeys(gate.metric for gate in verdict.gates if gate.metric in verdict.metrics)
    lines = [
        card.use.purpose or "_Nobody has said what this model is for (`intended_use`)._",
        "",
        f"* {manifest.task} model of `{manifest.target}`: `{manifest.estimator}` on "
        f"{counted(len(manifest.features), 'feature')}",
        *(f"* {LABELS.get(name, name)}: {figure(verdict.metrics[name])}" for name in asked),
        f"* verdict: {verdict.reason}",
        f"* trained on data `{manifest.data_fingerprint[:16]}` by code `{manifest.code_digest[:16]}`",
        *(f"* owner: {owner}" for owner in [card.use.owner] if owner),
        *(f"* limit: {limit}" for limit in card.use.limits),
    ]
    return "\n".join(lines)


def figure(values: Mapping[str, float]) -> str:
    """`0.7124 [0.7081, 0.7167]`, without the brackets where there is no interval."""
    measured = {"low", "high"} <= values.keys()
    return interval(values["value"], values["low"], values["high"]) if measured else number(values["value"])


def worries(card: Card) -> list[str]:
    """What to worry about, in plain sentences; the most important first."""
    manifest, verdict, profile = card.manifest, card.verdict, card.profile
    found = [f"Gate not passed: {gate.gate}. {gate.reason}" for gate in verdict.gates if not gate.passed]
    found += verdict.warnings
    if not card.use.purpose:
        found.append("Nobody has said what it is for; give register_model its intended_use.")
    if not card.use.owner:
        found.append("Nobody is named who answers for it.")
    if not verdict.slices:
        found.append("No part of the rows was measured apart, so a group may fare worse unnoticed.")
    if manifest.serialization != "skops":
        found.append(f"Loading it runs code from its files ({manifest.serialization}): load only verified releases.")
    if profile is None:
        found.append("It carries no statistics of its training data, so drift cannot be measured against them.")
    else:
        constant = [f.name for f in manifest.features if (c := profile.column(f.name)) and c.distinct in (0, 1)]
        if constant:
            found.append(f"Constant or empty in training, so the model learned nothing from it: {', '.join(constant)}.")
    return found


def label_shares(card: Card) -> dict[str, float]:
    """Share of rows a label in the training data; rare labels together as `other`."""
    column = card.profile.column(card.manifest.target) if card.profile else None
    if card.manifest.task == "regression" or column is None or column.binning != "values" or not column.values:
        return {}
    counts = {str(label): count for label, count in column.value_counts().items()}
    shares = {label: n / column.values for label, n in counts.items() if n >= SMALLEST_CATEGORY}
    rest = column.values - sum(n for n in counts.values() if n >= SMALLEST_CATEGORY)
    return {**shares, "other": rest / column.values} if rest else shares


def span(card: Card) -> str | None:
    """First and last time in the training data."""
    names = card.manifest.schema_.names("time")
    column = card.profile.column(names[0]) if card.profile and names else None
    if column is None or column.minimum is None or column.maximum is None:
        return None
    first, last = (_time(value, column.type) for value in (column.minimum, column.maximum))
    return f"{first} to {last}"


def request_example(card: Card) -> str:
    """A v2 request for one row: the input example, which describes no real row."""
    path = card.folder / "input_example.json"
    values: dict[str, object] = {}
    if path.is_file():
        example = json.loads(path.read_text())
        values = dict(zip(example.get("columns", []), next(iter(example.get("data", [])), []), strict=False))
    row = pl.DataFrame({f.name: [_whole(values.get(f.name), f.type)] for f in card.manifest.features})
    inputs = [json.dumps(tensor) for tensor in request_of(row, card.manifest.features)["inputs"]]  # type: ignore[attr-defined]
    return '{"inputs": [\n  ' + ",\n  ".join(inputs) + "\n]}"


def _whole(value: object, kind: str) -> object:
    """MLflow's example holds integers as floats, since they may be missing."""
    return int(value) if kind == "integer" and isinstance(value, float) else value


def _time(value: float, kind: str) -> str:
    if kind == "date":
        return (date(1970, 1, 1) + timedelta(days=int(value))).isoformat()
    return format_time(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value)))
