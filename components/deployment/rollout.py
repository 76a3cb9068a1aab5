"""One deployment as it goes: candidate, checks, weights, analyses, promotion or the way back; noted as it is done.

How far it has come is kept with the endpoint before each move, so a step that is run again goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import time

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import run_id
from headway.components._shared.times import format_time, now, parse_duration, parse_time
from headway.components.deployment.analysis.compare import compare
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import failure, golden_rows, run_checks
from headway.components.deployment.config import Serving, Step
from headway.components.deployment.ending import Ended, heeding_sigterm
from headway.components.deployment.engines import Address, Deployed, Engine, Release
from headway.components.deployment.golden import Golden
from headway.components.deployment.memory import Progress, Served
from headway.components.deployment.timeline import Timeline

log = logging.getLogger("headway")

_POLL_S = 1.0
# Another step has taken over, and with it what is left here; or there is nothing left to take back.
_NOT_OURS_ANY_MORE = ("endpoint.busy", "deployment.endpoint_gone")


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
        timeline: What was done and checked.
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
        self.why = why
        self.requests = requests
        self.release = release
        self.golden = golden
        self.serving = serving
        self.plan = serving.rollout
        self.entrance: Address | None = None
        self.deployed = self.withdrawn = False
        self.reason = ""
        self.timeline = Timeline()
        self._beside: Deployed | None = None  # until it is being promoted or withdrawn
        self._progress = Progress(
            release=dataclasses.asdict(release),
            serving=serving.model_dump(mode="json"),
            golden_uri=golden_uri,
            stable_digest=None,
            begun=format_time(now()),
            step_begun=format_time(now()),
        )

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
                self._leave()
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
        self._note(stable_digest=stable.model_digest if stable else None)
        candidate = self._beside = self._start()
        try:
            self._verify(candidate)
            if stable:
                self._take_steps(candidate, stable)
            self._beside = None
            if self.plan.withdraws:
                self._withdraw(candidate, stable)
                return
            with self.timeline.phase("promote") as note:
                live = self.engine.promote(candidate)
                self.entrance, self.timeline.weight = self.engine.entrance(), 100
                note.append(f"{self.entrance.url} answers with {digest[:12]}")
        except HeadwayError as error:
            self._beside = None
            cause = self._cause(candidate, error)
            if cause.code in _NOT_OURS_ANY_MORE:
                raise cause from None
            self._roll_back(candidate, cause)
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
        left, candidate, ours = self.engine.progress(), self.engine.candidate(), self._progress
        same = left is not None and (left.release, left.serving) == (ours.release, ours.serving)
        if left and same and not unchanged and not left.failure and candidate and not left.late:
            self._progress, self._beside = left, candidate
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
            golden_uri=self._progress.golden_uri,
            since=format_time(now()),
            run=run_id(),
        )
        self.engine.remember(history.after(served, why=self.why))

    def _start(self) -> Deployed:
        with self.timeline.phase("start the candidate") as note:
            try:
                candidate = self.engine.start(self.release)
            except HeadwayError:
                self.engine.note(None)
                raise
            note.append(f"{self.release.model_digest[:12]} is ready")
        self.timeline.weight = self._progress.weight
        return candidate

    def _verify(self, candidate: Deployed) -> None:
        before = self.engine.replicas(candidate)
        for check in run_checks(candidate.address, self.release.model_name, self.golden, self.serving):
            if not check.passed and self._disrupted(candidate, before):
                return self._verify(self.engine.candidate() or candidate)
            self.timeline.check(check)
            if not check.passed:
                raise failure(check, self.engine.log_end(candidate))
        return None

    def _disrupted(self, candidate: Deployed, before: frozenset[str]) -> bool:
        """Whether a process or pod was taken away that had no fault of its own; then waits for the one in its place."""
        if self.engine.replicas(candidate) == before or self.engine.why_failed(candidate):
            return False
        self._require_time()
        with self.timeline.phase("wait for the candidate") as note:
            self.engine.start(self.release)
            note.append("a pod of it had been taken away, as by an eviction: no fault of the model")
        return True

    def _take_steps(self, candidate: Deployed, stable: Deployed) -> None:
        """The steps of the plan that are not done yet, and then all the traffic."""
        if self._progress.weight:
            self._shift(candidate, self._progress.weight)
        unsplit = self.engine.cannot_split() if any(step.set_weight for step in self.plan.steps) else None
        if unsplit and self.plan.strategy == "ab":
            raise HeadwayError(
                "deployment.cannot_split",
                f"An A/B test needs traffic on both versions, and here it cannot be split: {unsplit}.",
                value=self.engine.name,
                remedy="Use another strategy here, such as blue_green.",
            )
        for number, step in enumerate(self.plan.steps):
            if number < self._progress.step:
                continue
            self._require_time()
            if number > self._progress.step:
                self._note(step=number, step_begun=format_time(now()))
            if step.set_weight is not None and unsplit:
                with self.timeline.phase(str(step)) as note:
                    note.append(f"left out: {unsplit}")
            elif step.set_weight is not None:
                self._shift(candidate, step.set_weight)
            elif step.pause:
                self._pause(candidate, step)
            elif step.analysis:
                self._analyse(candidate, stable, step.analysis, number)
        self._require_time()
        self._note(step=len(self.plan.steps))
        if not self.plan.withdraws:
            self._shift(candidate, 100)

    def _shift(self, candidate: Deployed, weight: int) -> None:
        self._note(weight=weight)
        with self.timeline.phase(f"give the candidate {weight} %") as note:
            self.engine.shift(candidate, weight)
            self.timeline.weight = weight
            note.append("the endpoint was seen to answer so")

    def _pause(self, candidate: Deployed, step: Step) -> None:
        """Waits, for what is left of the time if a step was killed in it; ends when the candidate has a fault."""
        assert step.pause
        end = parse_time(self._progress.step_begun) + parse_duration(step.pause)
        with self.timeline.phase(str(step)) as note:
            while (left := (end - now()).total_seconds()) > 0:
                self._require_time()
                if fault := self.engine.why_failed(candidate):
                    raise fault
                time.sleep(min(_POLL_S, left))
            note.append("the candidate stayed well")

    def _analyse(self, candidate: Deployed, stable: Deployed, analysis: Analysis, number: int) -> None:
        where, before = f"analysis at {self.timeline.weight or 0} %", self.engine.replicas(candidate)
        with self.timeline.phase(where) as note:
            outcome = compare(
                # Looked up anew: pods may have come and gone since, and their addresses with them.
                self.engine.candidate() or candidate,
                self.engine.stable(self.release) or stable,
                analysis,
                model_name=self.release.model_name,
                golden=self.golden,
                requests=self.requests,
                false_alarm=self.plan.false_alarm / sum(step.analysis is not None for step in self.plan.steps),
                weight=self.timeline.weight or 0,
                seed=int(self.release.model_digest[:8], 16) + number,
                go_on=lambda: not self._progress.late,
            )
            # Counters outlive a pod, so what callers got for days is not thrown away for want of a decision.
            again = outcome.decision == "failed" or (outcome.decision == "inconclusive" and not analysis.prometheus)
            if again and self._disrupted(candidate, before):
                note.append("made once more, since the candidate was disrupted")
                return self._analyse(candidate, stable, analysis, number)
            found = [check.model_copy(update={"check": f"{where}: {check.check}"}) for check in outcome.checks]
            self.timeline.checks += found
            note.append("within every limit" if outcome.decision == "passed" else outcome.told())
            self._require_time()
            undecided = outcome.decision == "inconclusive"
            if outcome.decision == "failed" or (undecided and self.plan.on_inconclusive == "roll_back"):
                raise outcome.error(where, must_be_better=self.plan.strategy == "ab")
        return None

    def _leave(self) -> None:
        """Gives the traffic back, which is one request; all else stays as it is noted, for whoever comes next."""
        told = "the next try finishes what it was doing"
        if self._beside and self._progress.weight:
            self.engine.let_go(self._beside)
            told = f"the stable version has the {self._progress.weight} % back, and the candidate stays beside it"
        log.warning(
            f"the step was told to end: {told}. Run it again, and it goes on where it was; any other deployment to "
            "this endpoint takes back what it has left."
        )

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

    def _cause(self, candidate: Deployed, error: HeadwayError) -> HeadwayError:
        """What is wrong with the candidate's processes or pods, if that explains the error better."""
        if error.code in ("deployment.deadline", *_NOT_OURS_ANY_MORE):
            return error
        try:
            return self.engine.why_failed(candidate) or error
        except HeadwayError as unclear:
            log.warning(f"why the candidate failed could not be looked up: {unclear.message}")
            return error

    def _roll_back(self, candidate: Deployed, cause: HeadwayError) -> None:
        try:
            self._note(failure=cause.message.partition("\n")[0])
            with self.timeline.phase("roll back") as note:
                self.engine.withdraw(candidate)
                self.timeline.weight = 0
                stable = self._progress.stable_digest
                note.append(f"{stable[:12]} has all the traffic" if stable else "the candidate was ended")
            self.engine.note(None)
        except HeadwayError as error:
            raise HeadwayError(
                "deployment.rollback_failed",
                f"The candidate has to go, and taking it back failed: {error.message} What was wrong with the "
                f"candidate: {cause.message}",
                value=error.value,
                remedy=f"{error.remedy} Then run the step again: it finishes the rollback.",
            ) from cause

    def _require_time(self) -> None:
        if self._progress.late:
            raise HeadwayError(
                "deployment.deadline",
                f"The rollout that began at {self._progress.begun} did not end within {self.plan.deadline}.",
                value=self.plan.deadline,
                remedy="Raise serving.rollout.deadline above the sum of its pauses and analyses.",
            )

    def _note(self, **changes: object) -> None:
        self._progress = self._progress.model_copy(update=changes)
        self.engine.note(self._progress)


def take_back(engine: Engine, timeline: Timeline) -> str | None:
    """Ends what a rollout left that nobody leads any more; the stable version gets all the traffic.

    Returns:
        What was left, in a sentence's words; None where nothing was.

    Raises:
        HeadwayError: as `Engine.withdraw`.
    """
    left, candidate = engine.progress(), engine.candidate()
    told = None
    if candidate:
        with timeline.phase("take back what a step before left") as note:
            engine.withdraw(candidate)
            why = f"; it was being rolled back: {left.failure}" if left and left.failure else ""
            told = f"{candidate.model_digest[:12]} had been left beside the stable version{why}"
            note.append(told)
    if left:
        engine.note(None)
    return told
