"""The stand-in does what KServe was seen to do: what can be relied upon, and what cannot."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter

import pytest

from tests.cluster.kserve import schema
from tests.cluster.kserve.releases import LABEL
from tests.cluster.load import ask, steady_load
from tests.cluster.versions import RUNTIME, predictor, service

OLD, NEW = "v1", "v2"


class Cluster:
    """A namespace with the runtime in it, and the gateway before it."""

    def __init__(self, kube, namespace, gateway):
        self.kube, self.namespace, self.gateway = kube, namespace, gateway
        self.host = {"Host": f"churn-{namespace}.example.com"}
        kube.apply(namespace, RUNTIME)

    def apply(self, manifest):
        options = ("--server-side", "--force-conflicts")
        self.kube.kubectl("apply", *options, "-n", self.namespace, "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind, name=None):
        return self.kube.get(self.namespace, kind, name)

    def status(self):
        return (self.get("isvc", "churn") or {}).get("status", {})

    def conditions(self):
        return {c["type"]: c["status"] for c in self.status().get("conditions", [])}

    def canary_ready(self):
        return [c["ready"] for c in self.status().get("canaryStatuses") or []]

    def served(self, requests=1):
        answers = [ask(self.gateway, self.host) for _ in range(requests)]
        return Counter(a.body if a.status == 200 else a.status for a in answers)

    def pods(self, version):
        found = self.get("pods")
        return {
            p["metadata"]["uid"]
            for p in found
            if p["metadata"]["labels"].get("app") == f"isvc.churn-{version}-predictor"
        }

    def start(self, **options):
        self.apply(service(predictor(OLD, uri="pvc://models/v1"), **options))
        wait_until(lambda: self.served() == {OLD: 1})


@pytest.fixture
def there(cluster, kserve, namespace):
    claim = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": ""}
    volume = {"hostPath": {"path": "/tmp"}, "capacity": {"storage": "1Mi"}, "accessModes": ["ReadOnlyMany"]}
    head = {"apiVersion": "v1", "metadata": {"name": namespace}}
    cluster.apply(
        namespace,
        {
            **head,
            "kind": "PersistentVolume",
            "spec": {**volume, "claimRef": {"name": "models", "namespace": namespace}},
        },
    )
    cluster.apply(
        namespace,
        {
            **head,
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {**claim, "volumeName": namespace},
        },
    )
    yield Cluster(cluster, namespace, kserve)
    cluster.kubectl("delete", "pv", namespace, "--wait=false")


@pytest.mark.core
def test_traffic_follows_the_weights_and_two_steps_lose_no_request_where_one_step_loses_some(there):
    stable, canary = predictor(OLD, uri="pvc://models/v1"), predictor(NEW, uri="pvc://models/v2")
    there.start()
    with steady_load(there.gateway, there.host) as load:
        there.apply(service(stable, canary, 0))
        wait_until(lambda: there.canary_ready() == [True])
        for percent, expected in (
            (0, {OLD: 100}),
            (10, {OLD: 90, NEW: 10}),
            (50, {OLD: 50, NEW: 50}),
            (100, {NEW: 100}),
        ):
            there.apply(service(stable, canary, percent))
            settled(there)
            served = there.served(100)
            assert set(served) == set(expected)
            assert abs(served[NEW] - expected.get(NEW, 0)) <= 8, "the load takes turns too"
        kept = there.pods(NEW)
        there.apply(service(canary))
        settled(there)
    assert load.errors_by_second() == {}
    assert there.served(20) == {NEW: 20}
    assert there.pods(NEW) == kept, "promotion by the same name keeps the pods"
    assert there.pods(OLD) == set()
    with steady_load(there.gateway, there.host) as load:
        there.apply(service(canary, stable, 50))
        wait_until(lambda: there.canary_ready() == [True])
        settled(there)
        before = len(load.errors)
        there.apply(service(canary))
        settled(there)
    assert before == 0
    assert load.errors, "rolled back in one step, requests go to pods that are gone"


REFUSED = [
    ({"name": "1churn"}, "a InferenceService name must consist of lower case"),
    ({"annotations": {"serving.kserve.io/autoscalerClass": "kpa"}}, "[kpa] is not a supported autoscaler class type"),
    (
        {"annotations": {"serving.kserve.io/deploymentMode": "Knative"}},
        "canary is only supported in Standard deployment mode",
    ),
    ({"stable": {"minReplicas": 3, "maxReplicas": 2}}, "'MinReplicas' cannot be greater than MaxReplicas"),
    (
        {"stable": {"model": {"modelFormat": {"name": "version"}, "name": "x"}}},
        "the 'name' field is not allowed in standard predictor",
    ),
    ({"stable": {"logger": {"url": "http://x"}}}, "invalid logger type"),
    ({"stable": {"containers": [{"name": "kserve-container", "image": "x"}]}}, "exactly one of"),
    ({"canary": {"name": OLD}}, f'canary predictor.name "{OLD}" conflicts with stable predictor name'),
    ({"canary": {"maxReplicas": 2}}, "must not set maxReplicas"),
    ({"canary": {"minReplicas": 2}}, "minReplicas (2) must not exceed stable predictor minReplicas (1)"),
    # The schema itself:
    ({"canary": {"name": ""}}, "spec.canary[0].predictor.name in body should match"),
    ({"percent": 101}, "trafficPercent in body should be less than or equal to 100"),
    ({"stable": {"modell": {}}}, "field not declared in schema"),
]


@pytest.mark.core
def test_a_dry_run_is_refused_in_the_words_of_webhooks_and_schema(there):
    for change, words in REFUSED:
        more = {key: value for key, value in change.items() if key not in ("stable", "canary")}
        stable, canary = (
            {**predictor(version, uri="pvc://models/x"), **change.get(role, {})}
            for role, version in (("stable", OLD), ("canary", NEW))
        )
        assert words in dry_run(there, service(stable, canary, **more))


@pytest.mark.core
def test_what_an_older_schema_lacks_is_refused_in_the_words_for_what_no_schema_has(there):
    nameless = {key: value for key, value in predictor(OLD).items() if key != "name"}
    unheard_of = service(nameless)
    unheard_of["spec"]["canari"] = []
    said = dry_run(there, unheard_of)
    there.kube.kubectl("label", "namespace", there.namespace, f"{LABEL}=0.19")
    older = dry_run(there, service(nameless, predictor(NEW)))
    words = said[said.index("failed to create") :].replace("canari", "canary")
    assert older[older.index("failed to create") :].strip() == words.strip()


@pytest.mark.core
def test_a_change_of_mode_or_of_the_name_alone_is_refused_and_what_is_left_out_is_filled_in(there):
    there.start()
    moved = service(predictor(OLD, uri="pvc://models/v1"), annotations={"serving.kserve.io/deploymentMode": "Knative"})
    assert "deploymentMode cannot be changed from 'Standard' to 'Knative'" in dry_run(there, moved)
    renamed = service(predictor(NEW, uri="pvc://models/v1"))
    assert "predictor.name change requires a model change" in dry_run(there, renamed)
    bare = service(predictor(OLD, uri="pvc://models/v1"), predictor(NEW))
    del bare["spec"]["canary"][0]["trafficPercent"]
    there.apply(bare)
    found = there.get("isvc", "churn")["spec"]["canary"][0]
    assert (found["trafficPercent"], found["predictor"]["model"]["name"]) == (0, "")


def test_a_canary_that_is_broken_gets_no_traffic_though_the_service_is_ready(there):
    there.start()
    stable = predictor(OLD, uri="pvc://models/v1")
    there.apply(service(stable, predictor(NEW, image="localhost/none:1"), 50))
    wait_until(lambda: there.canary_ready() == [False])
    settled(there)
    assert there.served(20) == {OLD: 20}
    assert there.conditions() == {
        **{"Ready": "True", "PredictorReady": "True", "IngressReady": "True"},
        **{"CanaryPredictorReady": "False", "Stopped": "False"},
    }


def test_a_broken_change_in_place_leaves_the_service_ready_and_its_model_loaded(there):
    there.start()
    there.apply(service(predictor(OLD, uri="pvc://models/v1", image="localhost/none:1")))
    wait_until(lambda: any(waiting(p) for p in there.get("pods")))
    time.sleep(2)
    status = there.status()
    assert there.conditions()["Ready"] == "True"
    assert (status["modelStatus"]["transitionStatus"], status["modelStatus"]["states"]["targetModelState"]) == (
        "UpToDate",
        "Loaded",
    )


def test_another_predictor_name_without_a_canary_is_an_outage(there):
    there.start()
    with steady_load(there.gateway, there.host) as load:
        there.apply(service(predictor(NEW, uri="pvc://models/v2")))
        wait_until(lambda: there.served() == {NEW: 1})
    assert len(load.errors_by_second()) >= 2


def test_a_dark_canary_has_no_pod_unless_it_asks_for_one_and_shrinks_the_stable_version_once_it_is_ready(there):
    there.apply(service(predictor(OLD, minimum=2, uri="pvc://models/v1")))
    wait_until(lambda: there.served() == {OLD: 1} and len(there.pods(OLD)) == 2)
    stable = predictor(OLD, minimum=2, uri="pvc://models/v1")
    there.apply(service(stable, predictor(NEW, minimum=None), 0))
    wait_until(lambda: there.canary_ready() == [False])
    time.sleep(3)
    assert (there.pods(NEW), len(there.pods(OLD))) == (set(), 2)
    there.apply(service(stable, predictor(NEW), 0))
    wait_until(lambda: there.canary_ready() == [True])
    wait_until(lambda: len(there.pods(OLD)) == 1)
    address = there.get("services", f"churn-{NEW}-predictor")["spec"]["clusterIP"]
    assert ask(f"http://{address}/", {}).body == NEW


def test_an_annotation_of_the_service_starts_its_pods_anew(there):
    there.start()
    before = there.pods(OLD)
    there.apply(service(predictor(OLD, uri="pvc://models/v1"), annotations={"example.com/step": "2"}))
    wait_until(lambda: there.pods(OLD) and not there.pods(OLD) & before)


def test_the_observed_generation_is_the_deployments(there):
    there.start()
    for step in range(4):
        there.apply(service(predictor(OLD, uri="pvc://models/v1"), predictor(NEW), 10 + step))
    time.sleep(2)
    assert there.get("isvc", "churn")["metadata"]["generation"] >= 5
    assert there.status()["observedGeneration"] == 1


def test_a_service_that_only_the_cluster_may_see_has_no_route_and_says_that_it_is_ready(there):
    labels = {"networking.kserve.io/visibility": "cluster-local"}
    there.apply(service(predictor(OLD, uri="pvc://models/v1"), predictor(NEW), 50, labels=labels))
    wait_until(lambda: there.canary_ready() == [True] and there.conditions()["Ready"] == "True")
    assert there.get("httproutes") == []


def test_minio_addresses_and_unknown_runtimes_are_told_by_an_event_and_by_no_pod(there):
    there.apply(service(predictor(OLD, uri="minio://mlpipeline/x")))
    wait_until(lambda: "StorageURI not supported" in events(there))
    assert set(there.conditions().values()) == {"Unknown"}
    assert there.get("pods") == []
    there.apply(service({**predictor(OLD), "model": {"modelFormat": {"name": "unheard-of"}}}))
    wait_until(lambda: "no runtime found" in events(there))
    assert there.status()["modelStatus"]["lastFailureInfo"]["reason"] == "NoSupportingRuntime"


def test_a_key_that_is_missing_is_the_last_word_of_the_storage_initializer(there, s3):
    there.kube.apply(there.namespace, s3.secret())
    there.kube.apply(there.namespace, s3.account())
    there.apply(service({**predictor(OLD, uri="s3://models/none"), "serviceAccountName": "serving"}))
    wait_until(lambda: (there.status().get("modelStatus") or {}).get("transitionStatus") == "BlockedByFailedLoad")
    told = there.status()["modelStatus"]["lastFailureInfo"]
    assert "No model found in none." in told["message"]
    assert there.conditions()["Ready"] == "False"


def test_a_model_from_a_bucket_is_where_the_server_looks_without_empty_files_and_with_what_is_called_alike(
    there, s3, tmp_path
):
    for name, words in (("release/sub/words", "here"), ("release/empty", ""), ("release-2/words", "not asked for")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(words)
    s3.upload(tmp_path, there.namespace)
    there.kube.apply(there.namespace, s3.secret())
    there.kube.apply(there.namespace, s3.account())
    uri = f"s3://models/{there.namespace}/release"
    there.apply(service({**predictor(OLD, uri=uri), "serviceAccountName": "serving"}))
    wait_until(lambda: there.served() == {OLD: 1})
    pod = there.get("pods")[0]["metadata"]["name"]
    code = "import pathlib; print(sorted(str(p) for p in pathlib.Path('/mnt/models').rglob('*')))"
    command = ("-c", "kserve-container", "--", "python", "-c", code)
    found = there.kube.kubectl("exec", "-n", there.namespace, pod, *command)
    assert found.strip() == str(["/mnt/models/-2", "/mnt/models/-2/words", "/mnt/models/sub", "/mnt/models/sub/words"])


def test_an_autoscaler_is_made_for_both_and_the_canarys_is_left_behind(there):
    hpa = {"serving.kserve.io/autoscalerClass": "hpa"}
    stable = {**predictor(OLD, uri="pvc://models/v1"), "maxReplicas": 3, "scaleMetric": "cpu", "scaleTarget": 60}
    there.apply(service(stable, predictor(NEW), 10, annotations=hpa))
    wait_until(lambda: len(there.get("hpa")) == 2)
    said = {
        h["metadata"]["name"]: (h["spec"]["minReplicas"], h["spec"]["maxReplicas"], target(h)) for h in there.get("hpa")
    }
    assert said == {f"churn-{OLD}-predictor": (1, 3, 60), f"churn-{NEW}-predictor": (1, 1, 80)}
    there.apply(service(stable))
    wait_until(lambda: len(there.get("deployments")) == 1)
    wait_until(lambda: [h["metadata"]["name"] for h in there.get("hpa")] == [f"churn-{NEW}-predictor"])


@pytest.mark.core
def test_manifests_are_checked_by_the_schema_that_the_cluster_has(there):
    kind = json.loads(there.kube.kubectl("get", "crd", "inferenceservices.serving.kserve.io", "-o", "json"))
    assert json.loads(schema.WRITTEN.read_text()) == schema.part(kind), "python -m tests.cluster.kserve.schema"


def test_without_keda_its_autoscaling_leaves_a_service_without_a_route(there):
    keda = {"serving.kserve.io/autoscalerClass": "keda"}
    there.apply(service(predictor(OLD, uri="pvc://models/v1"), annotations=keda))
    wait_until(lambda: there.pods(OLD) and there.conditions().get("PredictorReady") == "False")
    reasons = {c["type"]: c.get("reason") for c in there.status()["conditions"]}
    assert reasons["PredictorReady"] == "ReconcileFailed"
    assert there.get("httproutes") == []


def test_a_stopped_service_keeps_nothing_but_itself(there):
    there.start()
    assert "Istio VirtualService CRD not present" in events(there), "a warning on a healthy service"
    there.apply(service(predictor(OLD, uri="pvc://models/v1"), annotations={"serving.kserve.io/stop": "true"}))
    wait_until(lambda: not any(there.get(kind) for kind in ("deployments", "services", "httproutes")))
    wait_until(lambda: there.conditions().get("Stopped") == "True")


def test_nothing_is_left_of_a_service_that_is_deleted(there):
    there.start()
    there.kube.kubectl("delete", "isvc", "churn", "-n", there.namespace)
    wait_until(lambda: not any(there.get(kind) for kind in ("deployments", "services", "httproutes")))
    wait_until(lambda: there.served() == {404: 1})


def settled(there):
    """Long enough for the controller to act and for the gateway to follow."""
    time.sleep(5)


def wait_until(condition, timeout_s=120):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)


def dry_run(there, manifest):
    command = [
        there.kube.program,
        f"--kubeconfig={there.kube.kubeconfig}",
        "apply",
        "--server-side",
        "--dry-run=server",
    ]
    done = subprocess.run(
        [*command, "-n", there.namespace, "-f", "-"],
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode, "it was not refused"
    return done.stderr


def events(there):
    return " ".join(event["message"] for event in there.get("events"))


def waiting(pod):
    states = pod["status"].get("containerStatuses") or []
    return any("image" in (s["state"].get("waiting") or {}).get("reason", "").lower() for s in states)


def target(hpa):
    return hpa["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
