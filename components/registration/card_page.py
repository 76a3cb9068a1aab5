"""The model card as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Tone,
    Value,
    badge,
    charts,
    code,
    details,
    facts,
    figure,
    interval,
    listing,
    mono,
    percent,
    table,
    text,
)
from headway.components._shared.reports.formats import number
from headway.components._shared.statistics.metrics import LABELS, metrics_of
from headway.components.registration.card import Card, label_shares, request_example, span, worries

_TONES: dict[str, Tone] = {"registered": "good", "unchanged": "good", "refused": "bad"}


def write_card(card: Card, path: str | Path) -> None:
    """Writes the card."""
    registration, manifest, verdict = card.registration, card.manifest, card.verdict
    page = Page(
        f"{registration.registered_model} version {registration.version}"
        if registration.version
        else f"{registration.model_name}: not registered",
        _lead(card),
        tone=_TONES[registration.outcome],
        status=registration.outcome.capitalize(),
        kind="Model card",
        facts={
            "Task": manifest.task,
            "Predicts": manifest.target,
            "Estimator": manifest.estimator.rpartition(".")[2],
            "Decision threshold": verdict.threshold,
            "Owner": card.use.owner or "not named",
            "Model digest": mono(manifest.model_digest[:16]),
        },
    )
    page.section("What it is for", *_purpose(card))
    page.section("What to worry about", listing(worries(card)) if worries(card) else text("Nothing stands out."))
    page.section("How good it is", *_metrics(card))
    page.section("Parts of the rows", *_slices(card))
    page.section("Gates", _gates(card))
    page.section("Training data", *_data(card))
    page.section("Training", *_training(card))
    page.section("Where it comes from", facts(_lineage(card)))
    page.section("How to ask it", *_usage(card))
    page.write(path)


def _lead(card: Card) -> str:
    outcome, reason = card.registration.outcome, card.verdict.reason.rstrip(".")
    if outcome == "refused":
        return f"The verdict is negative, so the model was neither released nor registered: {reason}."
    if outcome == "unchanged":
        return f"This very model was registered before and keeps its version. Its verdict: {reason}."
    return f"The model passed its verdict and is now the challenger: {reason}."


def _purpose(card: Card) -> list[Block]:
    use = card.use
    blocks = [text(use.purpose or "Nobody has said so yet: give register_model its intended_use.")]
    if use.users:
        blocks.append(text(f"Used by: {use.users}."))
    if use.limits:
        blocks += [text("Limits:"), listing(use.limits)]
    if use.ethical_notes:
        blocks += [text("Whom mistakes harm, and what is done about it:"), listing(use.ethical_notes)]
    return blocks


def _metrics(card: Card) -> list[Block]:
    measured = {name: m for name, m in card.verdict.metrics.items() if "value" in m}
    known = {name: metric for name, metric in metrics_of(card.manifest.task).items() if name in measured}
    shares = [
        (metric.label, m["value"], m["low"], m["high"])
        for name, metric in known.items()
        if metric.better == "higher"
        and {"low", "high"} <= (m := measured[name]).keys()
        and 0 <= m["low"] <= m["high"] <= 1
    ]
    rows: list[list[Value]] = [[m.label, _value(measured[name]), m.meaning] for name, m in known.items()]
    others: list[list[Value]] = [
        [LABELS.get(name, name), _value(m)] for name, m in sorted(measured.items()) if name not in known
    ]
    blocks: list[Block] = []
    if shares:
        described = "; ".join(
            f"{label} {value:.3g}, from {low:.3g} to {high:.3g}" for label, value, low, high in shares
        )
        chart = charts.intervals(shares, title="value with interval")
        blocks.append(figure(chart, "Where 1 is perfect: measured on held-out rows, with intervals", described))
    if rows or not others:
        blocks.append(table(["Metric", "Value [interval]", "Meaning"], rows, caption="Measured on held-out rows"))
    if others:
        blocks.append(table(["Figure", "Value [interval]"], others, caption="Speed, size and calibration"))
    return blocks


def _value(figure: Mapping[str, float]) -> Value:
    if {"low", "high"} <= figure.keys():
        return interval(figure["value"], figure["low"], figure["high"])
    return figure["value"]


def _slices(card: Card) -> list[Block]:
    slices = card.verdict.slices
    if not slices:
        return [text("No part was measured apart: none had enough rows, or the evaluation asked for none.")]
    rows: list[list[Value]] = [
        [
            s.slice,
            LABELS.get(s.metric, s.metric),
            s.rows,
            s.value if s.low is None or s.high is None else interval(s.value, s.low, s.high),
        ]
        for s in slices
    ]
    caption = "Parts with enough rows; the intervals of a metric hold together"
    return [table(["Part", "Metric", "Rows", "Value [interval]"], rows, caption=caption)]


def _gates(card: Card) -> Block:
    rows: list[list[Value]] = [
        [
            g.gate,
            badge("passed", "good") if g.passed else badge("failed", "bad"),
            _alone(g.limit),
            _alone(g.value),
            g.reason,
        ]
        for g in card.verdict.gates
    ]
    return table(["Gate", "Outcome", "Limit", "Value", "Reason"], rows, caption="What the verdict asked")


def _alone(value: float | None) -> Cell:
    """A number whose column holds others of another kind."""
    return Cell(number(value), numeric=True)


def _data(card: Card) -> list[Block]:
    manifest, profile = card.manifest, card.profile
    blocks = [
        facts(
            {
                "Rows": profile.rows if profile else None,
                "Time": span(card) or "not known",
                "Fingerprint": mono(manifest.data_fingerprint[:16]),
                "Schema": f"version {manifest.schema_.version}, by {manifest.schema_.curated_by or 'inference'}",
            }
        )
    ]
    shares = label_shares(card)
    if shares:
        rows: list[list[Value]] = [[label, percent(share)] for label, share in shares.items()]
        blocks.append(table([manifest.target, "Share of rows"], rows, caption="Labels"))
    return [*blocks, _features(card)]


def _features(card: Card) -> Block:
    profile, importance = card.profile, card.manifest.importance
    rows: list[list[Value]] = []
    for feature in sorted(card.manifest.features, key=lambda f: -importance.get(f.name, 0.0)):
        column = profile.column(feature.name) if profile else None
        missing = percent(column.nulls / column.rows) if column and column.rows else None
        rows.append([feature.name, feature.type, missing, importance.get(feature.name)])
    caption = "Features; importance is the loss of the objective when the feature is shuffled"
    return table(["Feature", "Type", "Missing", "Importance"], rows, caption=caption)


def _training(card: Card) -> list[Block]:
    manifest = card.manifest
    params: list[list[Value]] = [[name, str(value)] for name, value in sorted(manifest.params.items())]
    libraries: list[list[Value]] = [[name, number] for name, number in sorted(manifest.libraries.items())]
    return [
        facts(
            {
                "Estimator": mono(manifest.estimator),
                "Seed": str(manifest.seed),
                "Stored as": manifest.serialization,
                "Code digest": mono(manifest.code_digest[:16]),
            }
        ),
        table(["Parameter", "Value"], params, caption="Parameters; all others are the estimator's defaults"),
        details("Library versions", table(["Library", "Version"], libraries, caption="Libraries")),
    ]


def _lineage(card: Card) -> dict[str, Value]:
    registration, verdict = card.registration, card.verdict
    return {
        "Model": mono(card.manifest.model_digest),
        "Manifest": mono(registration.manifest_sha256),
        "Trained on": mono(card.manifest.data_fingerprint),
        "Evaluated on": mono(verdict.data_fingerprint),
        "Champion compared with": mono(verdict.champion_digest) if verdict.champion_digest else "none",
        "Code": mono(card.manifest.code_digest),
        "Trained in run": card.manifest.run_id or "outside a run",
        "Judged": f"{verdict.time} in run {verdict.run_id}" if verdict.run_id else verdict.time,
        "Release": mono(registration.release_uri) if registration.release_uri else "none",
        "Registry": mono(registration.tracking_uri),
    }


def _usage(card: Card) -> list[Block]:
    name = card.registration.model_name
    return [
        text(
            "Once it is deployed, it answers the Open Inference Protocol (v2). This row is made of typical values, not "
            "a real one; a missing value is null."
        ),
        code(f"POST /v2/models/{name}/infer\n\n{request_example(card)}"),
    ]
