"""The engine katib without a cluster: what is rendered, what is refused, what is read in a Trial."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.codings import Coding, named_choices
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.kubernetes import Cluster
from headway.components.tuning.config import Parameter, Pods, SearchSpace, Study
from headway.components.tuning.engines import Search
from headway.components.tuning.katib.checks import RIGHTS, check_experiment
from headway.components.tuning.katib.experiment import (
    MANAGED_BY,
    SEARCH,
    Plan,
    all_choices,
    coding,
    experiment,
    single_job,
)
from headway.components.tuning.katib.plan import make_plan
from headway.components.tuning.katib.pod import require_reachable, trial_pod
from headway.components.tuning.katib.watch import SIDECAR, Snapshot, Watch, cause_of, log_of, observed, state_of

ROLE = Path(__file__).resolve().parents[2] / "components" / "tuning" / "role.yaml"
SETTING = Setting(
    rows=100,
    available=100,
    task="binary",
    objective="roc_auc",
    direction="maximize",
    cv="3 folds",
    folds=3,
    test_to_train=0.5,
    defaults={},
    code_digest="c",
    data_fingerprint="d",
    schema_digest="s",
)
SPACE = {
    "rate": {"type": "double", "min": 0.001, "max": 0.1, "log": True},
    "depth": {"type": "int", "min": 2, "max": 6},
    "share": {"type": "double", "min": 0, "max": 1, "step": 0.25},
    "kind": {"type": "categorical", "list": ["a b", None, 3]},
}


def plan(**study: Any) -> Plan:
    given = parse(Study, {"trials": 8, "pods": {"image": "image:1"}, **study}, parameter="study")
    space = parse(SearchSpace, SPACE, parameter="search_space").root
    pod = trial_pod(given.pods, None)
    return Plan("tune-x-1", {**MANAGED_BY, SEARCH: "x"}, {}, (), space, given, SETTING, 7, 1, "s3://bucket/stage", pod)


def changed(*path: Any, value: Any) -> dict[str, Any]:
    """A sound Experiment with one field replaced."""
    manifest = copy.deepcopy(experiment(plan()))
    inner: Any = manifest
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return manifest


def test_an_experiment_holds_every_trial_but_the_baseline_and_takes_their_last_numbers() -> None:
    manifest = experiment(plan(max_failed_share=0.25))
    check_experiment(manifest)
    spec = manifest["spec"]
    assert (spec["maxTrialCount"], spec["parallelTrialCount"], spec["maxFailedTrialCount"]) == (7, 2, 3)
    assert {strategy["value"] for strategy in spec["objective"]["metricStrategies"]} == {"latest"}
    assert spec["algorithm"]["algorithmSettings"] == [{"name": "random_state", "value": "7"}]
    assert spec["trialTemplate"]["retain"] is True
    job = spec["trialTemplate"]["trialSpec"]["spec"]
    assert job["backoffLimit"] == 0
    # Not the Job's, whose time runs on while a pod waits for a node.
    assert "activeDeadlineSeconds" not in job
    assert job["template"]["spec"]["activeDeadlineSeconds"] == 3600
    assert job["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_a_trial_of_katibs_lives_for_3_s_since_its_collector_fails_shorter_ones() -> None:
    (container,) = experiment(plan())["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    command = container["command"]
    assert float(command[command.index("--at-least") + 1]) >= 3


def name_of(monkeypatch: pytest.MonkeyPatch, **other: Any) -> str:
    """The name of a search's Experiment, all but some things being equal."""
    digests = {what: other[what] for what in ("code_digest", "data_fingerprint") if what in other}
    given = plan(**other.get("study", {}))
    space = other.get("space", given.space)
    search = Search(space, given.study, SETTING.model_copy(update=digests), other.get("finished", {}), lambda _: None)
    params = other.get("params", {})
    spec = TrialSpec(data="d", schema_path="s", estimator="e", params=params, seed=other.get("seed", 0))
    monkeypatch.setenv("HEADWAY_RUN_ID", other.get("run", "run-1"))
    task = {"workflows.argoproj.io/node-name": f"run.{other.get('task', 'tune-model')}({other.get('again', 0)})"}
    own = {"metadata": {"annotations": task, "labels": other.get("labels", {})}}
    if "labels" in other:
        monkeypatch.delenv("HEADWAY_RUN_ID")
    return make_plan(search, spec, other.get("namespace", "n"), own, given.pod, "s3://bucket/state").name


TRIED = Trial(number=1, params={}, state="failed")


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "m"},
        {"run": "run-2"},
        {"task": "tune-model-2"},
        {"task": "for-loop-1(1:b).tune-model"},
        {"code_digest": "other"},
        {"data_fingerprint": "other"},
        {"params": {"max_iter": 5}},
        {"seed": 1},
        {"study": {"trials": 9}},
        {"space": {}},
        {"finished": {1: TRIED}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_makes_another_search_makes_another_name(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    """The namespace too: Katib mixes up experiments of one name in two namespaces."""
    assert name_of(monkeypatch, **other) != name_of(monkeypatch)


def test_in_a_pipeline_that_does_not_name_the_run_its_label_does(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (name_of(monkeypatch, labels={"pipeline/runid": run}) for run in ("a", "a", "b"))
    assert first == again != other
    assert name_of(monkeypatch, task="loop(0:a).x") != name_of(monkeypatch, task="loop(1:b).x")


@pytest.mark.parametrize("same", [{"again": 1}, {"study": {"timeout": "1h"}}, {"finished": {0: TRIED, 2: TRIED}}])
def test_a_step_that_is_tried_again_finds_its_experiment_by_name(
    monkeypatch: pytest.MonkeyPatch, same: dict[str, Any]
) -> None:
    assert name_of(monkeypatch, **same) == name_of(monkeypatch)
    assert len(name_of(monkeypatch)) <= 40


def test_a_search_is_never_larger_than_its_trials_allow() -> None:
    manifest = experiment(plan(trials=2, parallel=8))
    check_experiment(manifest)
    assert (manifest["spec"]["maxTrialCount"], manifest["spec"]["parallelTrialCount"]) == (1, 1)


def test_the_baseline_is_a_job_without_searched_parameters() -> None:
    job = single_job(plan(), 0, {})
    assert job["metadata"]["name"] == "tune-x-000"
    assert "trialParameters" not in json.dumps(job)
    assert "--coded" not in json.dumps(job)


def test_a_small_space_is_told_from_a_large_one() -> None:
    space = parse(SearchSpace, {k: SPACE[k] for k in ("share", "kind")}, parameter="search_space").root
    every = all_choices(space, 15)
    assert every is not None
    assert len({json.dumps(choice) for choice in every}) == 15
    assert all_choices(space, 14) is None
    assert all_choices(parse(SearchSpace, SPACE, parameter="search_space").root, 1000) is None


@pytest.mark.parametrize(
    ("parameter", "space"),
    [
        ({"type": "double", "min": 0.001, "max": 0.1, "log": True}, {"min": "-3.0", "max": "-1.0"}),
        ({"type": "int", "min": 2, "max": 6}, {"min": "2", "max": "6"}),
        ({"type": "double", "min": 0, "max": 1, "step": 0.3}, {"min": "0", "max": "3"}),
        ({"type": "int", "min": 4, "max": 4}, {"list": ["4"]}),
        ({"type": "categorical", "list": ["sqrt", None, True]}, {"list": ["sqrt", "null", "true"]}),
        ({"type": "categorical", "list": ["$(x)", "y"]}, {"list": ["choice-0", "choice-1"]}),
    ],
)
def test_a_parameter_is_written_as_every_search_service_understands_it(
    parameter: dict[str, Any], space: dict[str, Any]
) -> None:
    given = parse(SearchSpace, {"p": parameter}, parameter="search_space").root
    base = plan()
    one = Plan(**{**{name: getattr(base, name) for name in base.__dataclass_fields__}, "space": given})
    (rendered,) = experiment(one)["spec"]["parameters"]
    assert rendered["feasibleSpace"] == space


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ({"type": "double", "min": 0.001, "max": 0.1, "log": True}, "-2", 0.01),
        ({"type": "double", "min": 0.001, "max": 0.1, "log": True}, "-0.9999999", 0.1),
        ({"type": "int", "min": 2, "max": 64, "log": True}, "1", 10),
        ({"type": "double", "min": 0, "max": 1, "step": 0.25}, "3", 0.75),
        ({"type": "int", "min": 1, "max": 9, "step": 4}, "2", 9),
        ({"type": "int", "min": 1, "max": 9}, "5", 5),
        ({"type": "categorical", "list": [3, None, "x"]}, "null", None),
        ({"type": "categorical", "list": [3, None, "x"]}, "3", 3),
    ],
)
def test_what_a_service_wrote_is_read_in_the_parameters_own_type(
    parameter: dict[str, Any], text: str, value: Any
) -> None:
    decoded = coding(parse(Parameter, parameter, parameter="p")).decode(text)
    assert decoded == value
    assert type(decoded) is type(value)


def test_choices_that_look_alike_are_told_apart_by_their_place() -> None:
    assert named_choices(["1", 1]) == {"choice-0": "1", "choice-1": 1}
    assert Coding(scale="choice", choices=named_choices(["1", 1])).decode("choice-1") == 1


PARAMETERS = ("spec", "parameters")
JOB = ("spec", "trialTemplate", "trialSpec", "spec")
CONTAINER = ("spec", "trialTemplate", "trialSpec", "spec", "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (changed("spec", "maxTrialCounts", value=8), "spec.maxTrialCounts is no field"),
        (changed("spec", "objective", "objectiveMetricNames", value="x"), "objectiveMetricNames is no field"),
        (changed(*CONTAINER, "resource", value={"a": "b"}), "resource is no field"),
        (changed(*PARAMETERS, 0, "feasibleSpace", value={"min": "2", "max": "1"}), "has its min over its max"),
        (changed(*PARAMETERS, 0, "feasibleSpace", value={"min": "abc", "max": "1"}), "has no numbers as min and max"),
        (changed(*PARAMETERS, 0, "name", value="kind"), "parameter kind comes twice"),
        (changed("spec", "trialTemplate", "primaryContainerName", value="x"), "names no container"),
        (changed("spec", "metricsCollectorSpec", "source", value={}), "source names no file"),
        (changed("spec", "parallelTrialCount", value=9), "parallelTrialCount is over spec.maxTrialCount"),
        (changed("spec", "maxFailedTrialCount", value=None), "maxFailedTrialCount is not set"),
        (changed("metadata", "name", value="t" * 41), "is not up to 40"),
        (changed(*CONTAINER, "command", value=["python", "a; b"]), "characters that a shell would act on"),
        (changed(*CONTAINER, "command", value=[]), "has no command"),
        (changed(*CONTAINER, "command", value=["python"]), "is declared and not used"),
        (changed("spec", "trialTemplate", "trialParameters", value=[]), "is used and not declared"),
        (changed("spec", "objective", "additionalMetricNames", value=["roc_auc"]), "holds the objective too"),
        (changed("spec", "maxTrialCount", value="8"), "maxTrialCount"),
        (changed(*JOB, "backoffLimits", value=3), "trialSpec.spec.backoffLimits is no field"),
        (changed(*JOB, "template", "specs", value={}), "template.specs is no field"),
        (changed(*JOB, "podFailurePolicy", "rules", 0, "onPodCondition", value=[]), "onPodCondition is no field"),
    ],
)
def test_what_katib_would_silently_accept_is_refused(manifest: dict[str, Any], says: str) -> None:
    with pytest.raises(HeadwayError, match=r"tuning.experiment_invalid") as caught:
        check_experiment(manifest)
    assert says in str(caught.value)


def test_the_role_grants_exactly_what_the_step_asks_for() -> None:
    granted = {
        (rule["apiGroups"][0], resource, verb)
        for rule in yaml.safe_load(ROLE.read_text())["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(kind.group, kind.plural, verb) for kind, verbs in RIGHTS for verb in verbs}


STEP_POD = {
    "spec": {
        "serviceAccountName": "pipeline-runner",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "cheap"},
        "containers": [
            {"name": "wait", "image": "argoexec"},
            {
                "name": "main",
                "image": "suite@sha256:1",
                "env": [
                    {"name": "KFP_POD_NAME", "value": "x"},
                    {"name": "HEADWAY_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "k"}}},
                    {"name": "AWS_REGION", "value": "here"},
                ],
                "volumeMounts": [
                    {"name": "shared", "mountPath": "/shared"},
                    {"name": "var-run-argo", "mountPath": "/var/run/argo"},
                    {"name": "kube-api-access-1", "mountPath": "/var/run/secrets"},
                ],
            },
        ],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": "team"}},
            {"name": "unused", "secret": {"secretName": "other"}},
            {"name": "var-run-argo", "emptyDir": {}},
            {"name": "kube-api-access-1", "projected": {}},
        ],
    }
}


def test_a_trials_pod_is_like_the_steps_own_with_the_study_laid_over() -> None:
    pods = parse(Pods, {"memory": "4Gi", "environment": {"AWS_REGION": "there"}}, parameter="pods")
    pod = trial_pod(pods, STEP_POD).render(["run"])
    (container,) = pod["containers"]
    assert container["image"] == "suite@sha256:1"
    assert pod["serviceAccountName"] == "pipeline-runner"
    assert pod["nodeSelector"] == {"pool": "cheap"}
    assert {v["name"]: v.get("value") for v in container["env"]} == {"KEY": None, "AWS_REGION": "there"}
    assert [volume["name"] for volume in pod["volumes"]] == ["shared", "scratch"]
    assert container["resources"]["limits"] == {"memory": "4Gi"}


def test_outside_a_cluster_the_image_must_be_given() -> None:
    with pytest.raises(HeadwayError, match=r"tuning.image_unknown.*study.pods.image"):
        trial_pod(Pods(), None)


def test_a_state_folder_on_the_steps_own_disk_is_refused_and_one_on_its_claim_is_not() -> None:
    pod = trial_pod(Pods(), STEP_POD)
    assert require_reachable("s3://bucket/state", pod) == "s3://bucket/state"
    assert require_reachable("/shared/state", pod) == "/shared/state"
    for state in (None, "/tmp/state"):
        with pytest.raises(HeadwayError, match=r"tuning.state_unreachable"):
            require_reachable(state, pod)


def test_what_is_not_finite_was_not_observed() -> None:
    metrics = [{"name": n, "latest": v} for n, v in {"a": "0.5", "b": "nan", "c": "", "d": "-inf", "e": "text"}.items()]
    assert observed({"status": {"observation": {"metrics": metrics}}}) == {"a": 0.5}
    assert observed({"status": {}}) == {}


def test_a_trial_is_over_when_one_of_its_conditions_says_so() -> None:
    def trial(*conditions: tuple[str, str]) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions]}}

    assert state_of(trial(("Created", "True"), ("Running", "False"), ("Succeeded", "True"))) == "Succeeded"
    assert state_of(trial(("Failed", "True"), ("Running", "True"))) == "Failed"
    assert state_of(trial(("Created", "True"), ("Running", "True"))) == "Running"
    assert state_of({}) == ""


def ended(**terminated: Any) -> dict[str, Any]:
    statuses = [{"name": "trial", "state": {"terminated": terminated}}]
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": statuses}}


@pytest.mark.parametrize(
    ("pod", "cause"),
    [
        (ended(exitCode=1, message="noise\n[trial.x] It is bad. Given: 3. Remedy: Mend it."), "It is bad."),
        (ended(exitCode=3, message="noise\nlast words\n"), "its process ended with exit code 3: last words"),
        (ended(exitCode=137, reason="OOMKilled"), "killed: it used more memory than its limit"),
        (ended(exitCode=0), "it ended well, but Katib got no number from it: it says nothing"),
        (None, "its pod is gone"),
    ],
)
def test_a_failed_trial_tells_its_cause(pod: dict[str, Any] | None, cause: str) -> None:
    assert cause_of(pod) == cause


def test_a_trial_that_was_stopped_for_its_time_says_so() -> None:
    pod = ended(exitCode=137, message="epoch 7")
    pod["status"]["reason"] = "DeadlineExceeded"
    assert cause_of(pod) == "it did not answer in time"
    assert log_of(pod) == "epoch 7"


class Silent:
    """A cluster that tells no reasons."""

    namespace = "n"

    def events_of(self, name: str) -> list[dict[str, Any]]:
        return []

    events_below = events_of

    def list(self, kind: Any, labels: Any = None) -> list[dict[str, Any]]:
        return []

    def get(self, kind: Any, name: str) -> None:
        return None


def running(name: str, phase: str = "Running", reason: str | None = None) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "False", "message": reason}] if reason else []
    containers = [{"name": "trial"}, {"name": SIDECAR}]
    status = {"phase": phase, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": {"containers": containers}, "status": status}


def snapshot(trials: dict[str, str], pods: dict[str, Any], jobs: dict[str, Any] | None = None) -> Snapshot:
    states = {
        name: {"status": {"conditions": [{"type": state, "status": "True"}]}} if state else {}
        for name, state in trials.items()
    }
    return Snapshot({"status": {}}, states, jobs or {name: {} for name in trials}, pods)


def test_a_pod_that_waits_for_the_place_of_one_at_work_is_borne() -> None:
    watch = Watch(cast("Cluster", Silent()), "e", 10.0, 0.0)
    waiting = running("b", "Pending", "Insufficient cpu")
    for now in range(0, 600, 5):
        watch.check(snapshot({"a": "Running", "b": "Running"}, {"a": running("a"), "b": waiting}), now)
    alone = snapshot({"a": "Succeeded", "b": "Running"}, {"b": waiting})
    watch.check(alone, 600)
    with pytest.raises(HeadwayError, match=r"tuning.pod_unschedulable.*Insufficient cpu"):
        watch.check(alone, 611)


def test_a_search_without_any_trial_is_given_up_when_its_patience_is_over() -> None:
    watch = Watch(cast("Cluster", Silent()), "e", 10.0, 0.0)
    watch.check(snapshot({}, {}), 9.0)
    with pytest.raises(HeadwayError, match=r"tuning.no_trial.*no trial of e in 10 s.*controller has not looked at it"):
        watch.check(snapshot({}, {}), 11.0)


def test_a_suggestion_service_that_stops_between_trials_is_noticed() -> None:
    watch = Watch(cast("Cluster", Silent()), "e", 10.0, 0.0)
    watch.check(snapshot({"a": "Succeeded"}, {}), 9.0)
    watch.check(snapshot({"a": "Succeeded"}, {}), 18.0)
    with pytest.raises(HeadwayError, match=r"tuning.no_trial.*no more trial of e"):
        watch.check(snapshot({"a": "Succeeded"}, {}), 20.0)


def test_a_trial_without_katibs_collector_is_told_at_once() -> None:
    watch = Watch(cast("Cluster", Silent()), "e", 10.0, 0.0)
    bare = {**running("a"), "spec": {"containers": [{"name": "trial"}]}}
    with pytest.raises(HeadwayError, match=r"tuning.sidecar_missing.*kubectl label namespace n"):
        watch.check(snapshot({"a": "Running"}, {"a": bare}), 1.0)


def test_a_job_that_is_over_while_katib_says_nothing_is_told() -> None:
    watch = Watch(cast("Cluster", Silent()), "e", 10.0, 0.0)
    jobs = {"a": {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}}
    given = snapshot({"a": "Running"}, {"a": running("a", "Succeeded")}, jobs)
    watch.check(given, 1.0)
    with pytest.raises(HeadwayError, match=r"tuning.no_observation.*controller seems not to run"):
        watch.check(given, 12.0)
