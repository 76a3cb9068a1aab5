"""Rollouts and operation in a cluster: what every engine promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from headway.components.deployment.record import Deployment
from tests.cluster.katib import kubeconfig_for
from tests.cluster.kserve_home import Home, new_home
from tests.cluster.kube import Kube
from tests.deployment_samples import Delivery, Load
from tests.operation_cases import OperationCases
from tests.rollout_cases import RolloutCases, body_of

pytestmark = pytest.mark.timeout(900)


class TestEndpointsOfACluster(RolloutCases, OperationCases):
    """The cases of every engine, each on an endpoint that has no model and no past yet."""

    plays = "0.21"

    @pytest.fixture
    def home(
        self,
        cluster: Kube,
        kserve: str,
        models: Mapping[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Home]:
        with new_home(cluster, kserve, models, tmp_path, self.plays) as made:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, made.place.namespace, tmp_path)))
            made.register()
            made.folder = tmp_path / "test"
            made.first, made.second = made.models
            yield made

    @pytest.fixture
    def first(self, home: Home) -> Delivery:
        return home.delivery(home.first)

    @pytest.fixture
    def second(self, home: Home) -> Delivery:
        return home.delivery(home.second)

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
