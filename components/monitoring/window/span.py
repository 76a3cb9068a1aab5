"""A window of time, and what is counted in a log beside the rows that are given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from headway.components._shared.inference_logs import TIME

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """Half-open, in UTC.

    Attributes:
        start: Inclusive.
        end: Exclusive.
    """

    start: datetime
    end: datetime

    @property
    def unit(self) -> timedelta:
        """What belongs together: hours in a window of up to two days, days in a longer one."""
        return HOUR if self.end - self.start <= 2 * DAY else DAY

    def within(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose request arrived in the window."""
        return rows.filter(pl.col(TIME).is_between(self.start, self.end, closed="left"))


@dataclass
class Counted:
    """What was found in a log beside the rows that are given.

    Attributes:
        damaged: Files that cannot be read: half-written, or of no known format.
        foreign: Files that have other columns or types than the model's log.
        requests: Answered by the model.
        refused: Status to requests that the model's server refused.
        duplicates: Rows left out, since an earlier one has the same id.
        other_models: Digest to rows that other versions answered.
    """

    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    requests: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    other_models: Counter[str] = field(default_factory=Counter)
