"""What compare_versions finds out."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config
from headway.components.monitoring.performance.measures import Span


class Compared(Config):
    """One metric of both versions.

    Attributes:
        name: Of the metric.
        words: What it is a share or mean of.
        better: Whether more or less of it is better.
        first: Of the first version.
        second: Of the second version.
        rows: Rows or requests of each that it rests on.
        difference: Second less first, with an interval that holds at all times at once; None where there is nothing.
        proven: Which version is proven to be better; None where neither is.
        needed: Rows of each version with which an effect of `min_effect` is proven in eight of ten cases.
        looks: Time to the interval by then: value, low, high.
    """

    name: str
    words: str
    better: Literal["higher", "lower"]
    first: float | None = None
    second: float | None = None
    rows: tuple[int, int]
    difference: Span | None = None
    proven: Literal["first", "second"] | None = None
    needed: int | None = None
    looks: tuple[tuple[str, float, float, float], ...] = ()


class VersionsResult(Config):
    """The document of the output `findings`.

    Attributes:
        model_name: The endpoint.
        first: Digest of the version that is compared with.
        second: Digest of the other one.
        start: Of the window.
        end: Of the window.
        requests: Of each.
        metrics: What was compared, the first one leading.
    """

    schema_version: Literal[1] = 1
    kind: Literal["versions"] = "versions"
    model_name: str
    first: str
    second: str
    start: str
    end: str
    requests: tuple[int, int]
    metrics: tuple[Compared, ...]
