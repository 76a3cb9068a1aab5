"""What a rollout is about and how far it has come, noted with the endpoint before each move."""

from __future__ import annotations

import dataclasses

from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import format_time, now
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Deployed, Engine, Release
from headway.components.deployment.memory import Progress
from headway.components.deployment.rollout.timeline import Timeline


class Course:
    """One rollout under way.

    Args:
        engine: Where.
        release: What.
        golden_uri: Where its golden rows are kept.
        serving: Limits, and the steps to take.

    Attributes:
        plan: The steps.
        timeline: What was done and checked.
        progress: How far it has come, as it was noted last.
        beside: The candidate, until it is being promoted or withdrawn.
    """

    def __init__(self, engine: Engine, release: Release, golden_uri: str, serving: Serving) -> None:
        self.engine = engine
        self.release = release
        self.serving = serving
        self.plan = serving.rollout
        self.timeline = Timeline()
        self.beside: Deployed | None = None
        self.progress = Progress(
            release=dataclasses.asdict(release),
            serving=serving.model_dump(mode="json"),
            golden_uri=golden_uri,
            stable_digest=None,
            begun=format_time(now()),
            step_begun=format_time(now()),
        )

    def note(self, **changes: object) -> None:
        """Keeps what has changed with the endpoint."""
        self.progress = self.progress.model_copy(update=changes)
        self.engine.note(self.progress)

    def require_time(self) -> None:
        """Ends a rollout that takes too long.

        Raises:
            HeadwayError: `deployment.deadline`.
        """
        if self.progress.late:
            raise HeadwayError(
                "deployment.deadline",
                f"The rollout that began at {self.progress.begun} did not end within {self.plan.deadline}.",
                value=self.plan.deadline,
                remedy="Raise serving.rollout.deadline above the sum of its pauses and analyses.",
            )
