"""The role of deploy_model is enough, and each right in it is needed and missed by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from tests.cluster.katib import bind_role, environment, kubeconfig_for, roles_of
from tests.cluster.kserve.objects import GATEWAY
from tests.cluster.kserve_releases import WAYS, Place, on_each_way, prepare
from tests.cluster.s3 import BUCKET
from tests.deployment_samples import train_sample

pytestmark = pytest.mark.timeout(900)

ROLE = Path(__file__).resolve().parents[2] / "components" / "deployment" / "role.yaml"
RIGHTS = [
    (verb, resource, rule["apiGroups"][0])
    for rule in roles_of(ROLE)[0]["rules"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def place(request, cluster, kserve, namespace, s3, tmp_path, monkeypatch):
    if request.param.endswith("knative"):
        request.getfixturevalue("knative")
    for name, value in environment(s3).items():
        monkeypatch.setenv(name, value)
    prepare(cluster, namespace, s3)
    made = Place(cluster, namespace, kserve, f"s3://{BUCKET}/{namespace}", tmp_path, request.param)
    made.play(request.param)
    return made


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [train_sample(folder / f"depth-{depth}", depth=depth) for depth in (3, 2)]


def act_as(place, monkeypatch, account, **rights):
    bind_role(place.kube, place.namespace, account, **rights, file=ROLE)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(place.kube, place.namespace, place.folder, account)))


def why_not(place, release):
    """Uses every right: a first version is made, looked at, found to have ended, its log is read, and it is deleted.

    One that does not end gets the traffic, and is removed.
    """
    engine = place.engine()
    try:
        engine.names()
        with engine.deploying():
            engine.promote(engine.start(release))
        engine.remove()
    except HeadwayError as error:
        return error
    raise AssertionError("nothing was missing")


# Two services need every right that weights need.
@on_each_way()
def test_the_role_is_enough_for_a_rollout_and_for_a_candidate_that_cannot_start(place, models, monkeypatch):
    act_as(place, monkeypatch, "deployer")
    first, second = (place.release(model) for model in models)
    broken = place.release(models[1], manifest_sha256="0" * 64)
    assert why_not(place, broken).code == "deployment.layout"
    assert place.is_empty()
    for release in (first, second):
        engine = place.engine()
        with engine.deploying():
            candidate = engine.start(release)
            if engine.stable(release):
                engine.shift(candidate, 100)
            engine.promote(candidate)
    assert place.answering() == second.model_digest


ONLY_REVISIONS_NEED = ("list", "deployments", "apps")


# Two services need every right that weights need.
@pytest.mark.parametrize("place", ["0.19"], indirect=True)
@pytest.mark.parametrize("right", [right for right in RIGHTS if right != ONLY_REVISIONS_NEED], ids=" ".join)
def test_each_right_that_is_missing_is_named(place, models, monkeypatch, right):
    check_without(place, models, monkeypatch, right)


@pytest.mark.parametrize("place", ["0.19-knative"], indirect=True)
def test_a_right_that_only_revisions_need_is_named(place, models, monkeypatch):
    check_without(place, models, monkeypatch, ONLY_REVISIONS_NEED)


def check_without(place, models, monkeypatch, right):
    good, broken = place.release(models[0]), place.release(models[1], manifest_sha256="0" * 64)
    verb, resource, _ = right
    act_as(place, monkeypatch, "less", without=right)
    # What a version that ended leaves behind is told beside why it ended; that cannot be deleted is an error by itself.
    error = why_not(place, good if resource == "services" or verb == "delete" else broken)
    assert error.code == "kubernetes.forbidden", (right, str(error))
    assert f'cannot {verb} resource "{resource}"' in str(error) or f"may not {verb} {resource}" in str(error)
    assert "role.yaml" in error.remedy


# What some settings need beyond that. `recommend_resources` is in test_kserve_recommender.


def serve(place, model, **settings):
    """Brings a model to traffic."""
    with (engine := place.engine(**settings)).deploying():
        candidate = engine.start(release := place.release(model))
        if engine.stable(release):
            engine.shift(candidate, 100)
        engine.promote(candidate)


def missing(place, model, **settings):
    """What the step says without the right."""
    with pytest.raises(HeadwayError) as error:
        serve(place, model, **settings)
    assert "role.yaml" in error.value.remedy
    return error.value


@on_each_way()
def test_a_way_through_the_gateway_has_a_role_of_its_own(place, models, monkeypatch):
    doors = {"through_gateway": {"parent": "/".join(GATEWAY), "domain": "example.com"}}
    act_as(place, monkeypatch, "deployer")
    assert missing(place, models[0], **doors).code == "kubernetes.forbidden"
    act_as(place, monkeypatch, "deployer", more="gateway", without=("create", "httproutes"))
    assert "httproutes" in str(missing(place, models[0], **doors))
    act_as(place, monkeypatch, "deployer", more="gateway")
    for model in models:
        serve(place, model, **doors)


@pytest.mark.parametrize("place", ["0.21"], indirect=True)
def test_autoscaling_has_a_role_of_its_own_without_which_something_is_left_behind_and_told(
    place, models, monkeypatch, caplog
):
    by_load = {"max_replicas": 2, "autoscaling": {"kind": "hpa", "metric": "cpu"}}
    scalers = lambda: len(place.kube.get(place.namespace, "hpa"))  # noqa: E731
    act_as(place, monkeypatch, "deployer")
    for model in models:
        serve(place, model, **by_load)
    assert scalers() == 2
    assert "deleting the autoscaler that KServe forgets" in caplog.text
    assert "horizontalpodautoscalers" in caplog.text
    place.kube.kubectl("delete", "-n", place.namespace, "hpa", "--all")
    act_as(place, monkeypatch, "deployer", more="hpa")
    serve(place, models[0], **by_load)
    assert scalers() == 1


@pytest.mark.parametrize("place", ["0.21"], indirect=True)
def test_whether_there_is_keda_is_a_right_of_its_own(place, models, monkeypatch):
    asks = {"server": "http://prometheus.monitoring:9090", "query": "up", "target": 1}
    by_query = {"max_replicas": 2, "autoscaling": {"kind": "keda", **asks}}
    act_as(place, monkeypatch, "deployer")
    assert 'cannot get resource "scaledobjects"' in str(missing(place, models[0], **by_query))
    act_as(place, monkeypatch, "deployer", more="keda")
    with pytest.raises(HeadwayError, match=r"deployment\.cannot_scale.* has no KEDA"):
        serve(place, models[0], **by_query)
