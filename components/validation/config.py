"""What can be asked of a validation: how severe each check is, and where its limits lie."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from headway.components._shared.config import Config, readable
from headway.components._shared.times import parse_duration, parse_time

Severity = Literal["error", "warning", "info", "off"]


class Check(Config):
    """A check without a limit of its own.

    Attributes:
        severity: `error` stops the pipeline, `warning` and `info` do not, `off` does not look.
    """

    severity: Severity

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        return {"severity": given} if isinstance(given, str) else given


class ErrorCheck(Check):
    """A check that stops the pipeline unless configured otherwise."""

    severity: Severity = "error"


class WarningCheck(Check):
    """A check that warns unless configured otherwise."""

    severity: Severity = "warning"


class Rows(ErrorCheck):
    """Too few rows to say anything.

    Attributes:
        minimum: Fewest rows.
    """

    minimum: int = Field(default=30, ge=1)


class DuplicateRows(WarningCheck):
    """Rows that equal an earlier one in everything but the id, such as those of a file that was read twice.

    Attributes:
        max_share: Largest share of such rows; a few are usual where the chosen columns take few values.
    """

    max_share: float = Field(default=0.01, ge=0, le=1)


class Outliers(Check):
    """Numbers far outside the bulk of their column.

    Attributes:
        fence: A number is an outlier beyond this many interquartile ranges from the quartiles.
    """

    severity: Severity = "info"
    fence: float = Field(default=6.0, gt=0)


class LabelBalance(WarningCheck):
    """A label so rare that little can be learned about it.

    Attributes:
        min_share: Smallest share of the labelled rows.
        min_rows: Fewest rows of each label.
    """

    min_share: float = Field(default=0.01, ge=0, le=0.5)
    min_rows: int = Field(default=20, ge=1)


class Leakage(WarningCheck):
    """A single feature that gives the target away.

    Attributes:
        min_strength: AUC of a class (or correlation with a numeric target) from one feature alone, held out.
    """

    min_strength: float = Field(default=0.98, gt=0.5, le=1)


class Shift(WarningCheck):
    """A distribution that is not that of the reference: large enough to matter, and not chance.

    Attributes:
        min_psi: Smallest population stability index, after its expectation without any shift is taken off.
        false_discovery_rate: Expected share of false findings among the shifts of all columns.
    """

    min_psi: float = Field(default=0.2, ge=0)
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1)


class NullShift(WarningCheck):
    """Missing values more or less frequent than in the reference.

    Attributes:
        min_difference: Smallest difference of the shares, 0 to 1.
        false_discovery_rate: Expected share of false findings among all columns.
    """

    min_difference: float = Field(default=0.05, ge=0, le=1)
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1)


class Freshness(ErrorCheck):
    """The newest row is too old.

    Attributes:
        max_age: Largest age at `as_of`, such as `2d`; None does not look.
    """

    max_age: str | None = None

    @field_validator("max_age")
    @classmethod
    def _is_a_duration(cls, value: str | None) -> str | None:
        return readable(parse_duration, value)


class Window(ErrorCheck):
    """Rows outside the window that the data should be of: late ones before it, early ones after it.

    Attributes:
        start: First moment, inclusive.
        end: First moment after the window.
    """

    start: str | None = None
    end: str | None = None

    @field_validator("start", "end")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return readable(parse_time, value)


class Completeness(WarningCheck):
    """Intervals with too few rows, or none: compared with the same hour of day or day of week.

    Attributes:
        min_share: Smallest share of the usual number of rows.
        interval: Length of an interval, such as `1h` or `1d`; None takes days, hours or minutes by the time span.
    """

    min_share: float = Field(default=0.5, ge=0, le=1)
    interval: str | None = None

    @field_validator("interval")
    @classmethod
    def _is_a_duration(cls, value: str | None) -> str | None:
        return readable(parse_duration, value)


class Checks(Config):
    """Every check of `validate_data` by name. A word sets the severity: `{"nulls": "warning"}`.

    Attributes:
        contract: No curated schema was given, so one was inferred.
        rows: Too few rows.
        missing_column: A column of the contract is missing.
        extra_column: A column stands in no contract; it goes no further.
        type: A column has another type than the contract says.
        nulls: Missing values where none are allowed, or more than `max_null_share`.
        domain: Values outside the domain.
        range: Numbers outside minimum and maximum.
        pattern: Strings that the regular expression does not match as a whole.
        unique: Values that occur more than once where each may occur once.
        infinite: Infinite numbers or NaN.
        all_null: A column without any value.
        constant: A feature with one value only.
        duplicate_columns: Two columns that are equal in every row.
        duplicate_rows: Rows that equal an earlier one in everything but the id.
        mixed_types: A text column that is mostly numbers.
        outliers: Numbers far outside the bulk.
        missing_labels: Rows without a label.
        one_class: Every labelled row has the same label.
        label_balance: A rare label.
        leakage: A single feature that gives the target away.
        shift: Another distribution than in the reference profile.
        null_shift: Another share of missing values than in the reference profile.
        time_nulls: Rows without a time.
        freshness: The newest row is too old.
        future: Rows later than `as_of`.
        window: Rows outside the expected window.
        gaps: Intervals without any row.
        completeness: Intervals with too few rows.
        label_order: Labels that were known before their row's time.
        as_of: The present, for `freshness` and `future`; None takes the clock.
        examples: How many row positions a finding names.
    """

    contract: WarningCheck = WarningCheck()
    rows: Rows = Rows()
    missing_column: ErrorCheck = ErrorCheck()
    extra_column: WarningCheck = WarningCheck()
    type: ErrorCheck = ErrorCheck()
    nulls: ErrorCheck = ErrorCheck()
    domain: ErrorCheck = ErrorCheck()
    range: ErrorCheck = ErrorCheck()
    pattern: ErrorCheck = ErrorCheck()
    unique: ErrorCheck = ErrorCheck()
    infinite: ErrorCheck = ErrorCheck()
    all_null: ErrorCheck = ErrorCheck()
    constant: WarningCheck = WarningCheck()
    duplicate_columns: WarningCheck = WarningCheck()
    duplicate_rows: DuplicateRows = DuplicateRows()
    mixed_types: WarningCheck = WarningCheck()
    outliers: Outliers = Outliers()
    missing_labels: Check = Check(severity="info")
    one_class: ErrorCheck = ErrorCheck()
    label_balance: LabelBalance = LabelBalance()
    leakage: Leakage = Leakage()
    shift: Shift = Shift()
    null_shift: NullShift = NullShift()
    time_nulls: ErrorCheck = ErrorCheck()
    freshness: Freshness = Freshness()
    future: ErrorCheck = ErrorCheck()
    window: Window = Window()
    gaps: WarningCheck = WarningCheck()
    completeness: Completeness = Completeness()
    label_order: ErrorCheck = ErrorCheck()
    as_of: str | None = None
    examples: int = Field(default=5, ge=0, le=100)

    @field_validator("as_of")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return readable(parse_time, value)

    def severity(self, name: str) -> Severity:
        """Severity of a check by its name."""
        check: Check = getattr(self, name)
        return check.severity


class Roles(Config):
    """Role to the column, or columns, that play it. A column with any role is no feature.

    Attributes:
        id: Identifies a row; by default a column named `id`.
        time: When the row happened.
        label_time: When its label became known.
        target: What is to be predicted.
        group: Rows of one value belong together: cross-validation keeps them on one side and intervals allow for them;
            `split.group_column` keeps them on one side of the split.
        entity: Key of the features of a feature store.
        subject: The person or thing whose data it is, for erasure.
        personal: Values that must not be seen anywhere.
    """

    id: str | list[str] = []
    time: str | list[str] = []
    label_time: str | list[str] = []
    target: str | list[str] = []
    group: str | list[str] = []
    entity: str | list[str] = []
    subject: str | list[str] = []
    personal: str | list[str] = []

    def by_column(self) -> dict[str, list[str]]:
        """Column to its roles."""
        found: dict[str, list[str]] = {}
        for role in type(self).model_fields:
            given = getattr(self, role)
            for column in [given] if isinstance(given, str) else given:
                found.setdefault(column, []).append(role)
        return found


class Contract(Config):
    """A schema that lies elsewhere, or the roles for one that is to be inferred.

    Attributes:
        uri: Address of a curated schema, JSON or YAML.
        sha256: What that file must hash to.
        roles: Roles for an inferred schema; columns without one are the features.
    """

    uri: str | None = None
    sha256: str | None = None
    roles: Roles = Roles()
