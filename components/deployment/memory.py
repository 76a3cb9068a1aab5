"""What an endpoint remembers of itself: how far a rollout has come, and what had the traffic before."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from headway.components._shared.config import Config
from headway.components._shared.times import now, parse_duration, parse_time

# What has the traffic, and the ten before it.
KEPT = 11


class Progress(Config):
    """How far a rollout has come; kept with the endpoint, so that another step can finish what a vanished one left.

    Attributes:
        release: What is rolled out, the fields of `Release`.
        serving: The parameter `serving` that it was asked for with.
        golden_uri: Where its golden rows are kept.
        stable_digest: What had the traffic before; None for the first deployment.
        begun: When the rollout began; its deadline counts from there.
        step: Number of the rollout step that is under way, from 0.
        step_begun: When that step began.
        weight: Share of the traffic in percent that the candidate was given last.
        failure: Why it is being rolled back; None while it goes forward.
    """

    schema_version: Literal[1] = 1
    release: dict[str, str | float | None]
    serving: dict[str, Any]
    golden_uri: str
    stable_digest: str | None
    begun: str
    step: int = 0
    step_begun: str
    weight: int = 0
    failure: str | None = None

    @property
    def deadline(self) -> datetime:
        """When it is taken back if it has not ended."""
        return parse_time(self.begun) + parse_duration(str(self.serving["rollout"]["deadline"]))

    @property
    def late(self) -> bool:
        """Whether that time has come."""
        return now() > self.deadline


class Served(Config):
    """A release that has or had the traffic, with all that is needed to bring it back.

    Attributes:
        release: The fields of `Release`.
        serving: The parameter `serving` that it ran with, nothing left to defaults that may change.
        golden_uri: Where its golden rows are kept.
        since: When it got the traffic.
        run: The pipeline run that gave it the traffic; None outside of one.
        until: When another one got it; None for what has it now.
        rolled_back: Why it was taken out of service on purpose; None if it was not.
    """

    release: dict[str, str | float | None]
    serving: dict[str, Any]
    golden_uri: str
    since: str
    run: str | None = None
    until: str | None = None
    rolled_back: str | None = None

    @property
    def model_digest(self) -> str:
        """The model."""
        return str(self.release["model_digest"])


class History(Config):
    """What had the traffic of an endpoint.

    Attributes:
        served: What has it now, then what had it before, the newest first, each model once.
    """

    schema_version: Literal[1] = 1
    served: tuple[Served, ...] = ()

    @property
    def before(self) -> tuple[Served, ...]:
        """What had the traffic before, the newest first."""
        return tuple(served for served in self.served if served.until)

    def of(self, model_digest: str) -> Served | None:
        """What is known of a model."""
        return next((served for served in self.served if served.model_digest == model_digest), None)

    def after(self, now: Served, *, why: str | None = None) -> History:
        """The history once a release got the traffic.

        Args:
            now: The release.
            why: Why the one before it was taken out of service; None where it was only succeeded.
        """
        ended = {"until": now.since, "rolled_back": why}
        before = (served if served.until else served.model_copy(update=ended) for served in self.served)
        others = tuple(served for served in before if served.model_digest != now.model_digest)
        return History(served=(now, *others)[:KEPT])
