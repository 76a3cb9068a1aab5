"""A rollout from its first look at the endpoint to promotion, or to the way back.

How far it has come is kept with the endpoint before each move, so a step that is run again goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import shlex

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import run_id
from headway.components._shared.times import format_time, now
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import golden_rows
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Deployed, Engine, Release
from headway.components.deployment.golden import Golden
from headway.components.deployment.memory import Served
from headway.components.deployment.rollout.back import NOT_OURS_ANY_MORE, cause_of, leave, roll_back, take_back
from headway.components.deployment.rollout.course import Course
from headway.components.deployment.rollout.ending import Ended, heeding_sigterm
from headway.components.deployment.rollout.steps import Steps
from headway.components.deployment.rollout.timeline import Timeline


class Rollout:
    """Brings one release to traffic.

    Args:
        engine: Where.
        release: What.
        golden: Rows with known predictions.
        golden_uri: Where they are kept.
        serving: Limits, and the steps to take.
        why: Why the stable version has to go, where this takes it out of service.
        requests: Logged requests that analyses ask both versions for; None takes the golden rows.

    Attributes:
        entrance: Where callers reach what has the traffic; None until it is known.
        deployed: Whether the traffic was moved.
        withdrawn: Whether the candidate passed, and went again as the plan says.
        reason: What came of it, in one sentence.
    """

    def __init__(
        self,
        engine: Engine,
        release: Release,
        golden: Golden,
        golden_uri: str,
        serving: Serving,
        why: str | None = None,
        requests: pl.DataFrame | None = None,
    ) -> None:
        self.engine = engine
        self.release = release
        self.golden = golden
        self.serving = serving
        self.why = why
        self.entrance: Address | None = None
        self.deployed = self.withdrawn = False
        self.reason = ""
        self._course = Course(engine, release, golden_uri, serving)
        self._steps = Steps(self._course, golden, requests)

    @property
    def timeline(self) -> Timeline:
        """What was done and checked."""
        return self._course.timeline

    def run(self) -> None:
        """Deploys, or finds that there is nothing to do.

        Raises:
            HeadwayError: Why the candidate got no traffic, or had it taken away again.
            Ended: SIGTERM came; the traffic is with the stable version, and the step can be run again.
        """
        with heeding_sigterm():
            try:
                self._run()
            except Ended:
                leave(self._course)
                raise

    def _run(self) -> None:
        digest = self.release.model_digest
        stable = self._look()
        unchanged = stable is not None and stable.model_digest == digest and stable.as_asked and self._right(stable)
        self._resume_or_clear(unchanged=unchanged)
        if stable and unchanged:
            self._remember()
            self.entrance = self.engine.entrance()
            self.reason = (
                "this model had the traffic, but its server had ended; it was started again and answers as it did"
                if stable.revived
                else "this model has the traffic already"
            )
            return
        if stable:
            self._steps.look_ahead()
        self._course.note(stable_digest=stable.model_digest if stable else None)
        candidate = self._course.beside = self._start()
        try:
            self._steps.verify(candidate)
            if stable:
                self._steps.take(candidate, stable)
            self._course.beside = None
            if self._course.plan.withdraws:
                self._withdraw(candidate, stable)
                return
            with self.timeline.phase("promote") as note:
                live = self.engine.promote(candidate)
                self.entrance, self.timeline.weight = self.engine.entrance(), 100
                note.append(f"{self.entrance.url} answers with {digest[:12]}")
        except HeadwayError as error:
            self._course.beside = None
            cause = cause_of(self._course, candidate, error)
            if cause.code in NOT_OURS_ANY_MORE:
                raise cause from None
            roll_back(self._course, candidate, cause)
            raise cause from (None if cause is error else error)
        self.engine.note(None)
        self._remember()
        self.deployed = True
        before = f" from {stable.model_digest[:12]}" if stable and stable.model_digest != digest else ""
        again = "; the endpoint had not been answering" if live.revived else ""
        self.reason = f"the candidate passed every check and took the traffic{before}{again}"

    def example_request(self) -> str | None:
        """A shell command that asks the endpoint about the first golden row."""
        if self.entrance is None:
            return None
        url = f"{self.entrance.url}/v2/models/{self.release.model_name}/infer"
        body = json.dumps(json.loads(self.golden.part(0, 1).request()), separators=(",", ":"))
        headers = {"content-type": "application/json", **self.entrance.headers}
        given = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
        return f"curl -s {url} {given} -d {shlex.quote(body)}"

    def _look(self) -> Deployed | None:
        with self.timeline.phase("look at the stable version") as note:
            stable = self.engine.stable(self.release)
            how = "was started again" if stable and stable.revived else "serves"
            note.append(f"{stable.model_digest[:12]} {how}" if stable else "nothing serves")
        return stable

    def _right(self, stable: Deployed) -> bool:
        """Whether what has the traffic answers the golden rows as the evaluation says."""
        with self.timeline.phase("ask it for the golden rows") as note:
            check = golden_rows(Caller(stable.address, self.release.model_name), self.golden, self.serving)
            note.append(check.value)
        if check.passed:
            self.timeline.checks.append(check)
        return check.passed

    def _resume_or_clear(self, *, unchanged: bool) -> None:
        """Goes on with this very rollout where a step was killed in it; whatever else was left is taken back."""
        left, candidate, ours = self.engine.progress(), self.engine.candidate(), self._course.progress
        same = left is not None and (left.release, left.serving) == (ours.release, ours.serving)
        # One of other settings, such as an image that is new since, has passed none of the steps.
        alive = candidate is not None and candidate.as_asked
        if left and same and alive and not unchanged and not left.failure and not left.late:
            self._course.progress, self._course.beside = left, candidate
            return
        take_back(self.engine, self.timeline)

    def _remember(self) -> None:
        """Notes what has the traffic now, unless that is noted: a step before may have been killed just here."""
        history, settings = self.engine.history(), self.engine.settings()
        known = history.of(self.release.model_digest)
        if known and known.until is None and known.serving == settings:
            return
        served = Served(
            release=dataclasses.asdict(self.release),
            serving=settings,
            golden_uri=self._course.progress.golden_uri,
            since=format_time(now()),
            run=run_id(),
        )
        self.engine.remember(history.after(served, why=self.why))

    def _start(self) -> Deployed:
        with self.timeline.phase("start the candidate") as note:
            try:
                candidate = self.engine.start(self.release)
            except HeadwayError as error:
                left = self.engine.candidate()
                if left:
                    self._course.note(failure=error.message.partition("\n")[0])
                else:
                    self.engine.note(None)
                raise
            note.append(f"{self.release.model_digest[:12]} is ready")
        self.timeline.weight = self._course.progress.weight
        return candidate

    def _withdraw(self, candidate: Deployed, stable: Deployed | None) -> None:
        """Ends a candidate that has passed, and was only to be looked at."""
        with self.timeline.phase("withdraw the candidate") as note:
            self.engine.withdraw(candidate)
            self.timeline.weight = 0
            note.append("it has passed, and the plan says so")
        self.engine.note(None)
        self.entrance = self.engine.entrance() if stable else None
        self.withdrawn = True
        compared = "comparison with the stable version" if stable else "check; there was nothing to compare it with"
        self.reason = f"the candidate passed every {compared}, and was withdrawn, as the plan says"
