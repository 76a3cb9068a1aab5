"""The steps of a rollout: checks without traffic, weights, pauses, analyses; each goes on where a killed step was."""

from __future__ import annotations

import time
from functools import partial

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import format_time, now, parse_duration
from headway.components.deployment.analysis.compare import compare
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import failure, run_checks
from headway.components.deployment.config import Step
from headway.components.deployment.engines import Deployed
from headway.components.deployment.golden import Golden
from headway.components.deployment.rollout.course import Course

_POLL_S = 1.0
# How often checks or an analysis are made once more, since something that is no fault of the model spoiled them.
_TRIES = 5


class Steps:
    """What a candidate goes through before it is promoted.

    Args:
        course: The rollout.
        golden: Rows with known predictions.
        requests: Logged requests that analyses ask both versions for; None takes the golden rows.
    """

    def __init__(self, course: Course, golden: Golden, requests: pl.DataFrame | None) -> None:
        self.course = course
        self.golden = golden
        self.requests = requests
        self._unsplit: str | None = None

    def look_ahead(self) -> None:
        """Finds out, before there is a candidate, whether the traffic can be split as the plan needs it.

        Raises:
            HeadwayError: `deployment.cannot_split`: an analysis of real traffic would see none of the candidate's.
        """
        steps = self.course.plan.steps
        self._unsplit = self.course.engine.cannot_split() if any(step.set_weight for step in steps) else None
        if self._unsplit and any(step.analysis and step.analysis.prometheus for step in steps):
            raise HeadwayError(
                "deployment.cannot_split",
                "An analysis with prometheus needs traffic on both versions, and here it cannot be split: "
                f"{self._unsplit}.",
                value=self.course.engine.name,
                remedy="Use an analysis without prometheus here, and another strategy than ab.",
            )

    def verify(self, candidate: Deployed) -> None:
        """Every check, straight at the candidate.

        Raises:
            HeadwayError: Of the first check that it does not pass.
        """
        for tries in range(_TRIES):
            before = self.course.engine.replicas(candidate)
            for check in run_checks(
                candidate.address, self.course.release.model_name, self.golden, self.course.serving
            ):
                if not check.passed and tries + 1 < _TRIES and self._disrupted(candidate, before):
                    candidate = self.course.engine.candidate() or candidate
                    break
                self.course.timeline.check(check)
                if not check.passed:
                    raise failure(check, self.course.engine.log_end(candidate))
            else:
                return

    def _disrupted(self, candidate: Deployed, before: frozenset[str]) -> bool:
        """Whether a process or pod was taken away that had no fault of its own; then waits for the one in its place."""
        engine = self.course.engine
        if not was_taken_away(before, engine.replicas(candidate)) or engine.why_failed(candidate):
            return False
        self.course.require_time()
        with self.course.timeline.phase("wait for the candidate") as note:
            engine.start(self.course.release)
            note.append("a pod of it had been taken away, as by an eviction: no fault of the model")
        return True

    def _once_both_answer(self, candidate: Deployed, stable: Deployed) -> tuple[Deployed, Deployed]:
        """Both versions once they answer: pods may have come and gone since, and their addresses with them.

        Whoever answers nothing for as long as a start may take is compared as it is.
        """
        engine, end = self.course.engine, time.monotonic() + self.course.serving.start_timeout_s
        while True:
            versions = engine.candidate() or candidate, engine.stable(self.course.release) or stable
            name = self.course.release.model_name
            answers = all(Caller(version.address, name).ready().status == 200 for version in versions)
            if answers or time.monotonic() > end:
                return versions
            self.course.require_time()
            if fault := engine.why_failed(candidate):
                raise fault
            time.sleep(_POLL_S)

    def take(self, candidate: Deployed, stable: Deployed) -> None:
        """The steps of the plan that are not done yet, and then all the traffic."""
        if self.course.progress.weight:
            self._shift(candidate, self.course.progress.weight)
        for number, step in enumerate(self.course.plan.steps):
            if number < self.course.progress.step:
                continue
            self.course.require_time()
            if number > self.course.progress.step:
                self.course.note(step=number, step_begun=format_time(now()))
            if step.set_weight is not None and self._unsplit:
                with self.course.timeline.phase(str(step)) as note:
                    note.append(f"left out: {self._unsplit}")
            elif step.set_weight is not None:
                self._shift(candidate, step.set_weight)
            elif step.pause:
                self._pause(candidate, step)
            elif step.analysis:
                self._analyse(candidate, stable, step.analysis, number)
        self.course.require_time()
        self.course.note(step=len(self.course.plan.steps))
        if not self.course.plan.withdraws:
            self._shift(candidate, 100)

    def _shift(self, candidate: Deployed, weight: int) -> None:
        self.course.note(weight=weight)
        with self.course.timeline.phase(f"give the candidate {weight} %") as note:
            self.course.engine.shift(candidate, weight)
            self.course.timeline.weight = weight
            note.append("the endpoint was seen to answer so")

    def _pause(self, candidate: Deployed, step: Step) -> None:
        """Waits, and ends when the candidate has a fault; begun anew where a step was killed: nobody watched since."""
        assert step.pause
        end = now() + parse_duration(step.pause)
        with self.course.timeline.phase(str(step)) as note:
            while (left := (end - now()).total_seconds()) > 0:
                self.course.require_time()
                if fault := self.course.engine.why_failed(candidate):
                    raise fault
                time.sleep(min(_POLL_S, left))
            note.append("the candidate stayed well")

    def _analyse(self, candidate: Deployed, stable: Deployed, analysis: Analysis, number: int) -> None:
        plan, engine = self.course.plan, self.course.engine
        where = f"analysis at {self.course.timeline.weight or 0} %"
        for tries in range(_TRIES):
            with self.course.timeline.phase(where) as note:
                candidate, stable = self._once_both_answer(candidate, stable)
                before, before_of_stable = engine.replicas(candidate), engine.replicas(stable)
                outcome = compare(
                    candidate,
                    stable,
                    analysis,
                    model_name=self.course.release.model_name,
                    golden=self.golden,
                    requests=self.requests,
                    false_alarm=plan.false_alarm / sum(step.analysis is not None for step in plan.steps),
                    weight=self.course.timeline.weight or 0,
                    seed=int(self.course.release.model_digest[:8], 16) + number,
                    go_on=partial(self._may_go_on, candidate, analysis),
                )
                # Counters outlive a pod, so what callers got for days is not thrown away for want of a decision.
                again = outcome.decision == "failed" or (outcome.decision == "inconclusive" and not analysis.prometheus)
                if again and tries + 1 < _TRIES:
                    spoiled = "candidate" if self._disrupted(candidate, before) else None
                    if was_taken_away(before_of_stable, engine.replicas(stable)):
                        spoiled = spoiled or "stable version"
                    if spoiled:
                        note.append(f"made once more, since the {spoiled} was disrupted")
                        self.course.require_time()
                        continue
                found = [check.model_copy(update={"check": f"{where}: {check.check}"}) for check in outcome.checks]
                self.course.timeline.checks += found
                note.append("within every limit" if outcome.decision == "passed" else outcome.told())
                self.course.require_time()
                undecided = outcome.decision == "inconclusive"
                if outcome.decision == "failed" or (undecided and plan.on_inconclusive == "roll_back"):
                    raise outcome.error(where, must_be_better=plan.strategy == "ab")
                return

    def _may_go_on(self, candidate: Deployed, analysis: Analysis) -> bool:
        """Whether there is time left. A candidate that dies counts nothing itself of what callers then miss."""
        fault = self.course.engine.why_failed(candidate) if analysis.prometheus else None
        if fault:
            raise fault
        return not self.course.progress.late


def was_taken_away(before: frozenset[str], now: frozenset[str]) -> bool:
    """Whether something went that another has replaced, or is yet to: a scaler only adds, or only takes away."""
    return bool(before - now) and (bool(now - before) or not now)
