"""The engine `kserve` without a cluster: what it would apply, what it makes of what a cluster says."""

import hashlib
import http.server
import itertools
import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from headway.components._shared.config import parse
from headway.components._shared.endpoints.log import InferenceLog
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Address, Release
from headway.components.deployment.kserve import routes
from headway.components.deployment.kserve.capabilities import Capabilities, canary_unknown, cannot_split, choose
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.lease import Record
from headway.components.deployment.kserve.manifest import (
    KSERVE_0_15,
    inference_service,
    kept_from,
    knative_service,
    service_of_its_own,
    versions_in,
)
from headway.components.deployment.kserve.reasons import Evidence, reason
from headway.components.deployment.kserve.rules import against_schema, broken_rules, check, storage_uri_of
from headway.components.deployment.kserve.storage import require_whole, storage_uri
from headway.components.deployment.kserve.version import elsewhere, version_of
from headway.components.deployment.kserve.watch import metrics_of
from headway.components.deployment.memory import History, Served

A, B = "a" * 64, "b" * 64


def release(digest=A, **changes):
    told = {"version": "3", "environment": "dev", "manifest_sha256": "m" * 64, "threshold": 0.25}
    told |= {"model_name": "flights", "uri": f"s3://b/state/releases/flights/{digest}"}
    return Release(model_digest=digest, **{**told, **changes})


def version(digest=A, *, serving=None, **kserve):
    given = release(digest)
    uri = storage_uri(given.uri, "s3://b/state", None)
    return version_of(given, uri, serving or Serving(), parse(KServe, kserve, parameter="kserve"))


# The manifest.


def test_the_pods_run_our_server_on_the_release_that_the_verdict_is_about():
    service = inference_service("flights", version())
    container = service["spec"]["predictor"]["containers"][0]
    assert container["command"] == ["python", "-m", "headway.components.serving"]
    given = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert given["--manifest-sha256"] == "m" * 64
    assert (given["--threshold"], given["--model-name"]) == ("0.25", "flights")
    assert storage_uri_of(service["spec"]["predictor"]) == f"s3://b/state/releases/flights/{A}/model"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    (ending,) = (each["value"] for each in container["env"] if each["name"] == "HEADWAY_ENDING_FILE")
    assert container["lifecycle"]["preStop"]["exec"]["command"][-1] == f"touch {ending}; sleep 10"


def test_the_metrics_of_a_version_are_those_of_its_own_pods_and_of_no_other():
    name = version().named("flights")
    found = metrics_of(name, "models")
    assert (found["namespace"], found["service"]) == ("models", name)
    assert re.fullmatch(found["pods"], f"{name}-6f7c9d8b5-x2x9k")
    for other in (version(B).named("flights"), f"my-{name}"):
        assert not re.fullmatch(found["pods"], f"{other}-6f7c9d8b5-x2x9k")


def test_a_manifest_depends_on_nothing_but_its_inputs():
    assert inference_service("flights", version()) == inference_service("flights", version())
    assert version().name != version(B).name
    assert version().name != version(resources={"memory": "2Gi"}).name
    assert version(serving=Serving(max_rows=5)).name != version().name


def test_a_log_in_a_bucket_is_written_by_the_pods_with_the_keys_of_its_secret():
    serving = Serving(log=InferenceLog(uri="s3://b/state/logs/flights"))
    service = inference_service("flights", version(serving=serving, log_secret="store"))
    check(service)
    (container,) = service["spec"]["predictor"]["containers"]
    given = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert given["--log-uri"] == "s3://b/state/logs/flights"
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]


def test_a_log_where_no_pod_can_write_is_refused():
    with pytest.raises(HeadwayError, match=r"\[deployment.log_unreachable\].*serving.log.uri"):
        version(serving=Serving(log=InferenceLog(uri="pvc://claim/state/logs/flights")))


def test_what_stands_in_the_metadata_is_the_same_for_every_version_since_it_would_replace_the_pods_of_all():
    versions = [version(), version(B, min_replicas=3, storage_secret="minio", node_selector={"pool": "x"})]
    assert len({json.dumps(inference_service("flights", v)["metadata"], sort_keys=True) for v in versions}) == 1
    both = inference_service("flights", versions[0], versions[1], 50)
    assert both["metadata"] == inference_service("flights", versions[0])["metadata"]


def test_a_candidate_at_zero_percent_has_a_pod_all_the_same():
    service = inference_service("flights", version(), version(B), 0)
    (canary,) = service["spec"]["canary"]
    assert (canary["trafficPercent"], canary["predictor"]["minReplicas"]) == (0, 1)
    assert "maxReplicas" not in canary["predictor"]


def test_the_pods_of_a_candidate_stay_the_same_when_it_becomes_the_stable_version():
    old, new = version(), version(B, min_replicas=2)
    canary = inference_service("flights", old, new, 100)["spec"]["canary"][0]["predictor"]
    promoted = inference_service("flights", new)["spec"]["predictor"]
    pods = ("name", "containers", "annotations", "volumes", "terminationGracePeriodSeconds")
    assert {key: canary[key] for key in pods} == {key: promoted[key] for key in pods}


def test_the_stable_version_keeps_its_pods_while_a_candidate_runs_though_kserve_takes_the_candidates_off():
    old, new = version(min_replicas=3, max_replicas=3), version(B, min_replicas=2)
    spec = inference_service("flights", old, new, 10)["spec"]
    assert spec["canary"][0]["predictor"]["minReplicas"] == 2
    assert spec["predictor"]["minReplicas"] - 2 == 3
    assert spec["predictor"]["maxReplicas"] >= spec["predictor"]["minReplicas"]


def test_other_settings_for_the_same_model_are_told_apart_but_another_spelling_of_the_address_is_not():
    one = version()
    assert not one.same_as(version(resources={"cpu": "1"}))
    again = elsewhere(one)
    assert again.same_as(one)
    assert again.name != one.name
    assert storage_uri_of(again.predictor) == storage_uri_of(one.predictor) + "/"
    assert elsewhere(again).storage_uri == one.storage_uri


def test_what_a_candidate_cannot_take_away_is_known():
    old = version(node_selector={"pool": "a", "disk": "ssd"}, storage_secret="minio", priority_class="high")
    assert kept_from(old, old) == []
    assert kept_from(old, version(node_selector={"pool": "b"})) == [
        "priorityClassName",
        "annotations.serving.kserve.io/storageSecretName",
        "nodeSelector.disk",
    ]
    assert kept_from(version(service_account="x"), version()) == [], "the default account is named"


def test_a_first_version_has_no_way_in_until_it_was_checked():
    label = "networking.kserve.io/visibility"
    assert inference_service("flights", version(), dark=True)["metadata"]["labels"][label] == "cluster-local"
    assert label not in inference_service("flights", version())["metadata"]["labels"]


def test_versions_are_known_by_their_service_where_nothing_else_is_left_of_them():
    old, new = version(min_replicas=2), version(B)
    stable, candidate = versions_in(inference_service("flights", old, new, 50))
    assert (stable.name, candidate.name, candidate.model_digest) == (old.name, new.name, B)
    assert versions_in(inference_service("flights", old))[0].same_as(old)
    assert versions_in(inference_service("flights", old, dark=True)) == (
        None,
        stable.model_copy(update={"scaling": old.scaling}),
    )
    foreign = inference_service("flights", old)
    foreign["metadata"]["labels"] = {}
    assert versions_in(foreign) is None


def test_scaling_is_written_as_kserve_wants_it():
    hpa = inference_service("flights", version(max_replicas=5, autoscaling={"metric": "memory"}))
    assert hpa["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert hpa["spec"]["predictor"]["scaleMetric"] == "memory"
    keda = version(max_replicas=5, autoscaling=BY_KEDA)
    metric = inference_service("flights", keda)["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]
    assert metric["target"] == {"type": "Value", "value": "0.25"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_replicas": 3}, "max_replicas needs autoscaling"),
        ({"autoscaling": {"kind": "hpa"}}, "autoscaling needs max_replicas, and more than min_replicas"),
        ({"autoscaling": {"kind": "hpa"}, "min_replicas": 3, "max_replicas": 3}, "autoscaling needs max_replicas"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas is less than min_replicas"),
        ({"autoscaling": {"kind": "keda"}}, "keda needs server, query and target"),
        ({"resources": {"memory": "lots"}}, "serving.kserve.resources.memory"),
        ({"resources": {"cpu": "1500m"}}, "cpu 1500m is more than max_cpu 1"),
        ({"gateway": "gateway.example"}, "serving.kserve.gateway"),
        ({"min_replica": 2}, "did you mean 'min_replicas'"),
    ],
)
def test_a_wrong_setting_is_named(given, said):
    with pytest.raises(HeadwayError, match=r"config\.invalid") as error:
        parse(Serving, {"kserve": given}, parameter="serving")
    assert said in str(error.value)


def test_a_version_with_a_service_of_its_own_has_the_same_pods_and_needs_nothing_that_an_old_kserve_lacks():
    one = version(min_replicas=2)
    service = service_of_its_own("flights", one)
    together = inference_service("flights", one)
    assert "name" not in service["spec"]["predictor"]
    assert {"name": one.name, **service["spec"]["predictor"]} == together["spec"]["predictor"]
    assert service["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    assert f"{service['metadata']['name']}-predictor" == one.named("flights")
    check(service_of_its_own("m" * 31, one))


def test_kserve_0_15_is_spoken_to_in_its_own_words():
    annotations = service_of_its_own("flights", version(), KSERVE_0_15)["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert annotations["serving.kserve.io/autoscalerClass"] == "external"
    scaled = service_of_its_own("flights", version(max_replicas=5, autoscaling={"metric": "cpu"}), KSERVE_0_15)
    assert scaled["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"


# Storage.


def test_the_store_that_kfp_calls_minio_is_an_s3_store():
    uri = storage_uri("/mnt/state/releases/flights/d", "/mnt/state", "minio://mlpipeline/state")
    assert uri == "s3://mlpipeline/state/releases/flights/d/model"
    uri = storage_uri("/mnt/state/releases/flights/d", "/mnt/state/", "pvc://claim/")
    assert uri == "pvc://claim/releases/flights/d/model"


@pytest.mark.parametrize("root", ["/mnt/state", "file:///mnt/state", "ftp://host/state"])
def test_an_address_that_no_pod_can_read_is_refused(root):
    with pytest.raises(HeadwayError) as error:
        storage_uri(f"{root}/releases/flights/d", root, None)
    assert error.value.code == "deployment.storage_unreachable"
    assert "serving.kserve.storage_uri" in error.value.remedy


def test_a_model_with_an_empty_file_is_refused_where_kserve_would_leave_it_out(tmp_path):
    files = {"code/__init__.py": hashlib.sha256(b"").hexdigest(), "code/model.py": hashlib.sha256(b"x").hexdigest()}
    (tmp_path / "model").mkdir()
    (tmp_path / "model/headway.json").write_text(json.dumps({"files": files}))
    with pytest.raises(HeadwayError) as error:
        require_whole(str(tmp_path), "s3://b/state/releases/flights/d/model")
    assert (error.value.code, error.value.value) == ("deployment.empty_file", "code/__init__.py")
    require_whole(str(tmp_path), "pvc://claim/releases/flights/d/model")


# Rules.


def test_our_own_manifests_break_no_rule():
    first, longest = version(), "m" * 31
    check(inference_service("flights", first))
    check(inference_service(longest, first, version(B, min_replicas=2), 100))
    check(inference_service("flights", elsewhere(first), first, 0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["metadata"].update(name="flights-"), "must be a-z"),
        (lambda s: s["metadata"].update(name="m" * 40), "longer than 63"),
        (lambda s: s["metadata"]["annotations"].pop("serving.kserve.io/deploymentMode"), "deploymentMode: Standard"),
        (lambda s: s["spec"]["canary"][0].update(trafficPercent=101), "add up to 100"),
        (lambda s: s["spec"]["canary"][0]["predictor"].update(name=s["spec"]["predictor"]["name"]), "name of its own"),
        (lambda s: s["spec"]["canary"][0]["predictor"].update(maxReplicas=2), "may not set maxReplicas"),
        (lambda s: s["spec"]["canary"][0]["predictor"].update(minReplicas=2), "more minReplicas"),
        (lambda s: s["spec"]["predictor"].update(model={"name": "m"}), "exactly one of"),
        (lambda s: s["spec"]["predictor"].update(minReplicas=3, maxReplicas=2), "contradict"),
        (lambda s: s["spec"]["predictor"].update(logger={"url": "http://x"}), "logger.mode"),
    ],
)
def test_what_the_webhook_would_refuse_is_refused_before_it_is_sent(change, said):
    service = json.loads(json.dumps(inference_service("flights", version(), version(B), 50)))
    change(service)
    assert any(said in rule for rule in broken_rules(service))
    with pytest.raises(HeadwayError) as error:
        check(service)
    assert error.value.code == "deployment.manifest_refused"


# Capabilities.


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"routes": False}, "no Gateway API"),
        ({"canary": False}, "from 0.21 on"),
        ({"routed": False}, "has no HTTPRoute"),
    ],
)
def test_a_cluster_that_cannot_split_traffic_is_told_why(found, said):
    whole = {"routes": True, "canary": True, "routed": True}
    assert cannot_split(Capabilities(**whole)) is None
    assert said in cannot_split(Capabilities(**{**whole, **found}))


def test_a_kserve_without_canaries_is_known_by_what_the_server_says():
    said = (
        "failed to create typed patch object (ns/flights; InferenceService): .spec.canary: field not declared in schema"
    )
    assert canary_unknown(HeadwayError("kubernetes.refused", said, remedy=""))
    assert not canary_unknown(HeadwayError("kubernetes.refused", "a webhook says no", remedy=""))


@pytest.mark.parametrize(
    ("found", "asked", "unsplit", "way", "said"),
    [
        ({}, "auto", None, "weights", "knows canaries"),
        ({"canary": False}, "auto", None, "two_services", "from 0.21 on"),
        ({"routes": False}, "auto", None, "two_services", "no Gateway API"),
        ({}, "auto", "no route named it", "two_services", "weights were tried: no route named it"),
        ({}, "two_services", None, "two_services", "asked for"),
        ({}, "weights", "no route named it", "weights", "asked for"),
    ],
)
def test_the_way_of_the_traffic_follows_from_what_the_cluster_can_and_from_what_was_asked(
    found, asked, unsplit, way, said
):
    whole = Capabilities(**{"routes": True, "canary": True, **found})
    chosen, why = choose(whole, KServe(traffic=asked), unsplit, "flights")
    assert chosen == way
    assert said in why


def test_weights_that_are_asked_for_where_they_would_not_work_are_refused_with_the_way_out():
    with pytest.raises(HeadwayError) as error:
        choose(Capabilities(routes=True, canary=False), KServe(traffic="weights"), None, "flights")
    assert error.value.code == "deployment.cannot_split"
    assert "serving.kserve.traffic two_services" in error.value.remedy


@pytest.mark.parametrize(
    ("toleration", "said"),
    [
        ({"key": "spot", "effekt": "NoSchedule"}, "effekt"),
        ({"key": "spot", "operator": "Exists", "value": "true"}, "there is no value"),
        ({"value": "true"}, "without a key"),
        ({"key": "spot", "tolerationSeconds": 5}, "NoExecute"),
    ],
)
def test_a_toleration_that_kubernetes_would_refuse_is_refused_before_anything_is_sent(toleration, said):
    with pytest.raises(HeadwayError) as error:
        version(tolerations=[toleration])
    assert said in str(error.value)
    spot = {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
    assert version(tolerations=[spot]).predictor["tolerations"] == [spot]


EVERYTHING = {
    "storage_secret": "store",
    "image_pull_secrets": ["registry"],
    "node_selector": {"pool": "spot"},
    "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
    "priority_class": "high",
    "logger": {"url": "http://log.models"},
}
BY_KEDA = {"kind": "keda", "server": "http://prometheus:9090", "query": "sum(x)", "target": 0.25}


def test_whatever_is_asked_for_fits_the_schema_of_kserve():
    plain, full = version(), version(B, **EVERYTHING)
    keda = version(max_replicas=5, autoscaling=BY_KEDA)
    hpa = version(max_replicas=5, autoscaling={"metric": "memory"})
    made = [inference_service("flights", *pair, 50) for pair in itertools.permutations((plain, full, keda, hpa), 2)]
    made += [inference_service("flights", each, dark=True) for each in (plain, full, keda, hpa)]
    made += [service_of_its_own("flights", each, KSERVE_0_15) for each in (plain, full, keda, hpa)]
    made += [knative_service("flights", version(min_replicas=0, **BY_REQUESTS), percent) for percent in (None, 25)]
    assert [against_schema(each) for each in made] == [None] * len(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["spec"].update(canaries=[]), "spec must not contain {'canaries'}"),
        (lambda s: s["spec"]["predictor"].update(minReplicas="2"), "spec.predictor.minReplicas must be integer"),
        (lambda s: s["spec"]["predictor"]["containers"][0].pop("name"), "containers[0] must contain ['name']"),
        (lambda s: s["spec"]["predictor"]["containers"][0]["startupProbe"].update(period=2), "startupProbe must not"),
        (lambda s: s["spec"]["canary"][0]["predictor"].update(nodeSelector={"a": 1}), "nodeSelector.a must be string"),
    ],
)
def test_what_the_schema_of_kserve_does_not_know_is_refused_before_it_is_sent(change, said):
    service = json.loads(json.dumps(inference_service("flights", version(), version(B), 50)))
    change(service)
    with pytest.raises(HeadwayError) as error:
        check(service)
    assert (error.value.code, said in error.value.message) == ("deployment.manifest_refused", True), error.value.message


BY_REQUESTS = {"autoscaling": {"kind": "knative", "metric": "concurrency", "target": 8}, "max_replicas": 4}
BY_LOAD = {"autoscaling": {"kind": "hpa"}, "max_replicas": 4}
BY_QUERY = {"autoscaling": BY_KEDA, "max_replicas": 4}


@pytest.mark.parametrize(
    ("canary", "settings", "way", "said"),
    [
        (True, {}, "weights", "knows canaries"),
        (False, {}, "knative", "but it has Knative"),
        (True, {"min_replicas": 0}, "knative", "only Knative scales like this"),
        (True, BY_REQUESTS, "knative", "only Knative scales like this"),
        (False, BY_LOAD, "two_services", "from 0.21 on"),
        (True, {"traffic": "knative"}, "knative", "asked for"),
        (True, BY_QUERY, "two_services", "KEDA scales a candidate only where it has a service of its own"),
    ],
)
def test_knative_is_taken_for_what_it_alone_can_and_before_moving_all_the_traffic_at_once(canary, settings, way, said):
    asked = parse(KServe, settings, parameter="kserve")
    chosen, why = choose(Capabilities(routes=True, canary=canary, knative=True), asked, None, "flights")
    assert (chosen, said in why) == (way, True)


@pytest.mark.parametrize(
    ("settings", "knative", "said"),
    [
        ({"min_replicas": 0}, False, "no Knative Serving"),
        ({"traffic": "knative"}, False, "no Knative Serving"),
        ({"traffic": "knative", **BY_LOAD}, True, "scales pods itself"),
        ({"traffic": "weights", "min_replicas": 0}, True, "need Knative"),
        ({"traffic": "weights", **BY_QUERY}, True, "beside a canary KEDA scales nothing"),
        ({"traffic": "two_services", **BY_REQUESTS}, True, "need Knative"),
    ],
)
def test_scaling_that_a_cluster_does_not_have_is_refused(settings, knative, said):
    with pytest.raises(HeadwayError) as error:
        choose(Capabilities(True, True, knative=knative), parse(KServe, settings, parameter="kserve"), None, "flights")
    assert (error.value.code, said in error.value.message) == ("deployment.cannot_scale", True)


def test_in_the_mode_knative_nothing_is_asked_for_that_knative_refuses():
    service = knative_service("flights", version(min_replicas=0, **BY_REQUESTS), 25)
    predictor = service["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert not {"terminationGracePeriodSeconds", "deploymentStrategy", "name"} & set(predictor)
    assert "lifecycle" not in container
    assert (predictor["canaryTrafficPercent"], predictor["minReplicas"]) == (25, 0)
    assert (predictor["scaleMetric"], predictor["scaleTarget"], predictor["maxReplicas"]) == ("concurrency", 8, 4)
    assert list(broken_rules(service)) == []
    assert "canaryTrafficPercent" not in knative_service("flights", version())["spec"]["predictor"]


# Routes.


def test_the_shares_of_a_route_are_read_only_if_all_its_rules_agree():
    def rule(one, two):
        return {"backendRefs": [{"name": "old", "weight": one}, {"name": "new", "weight": two}]}

    assert routes.weights({"spec": {"rules": [rule(3, 1)]}}) == {"old": 75, "new": 25}
    assert routes.weights({"spec": {"rules": [rule(3, 1), rule(1, 1)]}}) == {}
    assert routes.weights({"spec": {"rules": [{"backendRefs": [{"name": "old"}]}]}}) == {"old": 100}
    assert routes.weights({"spec": {}}) == {}


@pytest.mark.parametrize(
    ("answers", "weight", "wanted"),
    [
        ({B: 10, A: 90}, 10, True),
        ({B: 50, A: 50}, 10, False),
        ({A: 100}, 10, False),
        ({A: 40}, 0, True),
        ({A: 39, B: 1}, 0, False),
        ({B: 40}, 100, True),
        ({B: 39, A: 1}, 100, False),
        ({B: 10, A: 89, "status 503": 1}, 10, False),
        ({}, 0, False),
    ],
)
def test_a_weight_is_believed_when_the_answers_show_it(answers, weight, wanted):
    assert routes.as_wanted(Counter(answers), B, A, weight) is wanted


def test_a_small_weight_is_looked_at_for_long_enough_to_be_seen():
    assert routes.requests_for(0) == routes.requests_for(100) == 40
    assert routes.requests_for(10) == routes.requests_for(90) == 100
    assert routes.requests_for(1) == 600


@contextmanager
def gateway(answer):
    """A server that answers each request with what `answer` gives for its number: a digest, or a status."""
    numbers = itertools.count()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            said = answer(next(numbers)) if self.headers["Host"] == "flights.example.com" else 404
            self.send_response(said if isinstance(said, int) else 200)
            if isinstance(said, str):
                self.send_header("headway-model-digest", said)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Address(f"http://127.0.0.1:{server.server_address[1]}", {"Host": "flights.example.com"})
    server.shutdown()


def observe(address, weight, timeout_s=0.5):
    return routes.observe(address, "flights", candidate=B, stable=A, weight=weight, timeout_s=timeout_s)


def test_a_gateway_that_lags_is_waited_for():
    with gateway(lambda number: B if number > 60 and number % 2 else A) as address:
        answers = observe(address, 50, timeout_s=20)
    assert 10 < answers[B] < 30


def test_a_slow_gateway_that_does_as_it_was_told_has_all_the_time_it_takes_to_show_it():
    def slowly(_):
        time.sleep(0.005)
        return B

    with gateway(slowly) as address:
        assert observe(address, 100, timeout_s=0.01) == {B: 40}


def test_a_gateway_that_does_not_do_what_the_route_says_is_named_with_its_answers():
    with gateway(lambda number: 503 if number % 2 else A) as address, pytest.raises(HeadwayError) as error:
        observe(address, 100)
    assert error.value.code == "deployment.weight_not_observed"
    assert "20 status 503" in error.value.message


def test_a_mesh_that_takes_a_step_for_a_stranger_is_named_with_the_cure():
    with gateway(lambda _: 403) as address, pytest.raises(HeadwayError) as error:
        observe(address, 100)
    assert error.value.code == "deployment.mesh_refuses"
    (named,) = re.findall(r"components/deployment/\S+\.yaml", error.value.remedy)
    assert "AuthorizationPolicy" in (Path(__file__).parents[2] / named).read_text()


def test_a_gateway_that_does_not_follow_a_route_says_why():
    condition = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no"}
    assert routes.refusal({"status": {"parents": [{"conditions": [condition]}]}}) == (
        "Accepted: NotAllowedByListeners no"
    )
    assert routes.refusal({}) is None


# Reasons.


def pod(container="kserve-container", *, state=None, last=None, init=False, conditions=()):
    status = {"name": container, "ready": False, "image": "x:1", "state": state or {}, "lastState": last or {}}
    return {
        "metadata": {"name": "p"},
        "status": {"initContainerStatuses" if init else "containerStatuses": [status], "conditions": conditions},
    }


def ended(message="", code=1, why="Error"):
    return {"terminated": {"exitCode": code, "reason": why, "message": message}}


def event(message, why="InternalError", about="flights", **more):
    return {"involvedObject": {"name": about}, "type": "Warning", "reason": why, "message": message, **more}


def found(*pods, events=(), deployment=True, conditions=(), logs=None):
    there = {"status": {"conditions": list(conditions)}} if deployment else None
    return reason(Evidence(deployment=there, pods=pods, events=events, logs=logs or {}))


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory."}
QUOTA = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: small'}


@pytest.mark.parametrize(
    ("evidence", "code", "said"),
    [
        ([pod("storage-initializer", state=ended("404 Not Found"), init=True)], "storage", "404 Not Found"),
        ([pod(state=ended("[model.changed] It differs."))], "layout", "[model.changed]"),
        ([pod(state=ended("[model.library_missing] lightgbm"))], "version_mismatch", "lightgbm"),
        ([pod(state=ended("[model.library_differs] scikit-learn 1"))], "version_mismatch", "scikit-learn 1"),
        ([pod(state=ended("Traceback\nValueError: x"))], "crash", "ValueError: x"),
        ([pod(last=ended(code=137, why="OOMKilled"))], "oom", "memory"),
        ([pod(state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})], "image_pull", "x:1"),
        ([pod(conditions=[UNSCHEDULABLE])], "unschedulable", "Insufficient memory"),
    ],
)
def test_what_is_wrong_with_a_pod_gets_a_class_and_a_remedy(evidence, code, said):
    error = found(*evidence)
    assert error.code == f"deployment.{code}"
    assert said in error.message
    assert error.remedy


def test_the_log_tells_what_the_state_of_a_container_does_not():
    error = found(pod(state=ended()), logs={("p", "kserve-container"): "[model.not_a_model] No MLmodel."})
    assert error.code == "deployment.layout"
    assert "No MLmodel." in error.message


def test_pods_that_cannot_be_made_are_a_reason():
    assert found(conditions=[QUOTA]).code == "deployment.quota"
    refused = {**QUOTA, "message": 'admission webhook "policy" denied the request'}
    assert found(conditions=[refused]).code == "deployment.webhook"
    account = {**QUOTA, "message": 'error looking up service account ns/x: serviceaccount "x" not found'}
    assert found(conditions=[account]).code == "deployment.config"


def test_what_kserve_could_not_do_is_read_from_its_events():
    minio = event("StorageURI not supported: got minio://x")
    assert found(events=[minio], deployment=False).code == "deployment.storage"
    runtime = event("no runtime found to support predictor with model type: x")
    assert found(events=[runtime], deployment=False).code == "deployment.no_runtime"
    assert found(events=[event("cannot do it")], deployment=False).code == "deployment.service_refused"


def test_a_healthy_service_has_no_reason_though_its_events_speak_of_conflicts():
    conflict = event("Operation cannot be fulfilled: the object has been modified; please apply your changes")
    assert found(events=[conflict], deployment=False) is None
    assert found(pod(state={"running": {}})) is None


def test_a_server_that_its_probe_kills_again_and_again_is_told_apart_from_one_that_crashes():
    unhealthy = event("Startup probe failed: HTTP 503", "Unhealthy", "p", count=9)
    killing = event("Container kserve-container failed startup probe, will be restarted", "Killing", "p")
    error = found(pod(state={"running": {}}), events=[unhealthy, killing])
    assert error.code == "deployment.probe"
    assert found(pod(state={"running": {}}), events=[unhealthy]) is None


# The record.


def test_a_record_is_read_as_it_was_written():
    served = Served(release={"model_digest": A}, serving={}, golden_uri="gs://b/g", since="2026-11-27T00:00:00Z")
    record = Record(stable=version(), candidate=version(B), history=History(served=(served,)))
    assert parse(Record, json.loads(json.dumps(record.model_dump(mode="json"))), parameter="record") == record
