"""tune_model as KFP starts it, in a pod, with the rights of role.yaml and no others, on a real Katib."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.tunings import TuningResult
from headway.components._shared.kubernetes import Cluster
from headway.components.tuning.katib.checks import RIGHTS, require_rights
from tests.cluster.compiled_step import CompiledStep, compiled_step, job_of
from tests.cluster.katib import SMALL, bind_role, environment, kubeconfig_for
from tests.cluster.kube import Kube
from tests.cluster.s3 import BUCKET, S3
from tests.real_rows import flights

pytestmark = pytest.mark.timeout(1200)

CHURN = Path(__file__).resolve().parents[2] / "pipelines" / "demos" / "churn"
SPACE = {
    "learning_rate": {"type": "double", "min": 0.02, "max": 0.5, "log": True},
    "max_leaf_nodes": {"type": "int", "min": 4, "max": 64, "log": True},
    "l2_regularization": {"type": "double", "min": 0, "max": 1},
}
STUDY = {"trials": 8, "parallel": 2, "sampler": "random", "objective": "roc_auc", "pods": SMALL, "trial_timeout": "5m"}


@dataclass(frozen=True)
class Rows:
    """What is ingested: a file, and what it holds."""

    file: Path
    source: dict[str, Any]
    roles: dict[str, str]


CHURN_ROWS = Rows(
    CHURN / "churn.csv.gz",
    {"id_column": "customer_id", "time_column": "snapshot_date", "row_filter": "churned is not null"},
    {"id": "customer_id", "target": "churned", "personal": "email"},
)


def january_flights(folder: Path) -> Rows:
    """Flights that left New York in January 2013, and whether they arrived more than a quarter of an hour late."""
    known = flights().filter(pl.col("month") == 1, pl.col("arr_delay").is_not_null()).with_row_index("flight_id")
    late = pl.when(pl.col("arr_delay") > 15).then(pl.lit("late")).otherwise(pl.lit("on time")).alias("late")
    kept = known.select("flight_id", "time_hour", "carrier", "origin", "dest", "distance", "hour", "dep_delay", late)
    kept.gather_every(3).write_csv(folder / "flights.csv")
    roles = {"id": "flight_id", "target": "late"}
    return Rows(folder / "flights.csv", {"id_column": "flight_id", "time_column": "time_hour"}, roles)


class Steps:
    """The steps before tune_model and tune_model itself, in one pod of a namespace."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        s3: S3,
        study: dict[str, Any],
        engine: str = "auto",
        *,
        rows: Rows = CHURN_ROWS,
        **given: Any,
    ) -> None:
        self.kube, self.namespace = kube, namespace
        self.state = f"s3://{BUCKET}/{namespace}"
        kube.kubectl("create", "configmap", "rows", "-n", namespace, f"--from-file={rows.file}")
        self.environment = [{"name": n, "value": v} for n, v in environment(s3).items()]
        source = {"uris": [f"/rows/{rows.file.name}"], **rows.source}
        self.steps = {
            "ingest-data": compiled_step("ingest_data", parameters={"source": source}),
            "infer-schema": compiled_step(
                "infer_schema", inputs={"data": "/step/ingest_data/data"}, parameters={"roles": rows.roles}
            ),
            "tune-model": compiled_step(
                "tune_model",
                inputs={"train_data": "/step/ingest_data/data", "schema": "/step/infer_schema/schema"},
                parameters={
                    "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
                    "params": {"max_iter": 20},
                    "search_space": SPACE,
                    "study": study,
                    "engine": engine,
                    "state_uri": self.state,
                    **given,
                },
            ),
        }

    def start(self, name: str, account: str) -> None:
        """Starts them as a Job."""
        image = self.steps["tune-model"].image
        look = CompiledStep(image, ["cat"], ["/step/tune_model/tuning"])
        run = {"name": "HEADWAY_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}}
        mounts = {"tmp": "/tmp", "step": "/step", "rows": "/rows"}
        steps = {**self.steps, "look": look}
        containers = [found.container(step, mounts, [*self.environment, run]) for step, found in steps.items()]
        volumes = {"tmp": {}, "step": {}, "rows": {"configMap": {"name": "rows"}}}
        labels = {"pipeline/runid": f"run-{self.namespace}"}
        self.kube.apply(self.namespace, job_of(name, containers, volumes, account=account, labels=labels))

    def finish(self, name: str) -> tuple[TuningResult | None, str]:
        """Waits for their end; gives the result, None if they failed, and what tune_model logged."""
        _wait(lambda: self.kube.get(self.namespace, "job", name)["status"].get("conditions"), 600)
        (pod,) = [p for p in self.kube.get(self.namespace, "pods") if p["metadata"]["labels"].get("job-name") == name]
        _wait(lambda: self.kube.get(self.namespace, "job", name)["status"].get("active", 0) == 0, 60)
        log = self.log(pod)
        if pod["status"]["phase"] != "Succeeded":
            return None, log
        text = self.kube.kubectl("logs", "-n", self.namespace, pod["metadata"]["name"], "-c", "look")
        return parse(TuningResult, json.loads(text), parameter="tuning"), log

    def log(self, pod: dict[str, Any]) -> str:
        """What the steps that were started have logged."""
        statuses = pod["status"].get("initContainerStatuses", [])
        begun = [s["name"] for s in statuses if "waiting" not in s["state"]]
        name = pod["metadata"]["name"]
        return "\n".join(self.kube.kubectl("logs", "-n", self.namespace, name, "-c", step) for step in begun)


def left(kube: Kube, namespace: str, but: str) -> list[str]:
    """What of the searches is still there."""
    kinds = "experiments.kubeflow.org,trials.kubeflow.org,jobs,pods,deployments"
    names = [found["metadata"]["name"] for found in kube.get(namespace, kinds) or ()]
    return [name for name in names if not name.startswith(but)]


@pytest.mark.core
def test_eight_trials_two_at_a_time_on_real_rows_with_the_rights_of_the_role_alone(
    katib: Kube, katib_namespace: str, s3: S3, tmp_path: Path
) -> None:
    bind_role(katib, katib_namespace, "tuner")
    steps = Steps(katib, katib_namespace, s3, STUDY, rows=january_flights(tmp_path))
    steps.start("steps", "tuner")
    most = 0
    while "Complete" not in (told := katib.kubectl("get", "job", "steps", "-n", katib_namespace, "-o", "json")):
        assert '"type": "Failed"' not in told, steps.finish("steps")[1][-4000:]
        pods = katib.get(katib_namespace, "pods")
        trials = [p for p in pods or () if "katib.kubeflow.org/trial" in p["metadata"].get("labels", {})]
        most = max(most, sum(p["status"]["phase"] == "Running" for p in trials))
        time.sleep(1)
    result, log = steps.finish("steps")
    assert result is not None, log[-4000:]
    assert result.engine == "katib"
    assert "engine katib: this cluster has it" in log
    assert [trial.number for trial in result.trials] == list(range(8))
    assert {trial.state for trial in result.trials} <= {"succeeded", "pruned"}
    assert result.trials[0].params == {"max_iter": 20}
    finite = [trial for trial in result.trials if trial.value is not None]
    assert result.best_value == max(trial.value or 0 for trial in finite)
    assert len({json.dumps(trial.params, sort_keys=True) for trial in result.trials}) == 8
    assert most == 2
    assert result.rows > 7_000
    assert result.best_value is not None
    assert result.best_value > 0.85, "how late they left tells most of it"
    assert not left(katib, katib_namespace, but="steps")


@pytest.mark.parametrize(
    ("verb", "kind"), [(verb, kind) for kind, verbs in RIGHTS for verb in verbs], ids=lambda v: getattr(v, "plural", v)
)
def test_each_right_that_is_taken_away_is_named(
    katib: Kube, katib_namespace: str, verb: str, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind_role(katib, katib_namespace, "less", without=(verb, kind.plural))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(katib, katib_namespace, tmp_path, account="less")))
    with pytest.raises(HeadwayError, match=rf"tuning.rights_missing.*may not {verb} {kind.plural} in the namespace"):
        require_rights(Cluster())
    bind_role(katib, katib_namespace, "less")
    require_rights(Cluster())


def test_without_rights_auto_tunes_in_the_step_and_says_why(katib: Kube, katib_namespace: str, s3: S3) -> None:
    katib.kubectl("create", "serviceaccount", "nobody", "-n", katib_namespace)
    steps = Steps(katib, katib_namespace, s3, {**STUDY, "trials": 2})
    steps.start("steps", "nobody")
    result, log = steps.finish("steps")
    assert result is not None, log[-4000:]
    assert result.engine == "local"
    assert "engine local: Katib cannot be used" in log


def test_the_first_trial_that_reaches_the_goal_ends_the_search(katib: Kube, katib_namespace: str, s3: S3) -> None:
    """Which the baseline cannot: it learns next to nothing, so that it predicts every customer alike."""
    churned = pl.read_csv(CHURN / "churn.csv.gz")["churned"].drop_nulls().mean()
    assert isinstance(churned, float)
    nothing_learnt = -churned * math.log(churned) - (1 - churned) * math.log(1 - churned)
    goal = 0.98 * nothing_learnt
    bind_role(katib, katib_namespace, "tuner")
    study = {**STUDY, "trials": 40, "objective": "log_loss", "goal": goal, "early_stopping": "none"}
    steps = Steps(katib, katib_namespace, s3, study, "katib", params={"max_iter": 20, "learning_rate": 1e-6})
    steps.start("steps", "tuner")
    result, log = steps.finish("steps")
    assert result is not None, log[-4000:]
    values = [trial.value for trial in result.trials if trial.value is not None]
    assert values[-1] <= goal < min(values[:-1])
    assert f"ended at the goal {goal:g}" in result.reason
    assert len(result.trials) < 10
    assert not left(katib, katib_namespace, but="steps")


def test_a_search_in_which_too_many_trials_fail_is_given_up_with_their_cause(
    katib: Kube, katib_namespace: str, s3: S3
) -> None:
    bind_role(katib, katib_namespace, "tuner")
    space = {"l2_regularization": {"type": "double", "min": -2, "max": -1}}
    study = {**STUDY, "trials": 12, "max_failed_share": 0.25}
    steps = Steps(katib, katib_namespace, s3, study, "katib", search_space=space)
    steps.start("steps", "tuner")
    result, log = steps.finish("steps")
    assert result is None
    assert "tuning.too_many_failed" in log
    assert "4 of the first 5 trials failed" in log
    assert "l2_regularization" in log.partition("tuning.too_many_failed")[2]
    key = f"{katib_namespace}/runs/run-{katib_namespace}/reports/tune_model.html"
    report = s3.client.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert report.count("The last lines of the log of trial") == 4
    _wait(lambda: not left(katib, katib_namespace, but="steps"), 60)


def test_a_run_that_is_deleted_takes_its_search_with_it(katib: Kube, katib_namespace: str, s3: S3) -> None:
    bind_role(katib, katib_namespace, "tuner")
    steps = Steps(katib, katib_namespace, s3, {**STUDY, "trials": 40}, engine="katib")
    steps.start("steps", "tuner")
    _wait(lambda: katib.get(katib_namespace, "trials.kubeflow.org"))
    katib.kubectl("delete", "job", "steps", "-n", katib_namespace, "--cascade=background", "--wait=false")
    _wait(lambda: not left(katib, katib_namespace, but="steps"), 60)


def test_a_step_that_vanishes_and_is_tried_again_goes_on_with_its_experiment(
    katib: Kube, katib_namespace: str, s3: S3
) -> None:
    bind_role(katib, katib_namespace, "tuner")
    steps = Steps(katib, katib_namespace, s3, STUDY, engine="katib")
    steps.start("steps-1", "tuner")
    _wait(lambda: _ended(katib, katib_namespace))
    before, after = _experiments(katib, katib_namespace), set[str]()
    # The owner of the search is the run; here it is the first Job, which a retry would share: keep it, kill its pod.
    katib.kubectl("delete", "pod", "-n", katib_namespace, "-l", "job-name=steps-1", "--grace-period=0", "--force")
    steps.start("steps-2", "tuner")

    def over() -> Any:
        after.update(_experiments(katib, katib_namespace))
        return katib.get(katib_namespace, "job", "steps-2")["status"].get("conditions")

    _wait(over, 600)
    result, log = steps.finish("steps-2")
    assert result is not None, log[-4000:]
    assert "goes on with the experiment" in log
    assert [trial.number for trial in result.trials] == list(range(8))
    assert len(before) == 1
    assert after == before


def _experiments(kube: Kube, namespace: str) -> set[str]:
    return {found["metadata"]["uid"] for found in kube.get(namespace, "experiments.kubeflow.org")}


def _ended(kube: Kube, namespace: str) -> bool:
    found = kube.get(namespace, "trials.kubeflow.org") or ()
    return any("completionTime" in (trial.get("status") or {}) for trial in found)


def _wait(is_so: Any, timeout_s: float = 180) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.5)
