"""Rollouts and operation in a cluster: what every engine promises."""

from __future__ import annotations

import pytest

from headway.components.deployment.record import Deployment
from tests.cluster.kserve_home import Home
from tests.deployment_samples import Delivery, Load
from tests.operation_cases import OperationCases
from tests.rollout_cases import RolloutCases, body_of, failed, plan

pytestmark = pytest.mark.timeout(900)


class TestEndpointsOfACluster(RolloutCases, OperationCases):
    """The cases of every engine, each on an endpoint that has no model and no past yet."""

    @pytest.fixture
    def first(self, endpoint: Home) -> Delivery:
        return endpoint.delivery(endpoint.first)

    @pytest.fixture
    def second(self, endpoint: Home) -> Delivery:
        return endpoint.delivery(endpoint.second)

    def load(self, deployment: Deployment) -> Load:
        assert deployment.endpoint
        return Load(deployment.endpoint, body_of(deployment), headers=deployment.headers, pause_s=0.1)


class TestEndpointsWithTwoServices(TestEndpointsOfACluster):
    """The same cases where no weights can be set."""

    plays = "0.19"
    splits = False

    def load(self, deployment: Deployment) -> Load:
        assert deployment.endpoint
        return Load(deployment.endpoint, body_of(deployment), pause_s=0.1, kept=False)

    def test_an_analysis_of_real_traffic_that_cannot_be_split_is_refused_before_there_is_a_candidate(
        self, first: Delivery, second: Delivery, endpoint: Home
    ) -> None:
        first.deploy()
        counted = {"prometheus": {"address": "http://prometheus.monitoring:9090"}}
        plan(second, {"set_weight": 10}, {"analysis": counted})
        error = failed(second)
        assert error.code == "deployment.cannot_split"
        assert "without prometheus" in error.remedy
        assert "start the candidate" not in (second.folder / "report.html").read_text()
        endpoint.settled(first)
