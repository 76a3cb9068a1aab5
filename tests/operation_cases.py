"""What every serving engine promises of an endpoint's operation: status, rollback, keeper, end.

A test class inherits these cases as it does those of `RolloutCases`, with the same fixtures.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.audit import verify_events
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components._shared.tracking import registered_version
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components.deployment.inspect import inspect
from headway.components.deployment.keeper import finish
from headway.components.deployment.record import Deployment
from headway.components.deployment.rollback import rollback
from headway.components.deployment.status import EndpointStatus
from headway.components.deployment.undeploy import undeploy
from tests.deployment_samples import Delivery
from tests.rollout_cases import EndpointCases, plan


class OperationCases(EndpointCases):
    """Needs the fixtures `first` and `second`."""

    def test_a_rollback_gives_the_release_before_the_traffic_without_a_lost_request(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        second.deploy()
        with self.load(before) as load:
            after = rolled_back(second, reason="it answers too slowly")
            time.sleep(0.5)
        assert (after.outcome, after.endpoint) == ("rolled_back", before.endpoint)
        assert (after.model_digest, after.previous_digest) == (first.digest, second.digest)
        assert load.failures == []
        assert set(load.digests[-10:]) == {first.digest}
        assert champion(first) == first.digest
        event = verify_events(State(str(first.state)), "flights")[-1]
        assert (event["action"], event["evidence"]["why"]) == ("rolled_back", "it answers too slowly")  # type: ignore[index]
        found = status(first)
        assert (found.state, [served.rolled_back for served in found.history.served]) == (
            "serving",
            [None, "it answers too slowly"],
        )
        self.settled(first)

    def test_what_was_rolled_back_is_not_deployed_again_unless_asked_for_by_its_digest(
        self, first: Delivery, second: Delivery
    ) -> None:
        first.deploy()
        second.deploy()
        rolled_back(second, reason="complaints")
        again = second.deploy()
        assert again.outcome == "refused"
        assert "it was rolled back at" in again.reason
        assert "complaints" in again.reason
        with pytest.raises(HeadwayError, match=r"rollback\.nothing_before"):
            rolled_back(first, reason="and back")
        with pytest.raises(HeadwayError, match=r"rollback\.unknown"):
            rolled_back(first, reason="and back", to_digest="0123")
        back = rolled_back(first, reason="it was the network", to_digest=second.digest[:8])
        assert (back.outcome, back.model_digest) == ("rolled_back", second.digest)
        assert second.deploy().outcome == "unchanged"

    def test_a_rollback_that_is_run_again_goes_back_no_further(
        self, first: Delivery, second: Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first.deploy()
        second.deploy()
        monkeypatch.setenv("HEADWAY_RUN_ID", "run-of-the-rollback")
        for outcome in ("rolled_back", "unchanged"):
            after = rolled_back(second, reason="complaints")
            assert (after.outcome, after.model_digest) == (outcome, first.digest)
        actions = [event["action"] for event in verify_events(State(str(first.state)), "flights")]
        assert actions.count("rolled_back") == 1

    def test_the_keeper_leaves_a_rollout_alone_until_its_deadline_and_then_takes_it_back(
        self, first: Delivery, second: Delivery
    ) -> None:
        before = first.deploy()
        assert kept(first)["outcome"] == "nothing_to_do"
        plan(second, {"set_weight": 50}, {"pause": "10m"}, deadline="30m")
        self.killed_in(second, step=1)
        assert kept(second)["outcome"] == "left_alone"
        found = status(second)
        assert found.rollout is not None
        assert found.candidate is not None
        weight = 50 if self.splits else 0
        assert (found.state, found.rollout.step, found.candidate.weight) == ("serving", 2, weight)
        engine = self.engine(second)
        progress = engine.progress()
        assert progress is not None
        with engine.deploying():  # once the killed step's hold on the endpoint has run out
            engine.note(progress.model_copy(update={"begun": "2026-01-01T00:00:00Z"}))
        late = status(second)
        assert (late.state, "was not finished in time" in late.told) == ("degraded", True)
        with self.load(before) as load:
            told = kept(second)
            time.sleep(0.5)
        assert told["outcome"] == "taken_back"
        assert told["state"] == "serving"
        assert load.failures == []
        assert set(load.digests[-10:]) == {first.digest}
        self.settled(first)
        assert verify_events(State(str(first.state)), "flights")[-1]["action"] == "rollout_taken_back"

    def test_the_keeper_leaves_a_step_alone_that_is_at_work(self, first: Delivery, second: Delivery) -> None:
        first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "10m"}, deadline="30m")
        self.killed_in(second, step=1)
        engine = self.engine(second)
        progress = engine.progress()
        assert progress is not None
        with engine.deploying():
            engine.note(progress.model_copy(update={"failure": "it was too slow"}))
            assert kept(second, serving={"busy_timeout_s": 0.5})["outcome"] == "left_alone"
        assert kept(second)["outcome"] == "taken_back"

    def test_an_endpoint_that_is_undeployed_leaves_nothing_and_can_be_deployed_again(
        self, first: Delivery, second: Delivery
    ) -> None:
        assert status(first).state == "absent"
        first.deploy()
        plan(second, {"set_weight": 50}, {"pause": "10m"})
        self.killed_in(second, step=1)
        assert names(first) == ["flights"]
        undeploy(artifact(first, "before.json"), **where(first))
        assert read(first, "before.json")["endpoints"][0]["state"] == "serving"
        assert (status(first).state, names(first)) == ("absent", [])
        assert verify_events(State(str(first.state)), "flights")[-1]["action"] == "removed"
        undeploy(artifact(first, "before.json"), **where(first))
        assert read(first, "before.json")["endpoints"][0]["state"] == "absent"
        with pytest.raises(HeadwayError, match=r"deployment\.not_serving"):
            status(first, must_serve=True)
        assert first.deploy().outcome == "deployed"
        assert status(first, must_serve=True).state == "serving"


def where(delivery: Delivery) -> dict[str, Any]:
    """The arguments that say which endpoint is meant."""
    return {
        "model_name": "flights",
        "engine": delivery.engine,
        "serving": {key: value for key, value in delivery.serving.items() if key != "rollout"},
        "state_uri": str(delivery.state),
    }


def rolled_back(delivery: Delivery, **arguments: Any) -> Deployment:
    """Calls the step rollback_deployment."""
    outputs = [artifact(delivery, "rollback.json"), artifact(delivery, "rollback.html")]
    return rollback(*outputs, **{**where(delivery), **arguments})


def kept(delivery: Delivery, **arguments: Any) -> dict[str, Any]:
    """Calls the step finish_rollout; gives what it says of its artifact."""
    output = artifact(delivery, "kept.json")
    given = where(delivery)
    given["serving"] = {**given["serving"], **arguments.get("serving", {})}
    finish(output, **given)
    return {**output.metadata, "state": read(delivery, "kept.json")["endpoints"][0]["state"]}


def status(delivery: Delivery, **arguments: Any) -> EndpointStatus:
    """Calls the step deployment_status."""
    return inspect(artifact(delivery, "status.json"), **{**where(delivery), **arguments})[0]


def names(delivery: Delivery) -> list[str]:
    """The endpoints that the step deployment_status finds."""
    found = inspect(artifact(delivery, "status.json"), **{**where(delivery), "model_name": None})
    return [each.model_name for each in found]


def artifact(delivery: Delivery, name: str) -> LocalArtifact:
    """An output."""
    return LocalArtifact(str(delivery.folder / name))


def read(delivery: Delivery, name: str) -> Any:
    """The content of an output."""
    return json.loads((delivery.folder / name).read_bytes())


def champion(delivery: Delivery) -> str | None:
    """Digest of the registry's champion."""
    state = State(str(delivery.state))
    version = Client(tracking_address("auto", state.uri)).get_registered_model("dev.flights").aliases["champion"]
    found = registered_version("flights", "dev", str(version), state)
    return found.model_digest if found else None
