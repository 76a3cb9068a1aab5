"""The structured parameters of an evaluation: how it measures, and the gates that a model must pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, RootModel, model_validator

from headway.components._shared.config import Config

On = Literal["value", "low", "high"]
Name = Annotated[str, Field(min_length=1)]


class Costs(Config):
    """What mistakes cost, in any one unit.

    Attributes:
        false_positive: Of selecting a row that is negative.
        false_negative: Of not selecting a row that is positive.
    """

    false_positive: FiniteFloat = Field(gt=0)
    false_negative: FiniteFloat = Field(gt=0)


class Dependence(Config):
    """Which rows may depend on each other.

    Attributes:
        column: Rows with the same value form a block.
        period: For a time column: rows of the same calendar day, hour, week or month (UTC) form a block.
    """

    column: Name
    period: Literal["1h", "1d", "1w", "1mo"] | None = None


class Evaluation(Config):
    """How a model is measured.

    Attributes:
        confidence: Of every two-sided interval; a gate on a bound then errs with (1 - confidence) / 2.
        primary_metric: Leads the report and measures the slices; None takes roc_auc, log_loss or rmse by task.
        slices: Columns whose values are measured apart; `auto` takes all text and boolean columns with 2 to 20 values.
            Numbers and times with more values are cut into quarters.
        groups: Columns between whose values gaps are measured.
        min_support: Smallest number of rows of a slice or group.
        costs: What mistakes cost; the threshold is then the cheapest one, found by cross-fitting.
        threshold: A given decision threshold on the positive class's probability instead.
        dependence: `auto` takes, of the columns with the roles group, subject, entity and time (days), the one that
            gives the widest interval; `none` takes every row as independent.
        golden_rows: How many rows with their predictions are kept to check a served model by.
        latency_calls: Predictions of one row that are timed; None takes 100, and 400 where a gate limits their 99 %
            quantile (fewer than 368 do not bound it with 95 % confidence).
    """

    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    primary_metric: Name | None = None
    slices: tuple[Name, ...] | Literal["auto"] = "auto"
    groups: tuple[Name, ...] = ()
    min_support: int = Field(default=100, ge=10)
    costs: Costs | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)
    dependence: Dependence | Literal["auto", "none"] = "auto"
    golden_rows: int = Field(default=300, ge=20, le=1000)
    latency_calls: int | None = Field(default=None, ge=20, le=2000)

    @model_validator(mode="after")
    def _one_threshold(self) -> Evaluation:
        if self.costs is not None and self.threshold is not None:
            raise ValueError("give `costs` or `threshold`, not both: costs choose the threshold")
        return self


class _Gate(Config):
    """What every gate has.

    Attributes:
        metric: What is measured.
        when_unmeasurable: How the gate ends where the rows do not allow the measurement.
    """

    metric: Name
    when_unmeasurable: Literal["pass", "fail"] = "fail"


class _Limit(_Gate):
    """A gate with a limit.

    Attributes:
        at_least: Lower limit, inclusive.
        at_most: Upper limit, inclusive; exactly one of the two is given.
        on: What is held against the limit: the measured value, or the low or high end of its interval. By default the
            end that must be proven: `low` for `at_least`, `high` for `at_most`.
    """

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    on: On | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> _Limit:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of `at_least` and `at_most`")
        return self

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        return self.at_most if self.at_least is None else self.at_least  # type: ignore[return-value]

    @property
    def end(self) -> On:
        """What is held against the limit."""
        return self.on or ("high" if self.at_least is None else "low")


class MetricGate(_Limit):
    """A limit on a metric over all rows, on calibration (`ece`), latency (`latency_p99_ms`) or size (`size_mb`)."""

    kind: Literal["metric"] = "metric"


class SliceGate(_Limit):
    """A limit on a metric in a slice.

    Attributes:
        slice: `column=value`, or `worst`: of all slices with support. For the worst the interval covers the true worst
            value, whichever slice looks worst.
    """

    kind: Literal["slice"] = "slice"
    slice: Name = "worst"


class GapGate(_Limit):
    """A limit on the largest gap of a metric between the values of a column.

    Attributes:
        column: Whose values are compared.
    """

    kind: Literal["gap"] = "gap"
    column: Name


class GainGate(_Gate):
    """A paired test against the champion on the same rows. A gain is positive whichever way the metric goes.

    Attributes:
        test: `superiority`: the low end of the gain's interval is above the margin. `non_inferiority`: it is not
            below minus the margin.
        margin: In the metric's unit.
        without_champion: How the gate ends where there is no champion, or the champion is this very model.
    """

    kind: Literal["gain"] = "gain"
    test: Literal["superiority", "non_inferiority"] = "non_inferiority"
    margin: FiniteFloat = Field(default=0.0, ge=0)
    without_champion: Literal["pass", "fail"] = "pass"


Gate = MetricGate | SliceGate | GapGate | GainGate


# A field that only one kind of gate has.
_TELLING = {"slice": "slice", "column": "gap", "test": "gain", "margin": "gain", "without_champion": "gain"}


def _with_kind(gate: Any) -> Any:
    if not isinstance(gate, dict) or "kind" in gate:
        return gate
    told = {kind for field, kind in _TELLING.items() if field in gate} or {"metric"}
    return {"kind": told.pop(), **gate} if len(told) == 1 else gate


class Gates(RootModel[dict[Name, Annotated[Gate, Field(discriminator="kind")]]]):
    """What a model must pass: the gate's name to the gate. None configured means not blessed.

    A gate without a `kind` has the one that its fields tell: with `slice` a slice gate, with `column` a gap gate, with
    `test`, `margin` or `without_champion` a gain gate, else a metric gate.
    """

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, given: Any) -> Any:
        """Also sorts: KFP brings the keys of a dict in any order, and a verdict's bytes depend on it."""
        return {name: _with_kind(given[name]) for name in sorted(given, key=str)} if isinstance(given, dict) else given
