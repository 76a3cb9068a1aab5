"""The engine kserve on a real cluster: what gets traffic, what does not, and that no caller notices."""

from __future__ import annotations

import io
import json
import urllib.request
from collections import Counter

import polars as pl
import pytest

from headway.components._shared.artifacts import read_manifest
from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.golden import Golden
from headway.components.deployment.kserve.routes import until
from tests.cluster.katib import environment, kubeconfig_for
from tests.cluster.kserve_releases import NAME, WAYS, Place, on_each_way, prepare
from tests.cluster.load import steady_load
from tests.cluster.s3 import BUCKET
from tests.deployment_samples import flights, train_sample

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [train_sample(folder / f"depth-{depth}", depth=depth) for depth in (3, 2, 4)]


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def place(request, cluster, kserve, namespace, s3, tmp_path, monkeypatch):
    if request.param.endswith("knative"):
        request.getfixturevalue("knative")
    for name, value in environment(s3).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path)))
    prepare(cluster, namespace, s3)
    made = Place(cluster, namespace, kserve, f"s3://{BUCKET}/{namespace}", tmp_path, request.param)
    made.play(request.param)
    return made


@pytest.fixture
def served(place, models):
    """A place whose endpoint has the first model."""
    engine, release = place.engine(), place.release(models[0])
    with engine.deploying():
        engine.promote(engine.start(release))
    return place


def digests(load):
    """Who answered."""
    return Counter(answer.headers.get(DIGEST_HEADER) for answer in load.answers)


def lost(load):
    """Requests that failed, by second and by what came of them."""
    return dict(Counter((int(answer.sent_s), answer.status or answer.body) for answer in load.errors))


def whole(place):
    """The only thing that is there is one version, and what leads to it."""
    record = place.engine().lease.read()
    found, way = Counter(name.partition(" ")[0] for name in place.left()), record.way
    if way == "knative":  # revisions without traffic stay; Knative collects them later
        spec = place.kube.get(place.namespace, "inferenceservices.serving.kserve.io", NAME)["spec"]["predictor"]
        asked = spec["annotations"]["headway/version"], spec.get("canaryTrafficPercent")
        return (asked, found["InferenceService"]) == ((record.stable.name, None), 1)
    return found == {"Deployment": 1, "InferenceService": 1, "Service": 1 if way == "weights" else 2}


@on_each_way(core=("weights",))
def test_models_come_and_go_and_no_caller_notices(place, models):
    first, second, third = (place.release(model) for model in models)
    engine = place.engine()
    with engine.deploying():
        assert engine.stable(first) is None
        candidate = engine.start(first)
        assert place.answering() is None, "nobody reaches it before it was checked"
        assert engine.promote(candidate).model_digest == first.model_digest
    assert place.answering() == first.model_digest
    with steady_load(*place.caller()) as load:
        engine = place.engine()
        with engine.deploying():
            assert engine.stable(second).model_digest == first.model_digest
            candidate = engine.start(second)
            assert set(digests(load)) == {first.model_digest}, "a candidate starts without traffic"
            pods = uids(place, second)
            for weight in place.weights:
                engine.shift(candidate, weight)
            begun = len(load.answers)
            engine.promote(candidate)
            after = Counter(a.headers.get(DIGEST_HEADER) for a in load.answers[begun + 5 :])
            assert set(after) == {second.model_digest}
            assert uids(place, second) == pods, "promotion replaces no pod"
            assert engine.stable(second).as_asked
        with engine.deploying():
            candidate = engine.start(third)
            engine.shift(candidate, place.weights[-2:][0])
            engine.withdraw(candidate)
            engine.withdraw(candidate)
            assert engine.candidate() is None
    assert lost(load) == {}
    assert set(digests(load)) == {release.model_digest for release in (first, second, third)}
    assert whole(place)


def uids(place, release):
    pods = place.kube.get(place.namespace, "pods")
    of_it = [p for p in pods if p["metadata"]["annotations"]["headway/model-digest"] == release.model_digest]
    return {p["metadata"]["uid"] for p in of_it}


@on_each_way(core=("weights",))
def test_a_candidate_that_cannot_start_is_withdrawn_with_the_class_of_its_reason(served, models):
    good = served.release(models[1])
    with steady_load(*served.caller()) as load:
        for given, changes, code, said in (
            ({"image": "registry.invalid/none:1"}, {}, "image_pull", "registry.invalid/none:1"),
            ({}, {"uri": f"{served.state}/releases/flights/none"}, "storage", "No model found"),
            ({}, {"manifest_sha256": "0" * 64}, "layout", "[model.changed]"),
            ({"resources": {"cpu": "100m", "memory": "90Mi"}}, {}, "oom", "more memory than its limit"),
        ):
            engine = served.engine(**given)
            with engine.deploying(), pytest.raises(HeadwayError) as error:
                engine.start(served.release(models[1], **changes))
            assert (error.value.code, said in error.value.message) == (f"deployment.{code}", True), str(error.value)
            assert error.value.remedy
            assert whole(served)
    assert lost(load) == {}
    assert good.model_digest not in digests(load)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"resources": {"cpu": "100m", "memory": "900Gi"}}, "unschedulable", "Insufficient memory"),
        ({"service_account": "nobody"}, "config", 'serviceaccount "nobody" not found'),
        ({"storage_uri": "pvc://nothing/here"}, "volume", "nothing"),
        ({"service_account": "default"}, "storage", "could not be loaded from its store"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_pass_is_waited_for_and_then_told(served, models, given, code, said):
    engine = served.engine({"start_timeout_s": 20}, **given)
    with engine.deploying(), pytest.raises(HeadwayError) as error:
        engine.start(served.release(models[1]))
    assert (error.value.code, said in error.value.message) == (f"deployment.{code}", True), str(error.value)
    assert whole(served)


def test_a_quota_that_is_used_up_is_told(served, models):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    served.kube.apply(served.namespace, {**quota, "spec": {"hard": {"requests.memory": "700Mi"}}})
    engine = served.engine()
    with engine.deploying(), pytest.raises(HeadwayError) as error:
        engine.start(served.release(models[1]))
    assert error.value.code == "deployment.quota"
    assert "exceeded quota: small" in error.value.message
    first = served.release(models[0])
    assert served.answering() == first.model_digest
    # Where a way back needs a pod too (a revision of Knative's), it is ended by the next step once there is room.
    served.kube.kubectl("-n", served.namespace, "delete", "resourcequota", "small")
    engine = served.engine()
    with engine.deploying():
        assert engine.stable(first).model_digest == first.model_digest
    assert whole(served)


def test_what_was_begun_is_taken_up_by_the_next_step(served, models):
    second, third = (served.release(model) for model in models[1:])
    vanished = served.engine()
    with vanished.deploying():
        vanished.shift(vanished.start(second), served.weights[0])
    pods = uids(served, second)
    engine = served.engine()
    with engine.deploying():
        found = engine.candidate()
        assert (found.model_digest, found.as_asked) == (second.model_digest, True)
        engine.start(second)
        assert uids(served, second) == pods, "adopted with its pods"
        assert not served.engine(resources={"cpu": "120m", "memory": "600Mi"}).candidate().as_asked
        engine.start(third)
        assert engine.candidate().model_digest == third.model_digest, "another candidate takes its place"
        engine.withdraw(engine.candidate())
    assert whole(served)


def test_a_promotion_that_was_not_noted_is_noted_by_the_next_step(served, models):
    second = served.release(models[1])
    engine = served.engine()
    with engine.deploying():
        candidate = engine.start(second)
        engine.shift(candidate, 100)
        before = engine.lease.read()
        engine.promote(candidate)
        engine.lease.write(before)
    engine = served.engine()
    with engine.deploying():
        assert engine.candidate() is None
        assert engine.stable(second).model_digest == second.model_digest


def test_a_promotion_whose_end_was_not_seen_is_taken_back_like_any_rollout(served, models):
    first, second = (served.release(model) for model in models[:2])
    engine = served.engine()
    with steady_load(*served.caller()) as load, engine.deploying():
        candidate = engine.start(second)
        engine.shift(candidate, 100)
        record = engine.lease.read()
        engine._way(record).promote(record.stable, record.candidate)
        engine.withdraw(candidate)
        assert engine.stable(first).as_asked
        assert engine.candidate() is None
    assert lost(load) == {}
    assert served.answering() == first.model_digest
    assert whole(served)


def test_new_settings_for_the_same_model_are_a_candidate_like_any_other(served, models):
    release = served.release(models[0])
    engine = served.engine(service_account=None, storage_secret="s3", min_replicas=2)
    with steady_load(*served.caller()) as load, engine.deploying():
        assert not engine.stable(release).as_asked
        candidate = engine.start(release)
        engine.shift(candidate, 100)
        engine.promote(candidate)
        assert engine.stable(release).as_asked
    assert lost(load) == {}
    assert whole(served)


WEIGHTS = pytest.mark.parametrize("place", ["0.21"], indirect=True)
TWO_SERVICES = pytest.mark.parametrize("place", ["0.19"], indirect=True)


@WEIGHTS
def test_scaling_by_keda_is_refused_where_there_is_none_before_anything_starts(place, models):
    keda = {"kind": "keda", "server": "http://prometheus:9090", "query": "sum(x)", "target": 5}
    engine = place.engine(max_replicas=3, autoscaling=keda)
    with engine.deploying(), pytest.raises(HeadwayError) as error:
        engine.start(place.release(models[0]))
    assert (error.value.code, "no KEDA" in error.value.message) == ("deployment.cannot_scale", True)
    assert place.is_empty()


@WEIGHTS
def test_somebody_elses_change_is_reported_and_not_overwritten(served, models):
    edit = '{"spec": {"predictor": {"maxReplicas": 7}}}'
    kind = "inferenceservices.serving.kserve.io"
    patch = ("--type=merge", "-p", edit, "--field-manager=human")
    served.kube.kubectl("patch", "-n", served.namespace, kind, "flights", *patch)
    engine = served.engine()
    with engine.deploying(), pytest.raises(HeadwayError) as error:
        engine.start(served.release(models[1]))
    assert error.value.code == "kubernetes.conflict"
    assert "maxReplicas" in error.value.message
    assert served.kube.get(served.namespace, kind, "flights")["spec"]["predictor"]["maxReplicas"] == 7
    assert whole(served)


@WEIGHTS
def test_traffic_that_somebody_has_given_to_a_candidate_is_taken_back_with_it(served, models):
    first = served.release(models[0])
    engine = served.engine(drain_s=3)
    with engine.deploying():
        candidate = engine.start(served.release(models[1]))
        engine.shift(candidate, 10)
    kind = "inferenceservices.serving.kserve.io"
    canary = served.kube.get(served.namespace, kind, "flights")["spec"]["canary"]
    edit = json.dumps({"spec": {"canary": [{**canary[0], "trafficPercent": 90}]}})
    human = ("--type=merge", "-p", edit, "--field-manager=human")
    served.kube.kubectl("patch", "-n", served.namespace, kind, "flights", *human)
    engine = served.engine(drain_s=3)
    with engine.deploying():
        with pytest.raises(HeadwayError, match=r"kubernetes.conflict.*human"):
            engine.shift(candidate, 50)
        engine.withdraw(candidate)
        assert engine.candidate() is None
    assert served.answering() == first.model_digest
    assert whole(served)


@WEIGHTS
def test_a_service_that_somebody_has_put_in_its_place_is_not_deleted(served, models):
    kind = "inferenceservices.serving.kserve.io"
    served.kube.kubectl(
        "label", "-n", served.namespace, kind, "flights", "app.kubernetes.io/managed-by=human", "--overwrite"
    )
    with pytest.raises(HeadwayError, match=r"deployment.not_ours"):
        served.engine().remove()
    assert served.kube.get(served.namespace, kind, "flights")
    served.kube.kubectl(
        "label", "-n", served.namespace, kind, "flights", "app.kubernetes.io/managed-by=headway", "--overwrite"
    )


@WEIGHTS
def test_a_transformer_that_somebody_has_added_is_refused_before_there_is_a_candidate(served, models):
    """KServe's canaries are asked without it."""
    kind = "inferenceservices.serving.kserve.io"
    added = json.dumps({"spec": {"transformer": {"containers": [{"name": "kserve-container", "image": "x:1"}]}}})
    served.kube.kubectl("patch", "-n", served.namespace, kind, "flights", "--type=merge", "-p", added)
    engine = served.engine()
    with engine.deploying(), pytest.raises(HeadwayError) as error:
        engine.start(served.release(models[1]))
    assert error.value.code == "deployment.has_transformer"
    assert "canary" not in served.kube.get(served.namespace, kind, "flights")["spec"]


def test_a_service_that_is_not_ours_is_left_alone(place, models):
    image = {"name": "kserve-container", "image": "x:1"}
    annotations = {"serving.kserve.io/deploymentMode": "Standard"}
    foreign = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "flights", "annotations": annotations},
        "spec": {"predictor": {"containers": [image]}},
    }
    place.kube.apply(place.namespace, foreign)
    with pytest.raises(HeadwayError) as error, place.engine().deploying():
        pass
    assert error.value.code == "deployment.not_ours"


@WEIGHTS
def test_two_deployments_to_one_endpoint_take_turns(place, models):
    engine, other = place.engine(), place.engine({"busy_timeout_s": 1})
    with engine.deploying():
        with pytest.raises(HeadwayError) as error, other.deploying():
            pass
        assert error.value.code == "endpoint.busy"
    with other.deploying():
        pass


@WEIGHTS
def test_a_lease_whose_holder_has_died_is_taken_over(place):
    engine = place.engine()
    engine.lease._take()  # and never renewed
    with place.engine({"busy_timeout_s": 60}).deploying():
        with pytest.raises(HeadwayError) as error:
            engine.note(None)
        assert error.value.code == "endpoint.busy"


@pytest.mark.parametrize("place", ["0.21"], indirect=True)
def test_what_callers_asked_is_in_the_log_of_the_bucket_once_the_pod_has_ended(place, models, s3):
    told = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "log"}, "stringData": environment(s3)}
    place.kube.apply(place.namespace, told)
    release = place.release(models[0])
    engine = place.engine({"log": {"flush_s": 3600}}, log_secret="log")  # so late that only the end of the pod is left
    with engine.deploying():
        engine.promote(engine.start(release))
    rows = flights(20)
    body = Golden(rows.with_columns(prediction=rows["late"]), read_manifest(models[0])).request()
    address = f"{place.gateway}/v2/models/{NAME}/infer"
    for number in range(3):
        headers = {**place.headers, "content-type": "application/json", "x-request-id": f"ours-{number}"}
        urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=20).read()
    engine.remove()
    where = {"Bucket": BUCKET, "Prefix": f"{place.namespace}/logs/{NAME}/"}
    assert until(lambda: "Contents" in s3.client.list_objects_v2(**where), 60)
    files = [file["Key"] for file in s3.client.list_objects_v2(**where)["Contents"]]
    assert all("/date=" in file and "/hour=" in file for file in files), files
    read = [pl.read_parquet(io.BytesIO(s3.client.get_object(Bucket=BUCKET, Key=file)["Body"].read())) for file in files]
    log = pl.concat(read)
    assert Counter(log["_request"]) == {f"ours-{number}": len(rows) for number in range(3)}
    assert set(log["_model"]) == {release.model_digest}
    assert Counter(log["distance"]) == Counter(3 * rows["distance"].to_list())
