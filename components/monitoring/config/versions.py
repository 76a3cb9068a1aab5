"""What two versions are compared by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headway.components._shared.config import Config, Duration

_WORDS = {
    "correct": "labelled rows that were predicted right",
    "label": "labelled rows with the label {label}",
    "value": "mean of the label",
    "errors": "requests that failed (status 500 and above)",
    "slow": "requests that took more than {above_ms:g} ms",
}


class Outcome(Config):
    """What two versions are compared by.

    Attributes:
        kind: `correct` is the share of labelled rows that were predicted right, `label` that of those with a certain
            label, `value` the mean of a number as label, `errors` and `slow` shares of requests.
        label: Of the kind `label`.
        range: Of the kind `value`: lowest and highest value; what lies beyond counts as the end.
        above_ms: Of the kind `slow`, in milliseconds.
        direction: Whether more or less of it is better; by default less of `errors` and `slow`, more of the others.
    """

    kind: Literal["correct", "label", "value", "errors", "slow"]
    label: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    above_ms: float = Field(default=200, gt=0)
    direction: Literal["maximize", "minimize"] | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind} {self.label}".strip()

    @property
    def words(self) -> str:
        """What it is a share or mean of."""
        return _WORDS[self.kind].format(label=self.label, above_ms=self.above_ms)

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which is better."""
        if self.direction:
            return "higher" if self.direction == "maximize" else "lower"
        return "lower" if self.kind in ("errors", "slow") else "higher"

    @property
    def width(self) -> float:
        """Of the range of a row's value."""
        return self.range[1] - self.range[0] if self.kind == "value" else 1.0

    @model_validator(mode="after")
    def _whole(self) -> Outcome:
        if self.kind == "label" and not self.label:
            raise ValueError("the kind label needs a label")
        if self.range[0] >= self.range[1]:
            raise ValueError("range is lowest and highest value, in this order")
        return self


class Versions(Config):
    """How two versions are compared.

    Attributes:
        metrics: By what; the first one leads.
        versions: First characters of two digests, the one that is compared with first; by default the two that
            answered most, in the order in which they came.
        window: Length of the windows in which rows are counted.
        confidence: Of the intervals, which hold at all times at once.
        min_effect: Difference that matters; the report says how many rows it takes to see it in eight of ten cases.
    """

    metrics: tuple[Outcome, ...] = Field(default=(Outcome(kind="correct"), Outcome(kind="errors")), min_length=1)
    versions: tuple[str, str] | None = None
    window: Duration = "1h"
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    min_effect: float | None = Field(default=0.02, gt=0)
