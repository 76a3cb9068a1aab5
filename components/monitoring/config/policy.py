"""What follows from what: rules over windows, and what holds them back."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, model_validator

from headway.components._shared.config import Config, Duration

SignalName = Literal[
    "drift",
    "much_drift",
    "separation",
    "predictions",
    "worse",
    "unclear",
    "too_high",
    "too_low",
    "estimate",
    "data",
    "few_labels",
    "no_rows",
    "slow",
    "errors",
    "refused",
    "restarts",
    "memory",
]


class Rule(Config):
    """M of N windows.

    Attributes:
        name: For people; the decision says which one fired.
        when: Signals that a window must have, all of them.
        at_least: In how many windows.
        of_last: Of how many, this one and those before it; this one must be among those that have the signals.
        outcome: What follows.
    """

    name: str
    when: tuple[SignalName, ...] = Field(min_length=1)
    at_least: int = Field(default=1, ge=1)
    of_last: int = Field(default=1, ge=1, le=1000)
    outcome: Literal["watch", "alert", "retrain", "roll_back"]

    @model_validator(mode="after")
    def _can_fire(self) -> Rule:
        if self.at_least > self.of_last:
            raise ValueError(f"at_least {self.at_least} is more than of_last {self.of_last}")
        return self


class Budget(Config):
    """How often at most.

    Attributes:
        retrainings: So many.
        per: Within this time.
    """

    retrainings: int = Field(default=2, ge=0)
    per: Duration = "30d"


class BusinessHours(Config):
    """When somebody is there to look at what happens; retraining and rolling back wait for that.

    Attributes:
        timezone: Such as `Europe/Berlin`.
        days: Of the week, 0 is Monday.
        start: Hour of the day at which they begin.
        end: Hour of the day at which they end.
    """

    timezone: str = "UTC"
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4)
    start: int = Field(default=9, ge=0, le=23)
    end: int = Field(default=17, ge=1, le=24)

    @model_validator(mode="after")
    def _there_are_some(self) -> BusinessHours:
        if self.start >= self.end or not self.days:
            raise ValueError("there must be a day and an hour in it")
        if self.timezone not in available_timezones():
            raise ValueError(f"there is no timezone {self.timezone!r}")
        return self


RULES = (
    Rule(name="worse twice", when=("worse",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="probabilities too high twice", when=("too_high",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="probabilities too low twice", when=("too_low",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="worse than promised", when=("worse",), outcome="alert"),
    Rule(name="probabilities too high", when=("too_high",), outcome="alert"),
    Rule(name="probabilities too low", when=("too_low",), outcome="alert"),
    Rule(name="estimated to be worse", when=("estimate",), at_least=2, of_last=3, outcome="alert"),
    Rule(name="the data feed", when=("data",), outcome="alert"),
    Rule(name="drift that stays", when=("much_drift",), at_least=3, of_last=4, outcome="alert"),
    Rule(name="predictions drift", when=("predictions",), outcome="watch"),
    Rule(name="drift", when=("drift",), outcome="watch"),
    Rule(name="all features together", when=("separation",), outcome="watch"),
    Rule(name="errors", when=("errors",), outcome="alert"),
    Rule(name="slow twice", when=("slow",), at_least=2, of_last=3, outcome="alert"),
    Rule(name="slow", when=("slow",), outcome="watch"),
    Rule(name="restarts twice", when=("restarts",), at_least=2, of_last=3, outcome="alert"),
    Rule(name="restarts", when=("restarts",), outcome="watch"),
    Rule(name="memory nearly full", when=("memory",), outcome="watch"),
    Rule(name="many requests refused", when=("refused",), outcome="watch"),
    Rule(name="nobody asks", when=("no_rows",), outcome="watch"),
)


class Policy(Config):
    """What follows from what.

    Attributes:
        rules: Of those that fire the most severe outcome holds.
        much_drift: Share of the columns, by importance, from which on `much_drift` is a signal.
        few_labels: Share of rows with a label below which `few_labels` is one.
        bias: How far the mean probability may lie from the share that came true before `too_high` or `too_low` is one.
        cooldown: No retraining within this time after one; an alert takes its place.
        budget: No more retrainings than that; an alert takes their place.
        business_hours: When retraining and rolling back may begin; None is always.
    """

    rules: tuple[Rule, ...] = RULES
    much_drift: float = Field(default=0.3, gt=0, le=1)
    few_labels: float = Field(default=0.1, gt=0, le=1)
    bias: float = Field(default=0.05, gt=0, lt=1)
    cooldown: Duration = "7d"
    budget: Budget = Budget()
    business_hours: BusinessHours | None = None
