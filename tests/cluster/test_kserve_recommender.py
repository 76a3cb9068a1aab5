"""The recommender of an endpoint, against a real API server; the kind is a stand-in's, with the fields that we use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headway.components._shared.config import parse
from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import VERTICAL_AUTOSCALER
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.recommender import Recommender
from headway.components.deployment.kserve.version import Version, version_of
from tests.cluster.katib import bind_role, kubeconfig_for
from tests.cluster.kserve_releases import NAME

ROLE = Path(__file__).resolve().parents[2] / "components" / "deployment" / "role.yaml"
TEXT = {"type": "string"}


def closed(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "required": required, "properties": properties}


@pytest.fixture
def client(cluster, namespace, tmp_path, monkeypatch):
    bind_role(cluster, namespace, "deployer", more="recommender", file=ROLE)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path, "deployer")))
    return Cluster()


@pytest.fixture
def knows_the_kind(cluster):
    """The CustomResourceDefinition: names, and a schema that refuses what the real one refuses of our fields."""
    name = f"{VERTICAL_AUTOSCALER.plural}.{VERTICAL_AUTOSCALER.group}"
    if name in cluster.kubectl("get", "crd", "-o", "name"):
        yield
        return
    policy = {"type": "string", "enum": ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"]}
    spec = closed(
        ["targetRef"],
        targetRef=closed(["kind", "name"], apiVersion=TEXT, kind=TEXT, name=TEXT),
        updatePolicy=closed([], updateMode=policy),
    )
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": VERTICAL_AUTOSCALER.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": closed(["spec"], spec=spec, status=status)},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {
            "group": VERTICAL_AUTOSCALER.group,
            "names": {"kind": VERTICAL_AUTOSCALER.name, "plural": VERTICAL_AUTOSCALER.plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    yield
    cluster.kubectl("delete", "crd", name)


def version(digest: str) -> Version:
    release = Release("flights", "dev", "1", digest * 64, "m" * 64, 0.5, "s3://b/state/releases/flights")
    return version_of(release, "s3://b/model", Serving(), parse(KServe, {}, parameter="kserve"))


def test_it_watches_the_version_that_serves_and_tells_what_a_pod_needs(knows_the_kind, client, cluster, namespace):
    recommender = Recommender(client, "flights")
    assert recommender.found() == {}
    for each in (version("a"), version("b")):
        recommender.watch(each.named("flights"))
        spec = client.get(VERTICAL_AUTOSCALER, "flights")["spec"]
        assert (spec["targetRef"]["name"], spec["updatePolicy"]) == (each.named("flights"), {"updateMode": "Off"})
    told = [
        {"containerName": name, "target": {"cpu": cpu}}
        for name, cpu in (("sidecar", "1"), ("kserve-container", "120m"))
    ]
    patch = json.dumps({"status": {"recommendation": {"containerRecommendations": told}}})
    kind = f"{VERTICAL_AUTOSCALER.plural}.{VERTICAL_AUTOSCALER.group}"
    cluster.kubectl("patch", kind, "flights", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    assert recommender.found() == {"cpu": "120m"}
    recommender.end()
    recommender.end()
    assert client.get(VERTICAL_AUTOSCALER, "flights") is None


def test_it_is_there_as_soon_as_it_is_asked_for_and_goes_once_it_is_not(knows_the_kind, home):
    kind = f"{VERTICAL_AUTOSCALER.plural}.{VERTICAL_AUTOSCALER.group}"
    assert home.delivery(home.first, kserve={"recommend_resources": True}).deploy().outcome == "unchanged"
    found = home.place.kube.get(home.place.namespace, kind, NAME)
    assert found["spec"]["targetRef"]["name"] == home.engine().lease.read().stable.named(NAME)
    assert home.delivery(home.first).deploy().outcome == "unchanged"
    assert home.place.kube.get(home.place.namespace, kind, NAME) is None


def test_without_the_right_or_the_kind_a_model_serves_all_the_same(cluster, namespace, tmp_path, monkeypatch, caplog):
    bind_role(cluster, namespace, "deployer", file=ROLE)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path, "deployer")))
    recommender = Recommender(Cluster(), "flights")
    recommender.watch(version("a").named("flights"))
    assert "nothing recommends resources for flights" in caplog.text
    assert recommender.found() == {}
    recommender.end()
