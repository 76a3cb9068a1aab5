"""The committed YAML is what the sources give, it is sound, and no pipeline gets around the verdict."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from headway.components._shared import images
from headway.components.deployment.config import LONGEST
from headway.pipelines.catalogue import PIPELINES
from headway.pipelines.cli.compile import compile_all

COMPILED = Path(__file__).resolve().parents[2] / "compiled"
ACTING = {"register_model", "deploy_model"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    out = tmp_path_factory.mktemp("compiled")
    return out, compile_all(out)


def test_a_fresh_compile_gives_the_committed_bytes(fresh):
    out, written = fresh
    names = {path.relative_to(out) for path in written}
    assert {p.relative_to(COMPILED) for p in COMPILED.rglob("*") if p.is_file()} == names
    stale = [str(name) for name in names if (out / name).read_bytes() != (COMPILED / name).read_bytes()]
    assert not stale, f"run `make compile`: {stale}"


@pytest.fixture(params=sorted(p.relative_to(COMPILED).as_posix() for p in COMPILED.rglob("*.yaml")))
def ir(request):
    documents = list(yaml.safe_load_all((COMPILED / request.param).read_text()))
    return documents[0], documents[1] if len(documents) > 1 else {}


def test_every_reference_in_a_dag_exists(ir):
    spec, _ = ir
    for name, component in {**spec["components"], "root": spec["root"]}.items():
        dag = component.get("dag")
        if not dag:
            continue
        inputs = component.get("inputDefinitions", {})
        for task_name, task in dag["tasks"].items():
            for kind, known in (
                ("parameters", inputs.get("parameters", {})),
                ("artifacts", inputs.get("artifacts", {})),
            ):
                for key, value in task.get("inputs", {}).get(kind, {}).items():
                    outer = value.get("componentInputParameter") or value.get("componentInputArtifact")
                    assert outer is None or outer in known, f"{name}/{task_name}.{key}"
                    producer = (value.get("taskOutputParameter") or value.get("taskOutputArtifact") or {}).get(
                        "producerTask"
                    )
                    assert producer is None or producer in dag["tasks"], f"{name}/{task_name}.{key}"


def test_steps_run_in_our_images_and_install_nothing(ir):
    spec, _ = ir
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"] in {images.reference(family) for family in images.FAMILIES}
        assert "pip install" not in " ".join(container["command"] + container.get("args", []))


def test_the_yaml_is_small_and_ascii(ir, request):
    path = COMPILED / request.node.callspec.params["ir"]
    text = path.read_text()
    assert text.isascii()
    assert len(text) < 300_000


def dags(pipeline):
    spec = next(yaml.safe_load_all((COMPILED / "pipelines" / f"{pipeline}.yaml").read_text()))
    return spec, [c["dag"] for c in [*spec["components"].values(), spec["root"]] if "dag" in c]


def source(task, key):
    found = task["inputs"]["artifacts"][key]["taskOutputArtifact"]
    return found["producerTask"], found["outputArtifactKey"]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_acting_step_takes_a_verdict_of_the_same_model(pipeline):
    _, found = dags(pipeline)
    acting = 0
    for dag in found:
        tasks = dag["tasks"]
        for name, task in tasks.items():
            verb = re.sub(r"-\d+$", "", name).replace("-", "_")
            if verb not in ACTING:
                continue
            acting += 1
            judge, key = source(task, "verdict")
            assert key == "verdict"
            registered = task if verb == "register_model" else tasks[source(task, "registration")[0]]
            assert source(registered, "verdict") == (judge, "verdict")
            assert source(registered, "model") == source(tasks[judge], "model")
    assert acting == {"training": 1, "delivery": 2, "rollout_keeper": 0, "monitoring": 0}[pipeline]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_step_has_size_time_limit_and_the_run_id(pipeline):
    documents = list(yaml.safe_load_all((COMPILED / "pipelines" / f"{pipeline}.yaml").read_text()))
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        assert {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(
            resources
        )
        limit = timedelta(seconds=int(platform[name]["activeDeadlineSeconds"]))
        assert limit > (LONGEST if name in {"exec-deploy-model", "exec-finish-rollout"} else timedelta(minutes=5))
        assert platform[name]["fieldPathAsEnv"][0]["fieldPath"] == "metadata.labels['pipeline/runid']"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_steps_that_may_need_a_token_carry_the_label_by_which_kubeflow_gives_it(pipeline):
    documents = list(yaml.safe_load_all((COMPILED / "pipelines" / f"{pipeline}.yaml").read_text()))
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {n for n, e in platform.items() if e.get("podMetadata", {}).get("labels") == {"access-ml-pipeline": "true"}}
    wanted = {
        "training": set(),
        "delivery": {"exec-deploy-model"},
        "rollout_keeper": {"exec-finish-rollout", "exec-deployment-status"},
        "monitoring": {"exec-trigger-retraining"},
    }
    assert given == wanted[pipeline] & set(platform)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_steps_that_act_on_the_outside_are_never_served_from_a_cache(pipeline):
    _, found = dags(pipeline)
    for dag in found:
        for name, task in dag["tasks"].items():
            if name in {"ingest-data", "resolve-champion", "register-model", "deploy-model", "notify"}:
                assert not task.get("cachingOptions", {}).get("enableCache"), name


def test_training_has_at_most_seven_steps_on_its_critical_path_and_no_branch():
    _, found = dags("training")
    dag = next(d for d in found if "ingest-data" in d["tasks"])

    def depth(name):
        return 1 + max((depth(n) for n in dag["tasks"][name].get("dependentTasks", [])), default=0)

    assert max(depth(name) for name in dag["tasks"]) <= 7
    assert not [n for n, t in dag["tasks"].items() if t.get("triggerPolicy", {}).get("condition")]


def test_watching_a_hundred_models_takes_no_more_than_three_pods_a_run():
    (spec, *_) = yaml.safe_load_all((COMPILED / "pipelines" / "monitoring.yaml").read_text())
    assert len(spec["deploymentSpec"]["executors"]) <= 3
