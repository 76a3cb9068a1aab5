"""The client for a Kubernetes namespace, against a real API server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, Kind
from headway.components._shared.kubernetes.kinds import CONFIG_MAP, JOB, SECRET, SERVING_RUNTIME
from tests.cluster.katib import bind_role, kubeconfig_for
from tests.cluster.kube import Kube

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def client(cluster: Kube, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path)))
    return Cluster()


def config(name: str, **data: str) -> dict[str, object]:
    return {**CONFIG_MAP.head, "metadata": {"name": name}, "data": data}


def test_what_is_applied_is_read_back_and_what_is_no_longer_sent_goes(client: Cluster) -> None:
    client.apply(config("one", a="1", b="2"))
    client.apply(config("one", a="3"))
    found = client.get(CONFIG_MAP, "one")
    assert found is not None
    assert found["data"] == {"a": "3"}


def test_the_fields_of_a_kind_are_those_that_the_api_describes_and_none_of_a_kind_that_it_does_not_have(
    client: Cluster, kserve: str
) -> None:
    assert {"containers", "resourceClaims"} <= client.fields(SERVING_RUNTIME)
    assert client.fields(Kind("none.example", "v1", "Nothing", "nothings")) == frozenset()


def test_a_dry_run_leaves_nothing(client: Cluster) -> None:
    client.apply(config("one", a="1"), dry_run=True)
    assert client.get(CONFIG_MAP, "one") is None


def test_an_annotation_changes_nothing_else_and_an_absent_object_is_no_error(client: Cluster) -> None:
    client.apply(config("one", a="1"))
    client.annotate(CONFIG_MAP, "one", {"seen": "yes"})
    client.annotate(CONFIG_MAP, "two", {"seen": "yes"})
    found = client.get(CONFIG_MAP, "one")
    assert found is not None
    assert (found["metadata"]["annotations"], found["data"]) == ({"seen": "yes"}, {"a": "1"})
    assert client.get(CONFIG_MAP, "two") is None


def test_fields_of_others_are_left_or_taken_back_below_the_paths_that_say_so(
    cluster: Kube, client: Cluster, namespace: str
) -> None:
    """Keys of maps may have dots, as those of node selectors do."""

    def edit(change: str) -> None:
        patch = ("--type=merge", "-p", change, "--field-manager=human", "-n", namespace)
        cluster.kubectl("patch", "configmap", "one", *patch)

    def found() -> dict[str, str]:
        return dict((client.get(CONFIG_MAP, "one") or {})["data"])

    client.apply(config("one", **{"a.b-c": "1", "d": "1"}))
    edit('{"data": {"a.b-c": "2", "d": "2"}}')
    with pytest.raises(HeadwayError, match=r"kubernetes.conflict"):
        client.apply(config("one", **{"a.b-c": "3", "d": "3"}))
    with pytest.raises(HeadwayError, match=r"kubernetes.conflict"):
        client.apply(config("one", **{"a.b-c": "3", "d": "3"}), taking=".data.d")
    client.apply(config("one", **{"a.b-c": "3", "d": "3"}), yielding=".data")
    assert found() == {"a.b-c": "2", "d": "2"}
    edit('{"data": {"d": "4"}}')
    client.apply(config("one", d="5"), taking=".data.d")
    assert found() == {"a.b-c": "2", "d": "5"}


def test_deleting_says_whether_there_was_anything(client: Cluster) -> None:
    client.apply(config("one"))
    assert client.delete(CONFIG_MAP, "one")
    assert not client.delete(CONFIG_MAP, "one")


def test_a_missing_kind_and_a_missing_right_are_named(
    cluster: Kube, client: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HeadwayError, match=r"kubernetes.kind_missing.*wonders.example.org"):
        client.list(Kind("example.org", "v1", "Wonder", "wonders"))
    bind_role(cluster, namespace, "tuner")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path, account="tuner")))
    restricted = Cluster()
    assert restricted.may("list", JOB)
    assert not restricted.may("list", SECRET)
    with pytest.raises(HeadwayError, match=rf"kubernetes.forbidden.*may not list secrets in the namespace {namespace}"):
        restricted.list(SECRET)


def test_a_server_that_does_not_answer_is_named_after_some_patience(
    cluster: Kube, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kubeconfig_for(cluster, namespace, tmp_path)
    file.write_text(re.sub(r"server: .*", "server: https://127.0.0.1:9", file.read_text()))
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(HeadwayError, match=r"kubernetes.unreachable.*:9 does not answer"):
        Cluster(patience_s=0.5).list(CONFIG_MAP)
