"""What was done in a deployment, and when: noted while it happens, so that a failed one tells it too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headway.components._shared.errors import HeadwayError
from headway.components.deployment.record import Check, Phase


class Timeline:
    """Phases and checks in order.

    Attributes:
        phases: What was done.
        checks: What was checked.
        weight: Share of the traffic in percent that the candidate has; None before there is one.
    """

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.checks: list[Check] = []
        self.weight: int | None = None
        self._begun = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[list[str]]:
        """Notes a phase when it ends; the last text in the list that it gives is what came of it."""
        started, note, passed = self._now(), [""], True
        try:
            yield note
        except HeadwayError as error:
            passed = False
            note.append(error.message.partition("\n")[0])
            raise
        finally:
            self._add(name, started, passed, note[-1])

    def check(self, check: Check) -> None:
        """Notes a check that has just been made, since whatever was noted before it."""
        self.checks.append(check)
        self._add(f"check: {check.check}", self.phases[-1].end_s, check.passed, check.value)

    def _add(self, name: str, started: float, passed: bool, detail: str) -> None:
        ended = self._now()
        self.phases.append(
            Phase(phase=name, start_s=started, end_s=ended, passed=passed, detail=detail, weight=self.weight)
        )

    def _now(self) -> float:
        return time.monotonic() - self._begun
