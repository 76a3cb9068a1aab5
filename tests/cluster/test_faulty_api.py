"""What our client makes of an API server that has bad minutes."""

from __future__ import annotations

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import CONFIG_MAP
from tests.cluster.faulty_api import faulty_api

CONFIG = {**CONFIG_MAP.head, "metadata": {"name": "one"}, "data": {"a": "1"}}


@pytest.mark.core
def test_answers_of_500_and_429_and_cut_connections_are_outlived(cluster, namespace, tmp_path, monkeypatch):
    with faulty_api(cluster.kubeconfig, tmp_path) as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
        client = Cluster(namespace)
        for status in (500, 429, 0):
            api.fail(status)
        client.apply(CONFIG)
        for status in (503, 0):
            api.fail(status, method="GET", path="configmaps/one")
        assert (client.get(CONFIG_MAP, "one") or {})["data"] == {"a": "1"}
        assert len(api.hit) == 5


def test_a_server_that_does_not_recover_is_named(cluster, namespace, tmp_path, monkeypatch):
    with faulty_api(cluster.kubeconfig, tmp_path) as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
        api.fail(500, times=1000)
        with pytest.raises(HeadwayError, match="a bad minute") as caught:
            Cluster(namespace, patience_s=1).apply(CONFIG)
    assert caught.value.code == "kubernetes.failing"
