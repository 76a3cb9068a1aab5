"""What can be asked of a split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from headway.components._shared.config import Config, readable
from headway.components._shared.times import parse_duration, parse_time


class Split(Config):
    """How rows are parted into training and test rows.

    Attributes:
        strategy: `time` tests on what comes later, `group` on groups never seen in training, `stratified` keeps the
            label shares, `random` takes any rows.
        test_share: Share of the labelled rows (of the groups for `group`) that become test rows.
        test_start: For `time`: first moment of the test rows, ISO 8601 in UTC; takes the place of `test_share`.
        time_column: Column of dates or times; needed for `time`, and with it any strategy proves its time spans.
        embargo: For `time`: a duration such as `7d` before the test rows whose rows are left out of both parts, so
            that a label that was not known yet when the test begins teaches nothing.
        group_column: For `group`: rows of one value stay together.
        target: Column of the label; rows without one are set aside and counted.
        id_column: Column that identifies a row; by default `id`, or the whole row where there is no such column.
        duplicates: What happens to training rows that equal a test row in everything but the id: `report` counts them,
            `drop` takes them out of training, `fail` ends the step.
    """

    strategy: Literal["time", "group", "stratified", "random"] = "random"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    test_start: str | None = None
    time_column: str | None = None
    embargo: str = "0s"
    group_column: str | None = None
    target: str | None = None
    id_column: str | None = None
    duplicates: Literal["report", "drop", "fail"] = "report"

    @field_validator("test_start")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return readable(parse_time, value)

    @field_validator("embargo")
    @classmethod
    def _is_a_duration(cls, value: str) -> str:
        return readable(parse_duration, value)

    @model_validator(mode="after")
    def _belongs_to_its_strategy(self) -> Split:
        needs = {"time": "time_column", "group": "group_column", "stratified": "target"}.get(self.strategy)
        if needs and getattr(self, needs) is None:
            raise ValueError(f"strategy {self.strategy!r} needs {needs!r}")
        if self.strategy != "time" and (self.test_start is not None or parse_duration(self.embargo)):
            raise ValueError("test_start and embargo belong to strategy 'time'")
        if self.strategy != "group" and self.group_column is not None:
            raise ValueError("group_column belongs to strategy 'group'")
        if self.test_start is not None and "test_share" in self.model_fields_set:
            raise ValueError("give test_start or test_share, not both")
        return self
