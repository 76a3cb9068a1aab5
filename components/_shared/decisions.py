"""What follows from a window: the document that decide writes, and keeps in the history."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config
from headway.components._shared.times import in_a_name

Outcome = Literal["ok", "watch", "alert", "retrain", "roll_back"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "watch", "alert", "retrain", "roll_back")
"""From nothing to the most severe."""


def severity(outcome: Outcome) -> int:
    """From 0 (ok) to 4 (roll_back)."""
    return OUTCOMES.index(outcome)


class Signal(Config):
    """One thing that may be wrong with a window.

    Attributes:
        fired: Whether it is.
        told: What was found, in a few words.
        value: As a number, where there is one.
        limit: From which on it fires.
    """

    fired: bool
    told: str
    value: float | None = None
    limit: float | None = None


class Fired(Config):
    """A rule that fired.

    Attributes:
        rule: Its name.
        outcome: What it asks for.
        windows: Starts of the windows that had its signals, this one last.
    """

    rule: str
    outcome: Outcome
    windows: tuple[str, ...]


class Incident(Config):
    """Windows in a row of which each asked for an alert or more.

    Attributes:
        id: The start of the first one; the same for all of them.
        windows: How many there are by now.
        worsened: Whether this one asks for more than any before it.
    """

    id: str
    windows: int
    worsened: bool


class Decision(Config):
    """What follows from a window; made of the window, the history and the policy, and of nothing else.

    Attributes:
        model_name: The endpoint.
        model_digest: The model.
        start: Of the window.
        end: Of the window.
        label_cutoff: By when labels had to be known.
        outcome: What is to be done.
        reason: Why, in a sentence.
        rule: The rule that decided; None where none fired.
        signals: Name to what was found.
        fired: Every rule that fired.
        held_back: Why a retraining that was asked for is none; None where none was, or where it is.
        act_from: When to begin, UTC; None is at once.
        incident: None where all is well.
        recovered: Id of the incident that is over with this window.
        missing: Spans before this window that no window covers, within what the rules look at.
        damaged: Entries of the history that cannot be read.
    """

    schema_version: Literal[1] = 1
    kind: Literal["decision"] = "decision"
    model_name: str
    model_digest: str
    start: str
    end: str
    label_cutoff: str | None = None
    outcome: Outcome
    reason: str
    rule: str | None = None
    signals: dict[str, Signal]
    fired: tuple[Fired, ...] = ()
    held_back: str | None = None
    act_from: str | None = None
    incident: Incident | None = None
    recovered: str | None = None
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def worst(self) -> str | None:
        """What the deciding rule found, or the first signal that fired; None where none did."""
        return next((signal.told for signal in self.signals.values() if signal.fired), None)

    @property
    def time(self) -> str:
        """When it could be made: labels were known until then, or else the window was over."""
        return self.label_cutoff or self.end

    @property
    def key(self) -> str:
        """Its place in the history: window and label cutoff."""
        return "_".join(map(in_a_name, (self.start, self.end, self.time)))


class Problem(Config):
    """Why a model could not be judged.

    Attributes:
        code: Of the error.
        message: What happened.
        remedy: What to do.
    """

    code: str
    message: str
    remedy: str = ""


class Watched(Config):
    """How a model fares that is watched.

    Attributes:
        model_name: The endpoint.
        model_digest: The model in service; None where that is not known.
        judged: Windows that were judged in this run, in the order in which they could be judged.
        latest: What was decided last, in this run or before; None where nothing ever was.
        left: Windows that could have been judged and are left to the next run.
        problem: Why judging ended; None where it did not.
    """

    model_name: str
    model_digest: str | None = None
    judged: tuple[Decision, ...] = ()
    latest: Decision | None = None
    left: int = 0
    problem: Problem | None = None

    @property
    def since(self) -> str | None:
        """Since when it is not well."""
        return self.latest.incident.id if self.latest and self.latest.incident else None


class Fleet(Config):
    """What monitor_models found out; the content of its output `decisions`.

    Attributes:
        as_of: The time at which windows had to be over to be judged.
        models: Each of them.
    """

    schema_version: Literal[1] = 1
    kind: Literal["fleet"] = "fleet"
    as_of: str
    models: tuple[Watched, ...]
