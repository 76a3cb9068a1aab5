"""Rollouts and operation in a cluster: what every engine promises."""

from __future__ import annotations

import pytest

from headway.components.deployment.record import Deployment
from tests.cluster.kserve_home import Home
from tests.deployment_samples import Delivery, Load
from tests.operation_cases import OperationCases
from tests.rollout_cases import RolloutCases, body_of

pytestmark = pytest.mark.timeout(900)


class TestEndpointsOfACluster(RolloutCases, OperationCases):
    """The cases of every engine."""

    @pytest.fixture
    def first(self, home: Home) -> Delivery:
        return home.delivery(home.first)

    @pytest.fixture
    def second(self, home: Home) -> Delivery:
        return home.delivery(home.second)

    def load(self, deployment: Deployment) -> Load:
        assert deployment.endpoint
        return Load(deployment.endpoint, body_of(deployment), headers=deployment.headers, pause_s=0.1)


@pytest.mark.parametrize("module_home", ["0.19"], indirect=True)
class TestEndpointsWithTwoServices(TestEndpointsOfACluster):
    """The same cases where no weights can be set."""

    splits = False

    def load(self, deployment: Deployment) -> Load:
        assert deployment.endpoint
        return Load(deployment.endpoint, body_of(deployment), pause_s=0.1, kept=False)
