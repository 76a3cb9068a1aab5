"""The ways in which traffic moves: which is taken where, what each refuses, and a step killed in the middle of it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from headway.components import deployment
from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster
from headway.components.deployment.kserve.routes import until
from headway.components.deployment.rollout.back import take_back
from headway.components.deployment.rollout.course import Course
from headway.components.deployment.rollout.timeline import Timeline
from tests.cluster.kserve.gateway import TOKEN
from tests.cluster.kserve.objects import GATEWAY
from tests.cluster.kserve_releases import ASK, NAME
from tests.cluster.load import steady_load
from tests.cluster.test_kserve_engine import digests, lost, models, place, served, whole
from tests.deployment_samples import answering

__all__ = ["models", "place", "served"]  # fixtures
pytestmark = pytest.mark.timeout(900)

ALL = ["0.21", "0.19", "0.19-knative"]


def plays(*releases):
    return pytest.mark.parametrize("place", releases, indirect=True)


def deploy(engine, release):
    """What a rollout does, if nothing is wrong with the candidate."""
    with engine.deploying():
        stable = engine.stable(release)
        if stable and stable.as_asked and stable.model_digest == release.model_digest:
            return
        candidate = engine.start(release)
        if stable:
            engine.shift(candidate, 100)
        engine.promote(candidate)


@pytest.mark.core
@plays("0.15")
def test_the_oldest_kserve_is_enough(place, models):
    first, second = (place.release(model) for model in models[:2])
    deploy(place.engine(min_replicas=2), first)
    record = place.engine().lease.read()
    assert record.way == "two_services"
    assert "from 0.21 on" in place.engine().traffic()
    with steady_load(*place.caller()) as load:
        deploy(place.engine(min_replicas=2), second)
    assert lost(load) == {}
    assert set(digests(load)) == {first.model_digest, second.model_digest}
    assert len(place.kube.get(place.namespace, "pods")) >= 2
    assert whole(place)


@plays("0.19")
def test_an_endpoint_keeps_its_way_when_kserve_is_updated(served, models, caplog):
    served.play("0.21")
    deploy(served.engine(traffic="weights"), served.release(models[1]))
    assert served.engine().lease.read().way == "two_services"
    assert "for weights, undeploy it and deploy it again" in caplog.text
    assert whole(served)


@plays("0.20")
def test_where_a_canary_gets_no_traffic_it_goes_and_the_next_endpoint_does_without(served, models):
    first, second = (served.release(model) for model in models[:2])
    with steady_load(*served.caller()) as load, pytest.raises(HeadwayError) as error:
        deploy(served.engine(), second)
    assert error.value.code == "deployment.cannot_split"
    assert "traffic two_services" in error.value.remedy
    assert (lost(load), set(digests(load))) == ({}, {first.model_digest})
    served.kube.kubectl("delete", "-n", served.namespace, "inferenceservices.serving.kserve.io", NAME, "--wait=true")
    deploy(served.engine(), second)
    assert served.engine().traffic().startswith("two services, weights were tried: ")
    assert served.answering() == second.model_digest


@plays("0.21-ingress")
def test_where_no_route_comes_the_first_version_goes_and_the_next_try_does_without(place, models):
    release = place.release(models[0])
    with (engine := place.engine(observe_timeout_s=8)).deploying():
        candidate = engine.start(release)
        with pytest.raises(HeadwayError) as error:
            engine.promote(candidate)
        engine.withdraw(candidate)
    assert (error.value.code, "enableGatewayApi" in error.value.message) == ("deployment.cannot_split", True)
    assert place.left() == []
    deploy(place.engine(), release)
    assert place.answering() == release.model_digest


@plays("0.19")
def test_weights_that_are_asked_for_and_would_not_work_are_refused_before_anything_is_made(place, models):
    with pytest.raises(HeadwayError) as error:
        deploy(place.engine(traffic="weights"), place.release(models[0]))
    assert error.value.code == "deployment.cannot_split"
    assert place.left() == []


@plays("0.19")
def test_a_foreign_service_of_that_name_is_left_alone(place, models):
    spec = {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}
    place.kube.apply(place.namespace, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec})
    with pytest.raises(HeadwayError) as error:
        deploy(place.engine(), place.release(models[0]))
    assert error.value.code == "deployment.not_ours"
    assert place.left() == [f"Service {NAME}"]


@plays("0.19")
def test_a_selector_that_somebody_else_has_changed_is_reported_and_not_overwritten(served, models):
    edit = '[{"op": "add", "path": "/spec/selector/tier", "value": "x"}]'
    patch = ("--type=json", "-p", edit, "--field-manager=human")
    served.kube.kubectl("patch", "-n", served.namespace, "service", NAME, *patch)
    engine = served.engine()
    with engine.deploying():
        candidate = engine.start(served.release(models[1]))
        with pytest.raises(HeadwayError) as error:
            engine.shift(candidate, 100)
        assert (error.value.code, "selector" in error.value.message) == ("kubernetes.conflict", True)
        assert served.kube.get(served.namespace, "service", NAME)["spec"]["selector"]["tier"] == "x"


@plays("0.19")
def test_an_entrance_that_somebody_deleted_comes_back(served, models):
    release = served.release(models[0])
    served.kube.kubectl("delete", "-n", served.namespace, "service", NAME)
    with pytest.raises(HeadwayError, match=r"deployment\.ingress.* is gone"):
        served.engine().entrance()
    deploy(served.engine(), release)
    assert served.answering() == release.model_digest
    assert whole(served)


@plays("0.19")
def test_a_caller_that_keeps_its_connection_loses_nothing_either(served, models):
    second = served.release(models[1])
    with kept_connection(*served.caller()) as answers:
        deploy(served.engine(), second)
        # The gateway ends kept connections in its own time.
        assert soon(lambda: answers[-1] == second.model_digest)
    assert set(answers) == {served.release(models[0]).model_digest, second.model_digest}
    assert answers[-1] == second.model_digest


@contextmanager
def kept_connection(url, headers):
    """A caller that asks ten times a second on one connection until it is closed; gives who answered, or the error."""
    answers, over, parts = [], threading.Event(), urlsplit(url)

    def keep_asking():
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        while not over.wait(0.1):
            try:
                connection.request("GET", parts.path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.headers[DIGEST_HEADER])
            except (OSError, http.client.HTTPException) as error:
                answers.append(repr(error))
                connection.close()

    caller = threading.Thread(target=keep_asking)
    caller.start()
    try:
        yield answers
    finally:
        over.set()
        caller.join()


def soon(is_so, within_s=20):
    """Whether it comes about: what was deleted by a step that was killed goes a little later."""
    end = time.monotonic() + within_s
    while not (found := is_so()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


class Killed(BaseException):
    """A step that ends here and now."""


@contextmanager
def killed_after(engine, writes):
    """The step ends once it has written so many times to the cluster; gives how often it did."""
    done = []

    def then_die(write):
        def dying(*given, **options):
            written = write(*given, **options)
            if not options.get("dry_run"):
                done.append(given)
                if len(done) == writes:
                    raise Killed
            return written

        return dying

    dying = Cluster(engine.kserve.namespace)
    dying.apply, dying.delete = then_die(dying.apply), then_die(dying.delete)
    engine.cluster = engine._watch.cluster = dying
    engine.lease.write = then_die(engine.lease.write)
    with suppress(Killed):
        yield done


@plays(*ALL)
def test_a_step_that_is_killed_after_any_write_is_finished_by_the_next_one(served, models):
    releases = [served.release(model) for model in models[:2]]
    with steady_load(*served.caller()) as load:
        for writes in range(1, 20):
            release, engine = releases[writes % 2], served.engine(drain_s=3)
            with killed_after(engine, writes) as done:
                deploy(engine, release)
            deploy(served.engine(drain_s=3), release)
            assert served.answering() == release.model_digest, f"killed after {writes} writes: {done}"
            assert served.engine().lease.read().candidate is None
            assert soon(lambda: whole(served)), served.left()
            if len(done) < writes:
                break
    assert writes > 4
    assert lost(load) == {}


@plays(*ALL)
def test_a_rollback_that_is_killed_after_any_write_is_finished_by_the_next_one(served, models):
    first, second = (served.release(model) for model in models[:2])
    with steady_load(*served.caller()) as load:
        for writes in range(1, 20):
            with (engine := served.engine(drain_s=3)).deploying():
                candidate = engine.start(second)
                engine.shift(candidate, 100)
            engine = served.engine(drain_s=3)
            with killed_after(engine, writes) as done, engine.deploying():
                engine.withdraw(candidate)
            with (engine := served.engine(drain_s=3)).deploying():
                engine.withdraw(candidate)
                assert engine.candidate() is None
                assert engine.stable(first).model_digest == first.model_digest
            assert served.answering() == first.model_digest, f"killed after {writes} writes: {done}"
            assert soon(lambda: whole(served)), served.left()
            if len(done) < writes:
                break
    assert writes > 2
    assert lost(load) == {}


@plays(*ALL)
def test_a_way_back_from_a_promotion_that_is_killed_after_any_write_is_finished_by_the_next_one(served, models):
    first, second = (served.release(model) for model in models[:2])
    with steady_load(*served.caller()) as load:
        for writes in range(1, 20):
            with (engine := served.engine(drain_s=3)).deploying():
                candidate = engine.start(second)
                engine.shift(candidate, 100)
                promote_unnoted(engine, second)
                with killed_after(engine, writes) as done:
                    engine.withdraw(candidate)
            with (engine := served.engine(drain_s=3)).deploying():
                left = engine.candidate()
                assert left is None or left.model_digest == second.model_digest
                take_back(engine, Timeline())
                assert engine.stable(first).model_digest == first.model_digest
            assert served.answering() == first.model_digest, f"killed after {writes} writes: {done}"
            assert soon(lambda: whole(served)), served.left()
            if len(done) < writes:
                break
    assert writes > 2
    assert lost(load) == {}


def promote_unnoted(engine, release):
    """A promotion that broke down when the version before was gone already, with why it has to go back."""
    record = engine.lease.read()
    engine._way(record).promote(record.stable, record.candidate)
    course = Course(engine, release, "", engine.serving)
    course.note(stable_digest=record.stable.model_digest, failure="its pods have no room")


# Scaling by load.


@plays("0.21", "0.19")
def test_a_candidate_has_its_part_of_the_pods_that_the_load_asks_for_before_it_has_that_part_of_the_traffic(
    place, models
):
    first, second, third = (place.release(model) for model in models)
    by_load = {"min_replicas": 1, "max_replicas": 4, "autoscaling": {"kind": "hpa", "metric": "cpu"}}
    deploy(place.engine(**by_load), first)
    busy = place.engine().lease.read().stable.named(NAME)
    place.kube.kubectl("scale", "-n", place.namespace, f"deployment/{busy}", "--replicas=4")
    until(lambda: replicas(place, first) == 4, 60)
    with steady_load(*place.caller()) as load, (engine := place.engine(**by_load)).deploying():
        candidate = engine.start(second)
        assert replicas(place, first) >= 3
        for weight, pods in ((10, 1), (50, 2), (100, 4)) if place.plays == "0.21" else ((100, 4),):
            engine.shift(candidate, weight)
            assert replicas(place, second) >= pods, weight
            assert replicas(place, first) >= 4, weight
        engine.promote(candidate)
        assert replicas(place, second) == 4, "how many are needed is for the autoscaler to say"
        candidate = engine.start(third)
        engine.shift(candidate, place.weights[-2:][0])
        engine.withdraw(candidate)
    assert lost(load) == {}
    (scaler,) = place.kube.get(place.namespace, "hpa")
    assert scaler["spec"]["scaleTargetRef"]["name"] == engine.lease.read().stable.named(NAME)
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 4)
    assert whole(place)


def replicas(place, release):
    """Pods of a release that are ready."""
    name = f"{NAME}-v{release.model_digest[:8]}-"
    found = [d for d in place.kube.get(place.namespace, "deployments") if d["metadata"]["name"].startswith(name)]
    return sum(d.get("status", {}).get("readyReplicas", 0) for d in found)


# A mesh.


@plays(*ALL)
def test_in_a_mesh_a_step_asks_everything_through_the_gateway_with_its_token(place, models, tmp_path, a_mesh_around):
    first, second = (place.release(model) for model in models[:2])
    place.kube.kubectl("label", "namespace", place.namespace, f"{TOKEN}=let-me-in")
    (tmp_path / "token").write_text("let-me-in\n")
    meshed = {
        "through_gateway": {"parent": "/".join(GATEWAY), "domain": "example.com"},
        "token_file": str(tmp_path / "token"),
    }
    url, headers = place.gateway + ASK, {**place.headers, "Authorization": "Bearer let-me-in"}
    refused = a_mesh_around(place.gateway, place.kube.server())
    with pytest.raises(HeadwayError) as error:
        deploy(place.engine(), first)
    assert error.value.code == "deployment.mesh_refuses", "straight at it there is no way"
    assert "mesh.yaml" in error.value.remedy
    assert refused
    refused.clear()
    deploy(place.engine(**meshed), first)
    with steady_load(url, headers) as load:
        deploy(place.engine(**meshed), second)
        with (engine := place.engine(**meshed)).deploying():
            candidate = engine.start(first)
            engine.shift(candidate, 100)
            engine.withdraw(candidate)
    assert refused == []
    assert lost(load) == {}
    assert set(digests(load)) == {first.model_digest, second.model_digest}
    record = engine.lease.read()
    policies = yaml.safe_load_all((Path(deployment.__file__).parent / "mesh.yaml").read_text())
    labels = [pod["metadata"]["labels"] for pod in place.kube.get(place.namespace, "pods")]
    for policy in policies:
        assert all(policy["spec"]["selector"]["matchLabels"].items() <= each.items() for each in labels)
    routes = {route["metadata"]["name"] for route in place.kube.get(place.namespace, "httproutes")}
    assert not [name for name in routes if first.model_digest[:8] in name], "a version's own route goes with it"
    (tmp_path / "token").unlink()
    with pytest.raises(HeadwayError) as error:
        deploy(place.engine(**meshed), first)
    assert error.value.code == "deployment.gateway_token"
    assert engine.lease.read().stable == record.stable


@pytest.fixture
def a_mesh_around(monkeypatch):
    """What a mesh does to a step without a sidecar: 403 from everything but these addresses; gives what was tried."""
    with answering(403, "RBAC: access denied") as sidecar:

        def around(*urls):
            allowed, connect, refused = {urlsplit(url).netloc for url in urls}, socket.create_connection, []
            at = urlsplit(sidecar.url)

            def connecting(address, *given, **options):
                if f"{address[0]}:{address[1]}" in allowed:
                    return connect(address, *given, **options)
                refused.append(address)
                return connect((at.hostname, at.port), *given, **options)

            monkeypatch.setattr(socket, "create_connection", connecting)
            return refused

        yield around


# Knative.


@plays("0.19-knative")
def test_what_knative_refuses_is_told_and_leaves_the_stable_version_alone(served, models):
    deploy(served.engine(), served.release(models[1]))
    second, third = (served.release(model) for model in models[1:])
    with steady_load(*served.caller()) as load, pytest.raises(HeadwayError) as error:
        deploy(served.engine(node_selector={"pool": "models"}), third)
    assert error.value.code == "deployment.service_refused"
    assert "must not set the field(s): spec.template.spec.nodeSelector" in error.value.message
    assert (lost(load), set(digests(load))) == ({}, {second.model_digest})
    assert whole(served)


@plays("0.19-knative")
def test_an_edit_in_the_middle_of_a_rollout_is_reported_and_on_the_way_back_it_loses_its_traffic(served, models):
    first, second = (served.release(model) for model in models[:2])
    kind = "inferenceservices.serving.kserve.io"
    edit = '{"spec": {"predictor": {"canaryTrafficPercent": 90, "timeout": 7}}}'
    with (engine := served.engine()).deploying():
        candidate = engine.start(second)
        engine.shift(candidate, 10)
        served.kube.kubectl("patch", "-n", served.namespace, kind, NAME, "--type=merge", "-p", edit)
        with pytest.raises(HeadwayError) as error:
            engine.shift(candidate, 50)
        assert error.value.code == "kubernetes.conflict"
        engine.withdraw(candidate)
        assert engine.stable(first).model_digest == first.model_digest
    assert served.answering() == first.model_digest
    assert "canaryTrafficPercent" not in served.kube.get(served.namespace, kind, NAME)["spec"]["predictor"]


@plays("0.19-knative")
def test_an_endpoint_without_requests_may_have_no_pod_and_asks_for_knative_itself(place, models):
    first = place.release(models[0])
    by_requests = {"kind": "knative", "metric": "concurrency", "target": 8}
    engine = place.engine(min_replicas=0, max_replicas=3, autoscaling=by_requests, traffic="auto")
    deploy(engine, first)
    assert place.answering() == first.model_digest
    assert engine.traffic() == "knative, only Knative scales like this"
    spec = place.kube.get(place.namespace, "inferenceservices.serving.kserve.io", NAME)["spec"]["predictor"]
    told = [spec.get(field) for field in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")]
    assert told == [0, 3, "concurrency", 8]


@plays("0.19-knative")
def test_a_lease_that_is_deleted_between_two_rollouts_is_made_anew_from_the_service(served, models):
    first, second = (served.release(model) for model in models[:2])
    served.kube.kubectl("delete", "-n", served.namespace, "lease", f"headway-{NAME}")
    deploy(served.engine(), second)
    assert served.answering() == second.model_digest
    with (engine := served.engine()).deploying():
        engine.shift(engine.start(first), 10)
    served.kube.kubectl("delete", "-n", served.namespace, "lease", f"headway-{NAME}")
    with pytest.raises(HeadwayError) as error, served.engine().deploying():
        pass
    assert error.value.code == "deployment.record_lost"
    assert served.answering() in (first.model_digest, second.model_digest)
