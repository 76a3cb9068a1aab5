"""The step deploy_model with the engine kserve: a state folder on a mounted volume, and a rollout that is data."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.errors import HeadwayError
from tests.cluster.compiled_step import compiled_step, job_of
from tests.cluster.katib import bind_role, kubeconfig_for
from tests.cluster.kserve_releases import ASK, Place, claim
from tests.cluster.load import ask, steady_load
from tests.deployment_samples import Delivery, train_sample

pytestmark = pytest.mark.timeout(900)

# Of no account here: how fast a machine is that does other things meanwhile.
PATIENT = {"latency": {"p50_ms": 10_000, "p99_ms": 30_000, "requests": 20, "warm_up": 2}}
ANALYSIS = {"latency_ratio": 50, "min_requests": 20, "max_requests": 400, "max_duration": "5m"}
ROLE = Path(__file__).resolve().parents[2] / "components" / "deployment" / "role.yaml"
OUTPUTS = ("deployment", "deployment", "status", "deployment", "status", "before")
STEPS = [{"set_weight": 20}, {"analysis": ANALYSIS}, {"set_weight": 60}, {"pause": "2s"}]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [train_sample(folder / f"depth-{depth}", depth=depth) for depth in (3, 2)]


@pytest.fixture
def place(cluster, kserve, namespace, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, namespace, tmp_path)))
    state = tmp_path / "state"
    state.mkdir()
    claim(cluster, namespace, state)
    yield Place(cluster, namespace, kserve, str(state), tmp_path)
    cluster.kubectl("delete", "pv", namespace, "--wait=false")


def delivery(place, model, **changes):
    """A model that is judged and released, and the parameters of the step."""
    skew, given = changes.pop("skew", 0.0), changes
    serving = place.serving({**PATIENT, **given}, service_account=None, storage_uri="pvc://state")
    made = Delivery(place.folder / model.parent.name, place.folder / "state", model, serving=serving)
    made.folder.mkdir(exist_ok=True)
    made.judge(skew=skew)
    made.register()
    subprocess.run(["chmod", "-R", "a+rX", place.state], check=True)  # in a cluster step and server are one user
    return made


@pytest.mark.core
def test_a_second_model_takes_the_traffic_by_weights_and_a_wrong_one_does_not(place, models):
    first, second = delivery(place, models[0]), delivery(place, models[1], rollout={"steps": STEPS})
    done = first.deploy(engine="kserve")
    assert (done.outcome, done.engine) == ("deployed", "kserve")
    assert ask(place.gateway + ASK, place.headers).headers[DIGEST_HEADER] == first.digest
    assert f"-H 'Host: {place.headers['Host']}'" in done.example_request
    with steady_load(place.gateway + ASK, place.headers) as load:
        done = second.deploy(engine="kserve")
        assert (done.outcome, done.previous_digest) == ("deployed", first.digest)
        assert second.deploy(engine="kserve").outcome == "unchanged"
        wrong = delivery(place, models[0], skew=0.2)
        with pytest.raises(HeadwayError) as error:
            wrong.deploy(engine="kserve")
    assert error.value.code == "deployment.golden_differ"
    lost = Counter((int(answer.sent_s), answer.status or answer.body) for answer in load.errors)
    assert dict(lost) == {}
    assert ask(place.gateway + ASK, place.headers).headers[DIGEST_HEADER] == second.digest
    told = json.loads((second.folder / "deployment.json").read_text())
    assert [p["phase"] for p in told["phases"]] == ["look at the stable version", "ask it for the golden rows"]
    assert not [name for name in place.left() if name.startswith("canary")]


@pytest.mark.core
def test_every_component_of_the_room_does_its_work_in_a_pod_of_its_image_with_the_rights_of_the_role_alone(
    place, models
):
    bind_role(place.kube, place.namespace, "deployer", file=ROLE)
    first, second = delivery(place, models[0]), delivery(place, models[1], rollout={"steps": STEPS})
    subprocess.run(["chmod", "-R", "a+rwX", place.folder], check=True)
    common = {"model_name": "flights", "engine": "kserve", "state_uri": place.state, "environment": "dev"}
    plan = [
        ("deploy-first", "deploy_model", first, {}),
        ("deploy-second", "deploy_model", second, {}),
        ("status", "deployment_status", second, {"must_serve": True}),
        ("rollback", "rollback_deployment", first, {"reason": "complaints"}),
        ("finish", "finish_rollout", first, {}),
        ("undeploy", "undeploy_model", first, {}),
    ]
    pods = [pod_of(name, component, about, {**common, **more}) for name, component, about, more in plan]
    volumes = {"here": {"hostPath": {"path": str(place.folder)}}, "tmp": {}}
    place.kube.apply(place.namespace, job_of("steps", pods, volumes, account="deployer"))
    ended = place.kube.finished_pod(place.namespace, "steps", timeout_s=600)
    logs = {name: place.kube.logs(place.namespace, ended["metadata"]["name"], name) for name, *_ in plan}
    assert ended["status"]["phase"] == "Succeeded", "\n".join(logs.values())[-4000:]
    told = {
        name: json.loads((place.folder / f"out-{name}" / component / output).read_text())
        for (name, component, *_), output in zip(plan, OUTPUTS, strict=True)
    }
    outcomes = [told[name]["outcome"] for name in ("deploy-first", "deploy-second", "rollback")]
    assert outcomes == ["deployed", "deployed", "rolled_back"]
    serving = [told[name]["endpoints"][0]["stable"]["model_digest"] for name in ("status", "finish", "undeploy")]
    assert serving == [second.digest, first.digest, first.digest]
    assert place.is_empty()


def pod_of(name, component, about, parameters):
    """The container of a step, as KFP starts it, with its artifacts in the test's folder at the same path as here."""
    folder = about.folder
    inputs = {"registration": "registration.json", "verdict": "verdict.json", "golden": "golden"}
    read = {key: str(folder / file) for key, file in inputs.items()} if component == "deploy_model" else {}
    root = str(about.folder.parent / f"out-{name}")
    given = {**parameters, "serving": about.serving}
    if component != "deploy_model":
        del given["environment"]
    step = compiled_step(component, root=root, inputs=read, parameters=given)
    return step.container(name, {"here": str(about.folder.parent), "tmp": "/tmp"})
