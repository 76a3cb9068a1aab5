"""The Verdict: whether a model may go on, bound to its bytes, and the door that every later step asks."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Literal

from headway.components._shared import signing
from headway.components._shared.artifacts import verify_model
from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import dump_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://github.com/headway-mlops/headway/verdict/v1"


class GateOutcome(Config):
    """One gate: what was asked, what was measured, how it ended.

    Attributes:
        gate: What the gate asks, in words, such as `roc_auc lower bound at least 0.68`.
        metric: The measured quantity.
        limit: The limit that the gate sets; None where the gate compares without one.
        value: The measured value; None if it could not be measured.
        low: Lower end of the value's interval.
        high: Upper end of the value's interval.
        passed: Whether the model passes.
        reason: Why, in one sentence.
    """

    gate: str
    metric: str
    limit: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    passed: bool
    reason: str


class SliceOutcome(Config):
    """How the model does on a part of the rows.

    Attributes:
        slice: Which part, such as `origin=EWR`; never values of a personal column.
        metric: The measured quantity.
        rows: Number of rows.
        value: The measured value.
        low: Lower end of its interval.
        high: Upper end of its interval.
    """

    slice: str
    metric: str
    rows: int
    value: float
    low: float | None = None
    high: float | None = None


class Predicted(Config):
    """What the model said about the rows of its evaluation, see `profiles.predictions`.

    Attributes:
        rows: How many there were.
        step: Of the grid on which probabilities and numbers are counted.
        columns: The profile of each: the class that was picked, probabilities; or the number.
    """

    rows: int
    step: float
    columns: tuple[dict[str, Any], ...]


class Verdict(Config):
    """What an evaluation decided about one model.

    Attributes:
        model_digest: The model that it is about.
        manifest_sha256: Hash of that model's manifest, which binds every file.
        data_fingerprint: The rows that it was measured on.
        golden_fingerprint: The golden rows with their predictions.
        task: binary, multiclass or regression.
        threshold: Decision threshold on the positive class's probability; None outside binary tasks.
        metrics: Name to {value, low, high}: what was measured, with its interval.
        gates: Every gate; none configured means not blessed.
        slices: The parts of the rows with enough support.
        predicted: How its predictions were distributed; None in verdicts from before there was that.
        warnings: What to worry about although it decides nothing, each one sentence.
        blessed: Whether the model may go on.
        reason: Why, in one sentence.
        champion_digest: The champion that it was compared with, if there was one.
        time: When, UTC.
        run_id: Pipeline run.
    """

    schema_version: Literal[1] = 1
    model_digest: str
    manifest_sha256: str
    data_fingerprint: str
    golden_fingerprint: str
    task: Literal["binary", "multiclass", "regression"]
    threshold: float | None = None
    metrics: dict[str, dict[str, float]] = {}
    gates: tuple[GateOutcome, ...]
    slices: tuple[SliceOutcome, ...] = ()
    predicted: Predicted | None = None
    warnings: tuple[str, ...] = ()
    blessed: bool
    reason: str
    champion_digest: str | None = None
    time: str
    run_id: str | None = None


def write_verdict(verdict: Verdict, path: str | Path) -> None:
    """Writes a Verdict artifact: a DSSE envelope (one JSON file) around an in-toto statement about the model digest.

    It is signed when a signing key is configured, see `signing`.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": verdict.model_digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": verdict.model_dump(mode="json"),
    }
    payload = dump_json(statement)
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": signing.sign(PAYLOAD_TYPE, payload),
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_json(envelope))


def read_verdict(path: str | Path) -> Verdict:
    """Reads a Verdict artifact; where verification keys are configured, one of them must have signed it.

    Raises:
        HeadwayError: `verdict.missing`, `verdict.unreadable`, `verdict.unsigned` or `verdict.signature_invalid`.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise HeadwayError(
            "verdict.missing", "There is no verdict.", value=str(path), remedy="Pass the verdict of evaluate_model."
        ) from None
    return parse_verdict(data, str(path))


def parse_verdict(data: bytes, where: str) -> Verdict:
    """The verdict in an envelope; raises as `read_verdict`."""
    try:
        envelope: dict[str, Any] = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signing.verify(envelope["payloadType"], payload, envelope["signatures"])
        statement = json.loads(payload)
        kinds = (envelope["payloadType"], statement["_type"], statement["predicateType"])
        predicate = dict(statement["predicate"])
        subject = statement["subject"][0]["digest"]["sha256"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise _unreadable(where) from None
    if kinds != (PAYLOAD_TYPE, STATEMENT_TYPE, PREDICATE_TYPE):
        raise _unreadable(where)
    verdict = parse(Verdict, predicate, parameter="verdict")
    if subject != verdict.model_digest:
        raise HeadwayError(
            "verdict.unreadable",
            "The verdict's subject and content name different models.",
            value=subject,
            remedy="Pass the verdict of evaluate_model unchanged.",
        )
    return verdict


def require_verdict(verdict_path: str | Path, model_folder: str | Path) -> Verdict:
    """The door: gives the verdict about exactly this model, blessed or not; anything else is an error.

    The caller does nothing, succeeds and reports the outcome `refused` when `blessed` is false.

    Raises:
        HeadwayError: `verdict.missing`, `verdict.unreadable`, `verdict.unsigned`, `verdict.signature_invalid`,
            `verdict.other_model`, `model.changed`.
    """
    verdict = read_verdict(verdict_path)
    manifest = verify_model(model_folder)
    if manifest.model_digest != verdict.model_digest:
        raise HeadwayError(
            "verdict.other_model",
            f"The verdict is about model {verdict.model_digest[:12]}, not about {manifest.model_digest[:12]}.",
            value=verdict.model_digest,
            remedy="Pass the verdict that evaluate_model gave for this very model.",
        )
    verify_model(model_folder, verdict.manifest_sha256)
    return verdict


def _unreadable(where: str) -> HeadwayError:
    return HeadwayError(
        "verdict.unreadable",
        "The verdict is not a DSSE envelope of ours.",
        value=where,
        remedy="Pass the verdict of evaluate_model unchanged.",
    )
