"""What every serving engine promises of a rollout; a test class of an engine inherits these cases.

class TestRolloutsOnMyEngine(RolloutCases):
    @pytest.fixture
    def first(self) -> Delivery: ...      # released, registered, ready to deploy with this engine

    @pytest.fixture
    def second(self) -> Delivery: ...     # another model of the same endpoint

    def engine(self, delivery) -> Engine: ...
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.config import parse
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Engine, choose_engine
from headway.components.deployment.record import Deployment
from tests.deployment_samples import Delivery, Load, flights

# Limits that a busy machine keeps; a rollout of these cases is judged by errors and predictions.
WIDE = {"latency_ratio": 100, "predictions": 0.5, "requests_per_second": 1000}


class EndpointCases:
    """Needs the fixtures `first` and `second`.

    Attributes:
        splits: Whether the engine can give a candidate a part of the traffic; else it leaves such steps out.
    """

    splits = True

    def given(self, weight: int) -> int:
        """What a candidate has of the traffic after a step that gives it so much."""
        return weight if self.splits else 0

    def engine(self, delivery: Delivery) -> Engine:
        """The engine as the step chooses it."""
        serving = parse(Serving, delivery.serving, parameter="serving")
        return choose_engine(delivery.engine, str(delivery.state), "flights", serving)[0]

    def load(self, deployment: Deployment) -> Load:
        """A caller that asks the endpoint all the time."""
        assert deployment.endpoint
        return Load(deployment.endpoint, body_of(deployment), headers=deployment.headers)

    def killed_in(self, delivery: Delivery, *, step: int) -> None:
        """Kills the step once it has come to a step of the rollout."""
        process = self.come_to(delivery, step=step)
        process.kill()
        process.communicate()

    def come_to(self, delivery: Delivery, *, step: int) -> subprocess.Popen[str]:
        """The step in a process of its own, once it has come to a step of the rollout."""
        process = subprocess.Popen(delivery.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        engine = self.engine(delivery)
        while (progress := engine.progress()) is None or progress.step < step:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        return process

    def settled(self, delivery: Delivery) -> None:
        """A rollout is over: nothing is left of it, and all the traffic goes to this model."""
        engine = self.engine(delivery)
        assert engine.candidate() is None
        assert engine.progress() is None


class RolloutCases(EndpointCases):
    """Rollouts, as they end well, badly, or in the middle."""

    def test_a_candidate_gets_the_traffic_by_weights_and_analyses_without_a_lost_request(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        plan(second, {"set_weight": 30}, {"analysis": WIDE}, {"pause": "3s"}, {"set_weight": 60}, {"pause": "3s"})
        with self.load(before) as load:
            after = second.deploy()
            time.sleep(0.5)
        assert (after.outcome, after.endpoint, after.previous_digest) == ("deployed", before.endpoint, first.digest)
        assert load.failures == []
        assert load.digests[-1] == second.digest
        assert Counter(load.digests)[first.digest] > 20
        assert [p.weight for p in after.phases if p.phase.startswith("give")] == [self.given(30), self.given(60), 100]
        names = [check.check for check in after.checks]
        assert [n for n in names if "analysis" in n] == [
            f"analysis at {self.given(30)} %: errors",
            f"analysis at {self.given(30)} %: latency",
            f"analysis at {self.given(30)} %: predictions",
        ]
        assert all(check.passed for check in after.checks)
        self.settled(second)

    def test_a_candidate_that_an_analysis_finds_worse_is_rolled_back(self, first: Delivery, second: Delivery) -> None:
        before = first.deploy()
        second.threshold = 0.999  # predicts nearly every flight late, which the evaluation says it should
        second.judge()
        plan(second, {"set_weight": 50}, {"analysis": {**WIDE, "predictions": 0.1}})
        with self.load(before) as load:
            error = failed(second)
            time.sleep(0.5)
        assert error.code == "deployment.analysis_failed"
        where = f"analysis at {self.given(50)} %"
        assert f"The candidate is worse than the stable version ({where}). predictions: " in error.message
        assert load.failures == []
        assert load.digests[-1] == first.digest
        assert set(load.digests[-10:]) == {first.digest}
        report = (second.folder / "report.html").read_text()
        assert "roll back" in report
        assert "the limit is broken" in report
        self.settled(first)

    def test_an_analysis_without_a_decision_follows_the_policy(self, first: Delivery, second: Delivery) -> None:
        first.deploy()
        short = {**WIDE, "min_requests": 1, "max_requests": 10}
        plan(second, {"analysis": short})
        assert failed(second).code == "deployment.analysis_inconclusive"
        self.settled(first)
        plan(second, {"analysis": short}, on_inconclusive="go_on")
        assert second.deploy().outcome == "deployed"

    def test_blue_green_does_every_step_before_there_is_any_traffic(self, first: Delivery, second: Delivery) -> None:
        first.deploy()
        plan(second, {"analysis": WIDE}, strategy="blue_green")
        after = second.deploy()
        assert after.outcome == "deployed"
        assert [p.weight for p in after.phases if p.phase.startswith(("analysis", "give"))] == [0, 100]
        self.settled(second)

    def test_a_shadow_is_asked_for_logged_requests_and_never_gets_traffic(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        requests = logged(second)
        plan(second, {"analysis": WIDE}, strategy="shadow")
        with self.load(before) as load:
            shadow = second.deploy(requests=requests)
            time.sleep(0.5)
        assert (shadow.outcome, shadow.endpoint, shadow.phases[-1].phase) == (
            "withdrawn",
            before.endpoint,
            "withdraw the candidate",
        )
        assert load.failures == []
        assert set(load.digests) == {first.digest}
        checks = {check.check: check for check in shadow.checks}
        alike = checks["analysis at 0 %: disagreement"], checks["analysis at 0 %: distance"]
        assert [check.limit for check in alike] == [
            "share of rows that are predicted otherwise: no limit",
            "mean distance of the probabilities: no limit",
        ]
        # Two trees of another depth: not the same, and not far apart.
        assert all(0 < check.measured["difference"] < 0.3 for check in alike)
        self.settled(first)
        plan(second, {"analysis": {**WIDE, "distance": 0.001}}, strategy="shadow", on_passed="promote")
        with pytest.raises(HeadwayError, match=r"distance: .* the limit is broken; allowed: mean distance"):
            second.deploy(requests=requests)
        self.settled(first)
        plan(second, {"analysis": {**WIDE, "distance": 0.5}}, strategy="shadow", on_passed="promote")
        assert second.deploy(requests=requests).outcome == "deployed"
        self.settled(second)

    def test_a_step_killed_in_a_rollout_and_run_again_goes_on_where_it_was(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "6s"})
        with self.load(before) as load:
            begun = time.monotonic()
            self.killed_in(second, step=1)
            left = self.engine(second).candidate()
            time.sleep(4)
            after = second.deploy()
        assert time.monotonic() - begun < 120
        assert load.failures == []
        assert after.outcome == "deployed"
        assert left is not None
        assert left.model_digest == second.digest
        assert [p.phase for p in after.phases if p.phase.startswith(("give", "pause"))] == [
            *(["give the candidate 50 %"] if self.splits else []),
            "pause for 6s",
            "give the candidate 100 %",
        ]
        # The time in which nobody watched does not count.
        assert next(p.end_s - p.start_s for p in after.phases if p.phase.startswith("pause")) > 5.9
        self.settled(second)

    def test_what_a_killed_rollout_left_is_taken_back_by_another_one(self, first: Delivery, second: Delivery) -> None:
        before = first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "10m"})
        with self.load(before) as load:
            self.killed_in(second, step=1)
            again = first.deploy()
            time.sleep(0.5)
        assert load.failures == []
        assert again.outcome == "unchanged"
        taken = next(p for p in again.phases if p.phase == "take back what a step before left")
        assert taken.detail == f"{second.digest[:12]} had been left beside the stable version"
        assert set(load.digests[-10:]) == {first.digest}
        self.settled(first)

    def test_a_rollback_that_was_killed_is_finished_before_anything_else(
        self, first: Delivery, second: Delivery
    ) -> None:
        first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "10m"})
        self.killed_in(second, step=1)
        engine = self.engine(second)
        with engine.deploying():
            progress = engine.progress()
            assert progress is not None
            engine.note(progress.model_copy(update={"failure": "it was too slow"}))
        plan(second, {"set_weight": 50}, {"pause": "1s"})
        after = second.deploy()
        taken = next(p for p in after.phases if p.phase == "take back what a step before left")
        assert taken.detail.endswith("it was being rolled back: it was too slow")
        assert after.outcome == "deployed"
        self.settled(second)

    def test_a_rollout_that_takes_too_long_is_rolled_back(self, first: Delivery, second: Delivery) -> None:
        before = first.deploy()
        plan(second, {"set_weight": 50}, *[{"pause": "15s"}] * 4, deadline="20s")
        with self.load(before) as load:
            error = failed(second)
        assert error.code == "deployment.deadline"
        assert "did not end within 20s" in error.message
        assert load.failures == []
        self.settled(first)

    def test_a_step_that_is_told_to_end_gives_the_traffic_back_and_goes_on_when_it_is_run_again(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "3s"})
        with self.load(before) as load:
            process = self.come_to(second, step=1)
            process.terminate()
            said = process.communicate()[1]
            assert process.returncode == 128 + signal.SIGTERM
            back = "the stable version has the 50 % back, and the candidate stays beside it"
            assert f"told to end: {back if self.splits else 'the next try finishes what it was doing'}" in said
            time.sleep(3)
            assert set(load.digests[-10:]) == {first.digest}
            after = second.deploy()
        assert load.failures == []
        assert (after.outcome, after.previous_digest) == ("deployed", first.digest)
        assert [p.phase for p in after.phases if p.phase.startswith(("give", "pause"))] == [
            *(["give the candidate 50 %"] if self.splits else []),
            "pause for 3s",
            "give the candidate 100 %",
        ]
        paused = next(p for p in after.phases if p.phase == "pause for 3s")
        assert paused.end_s - paused.start_s > 2.9  # the time in which nobody watched does not count
        self.settled(second)


def plan(delivery: Delivery, *steps: Mapping[str, Any], **more: Any) -> None:
    """Gives a delivery these steps."""
    delivery.serving = {**delivery.serving, "rollout": {"steps": list(steps), **more}}


def logged(delivery: Delivery) -> LocalArtifact:
    """Requests that callers have made, as a dataset: more columns than the model needs, and no predictions."""
    write_dataset({"log": flights(300, seed=5)}, delivery.folder / "requests")
    return LocalArtifact(str(delivery.folder / "requests"))


def failed(delivery: Delivery) -> HeadwayError:
    """The error that the step ends with."""
    with pytest.raises(HeadwayError) as error:
        delivery.deploy()
    return error.value


def body_of(deployment: Deployment) -> bytes:
    """A request for one golden row."""
    assert deployment.example_request
    body = shlex.split(deployment.example_request)[-1]
    assert json.loads(body)
    return body.encode()
