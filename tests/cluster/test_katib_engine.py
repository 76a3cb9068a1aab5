"""The engine katib keeps every engine's promises on a real Katib, and some of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared import images
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.kubernetes import Cluster, Kind
from headway.components._shared.kubernetes.kinds import EXPERIMENT, JOB
from headway.components.tuning.engines import Engine
from headway.components.tuning.katib.checks import INJECTION_LABEL
from headway.components.tuning.katib.engine import KatibEngine
from headway.components.tuning.katib.experiment import ALIVE
from tests.cluster.faulty_api import Asked, faulty_api
from tests.cluster.katib import SMALL, bind_role, environment, kubeconfig_for
from tests.cluster.kube import Kube
from tests.cluster.s3 import BUCKET, S3
from tests.engine_cases import FRAGILE, SPACE, EngineCases

pytestmark = pytest.mark.timeout(900)


class KatibCases(EngineCases):
    """An engine in a namespace of its own; its trials also find the estimators of the tests."""

    trial_timeout = "45s"  # a pod's start included, on a busy machine

    @pytest.fixture(autouse=True)
    def place(
        self,
        katib: Kube,
        katib_namespace: str,
        s3: S3,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.kube, self.namespace, self.state = katib, katib_namespace, f"s3://{BUCKET}/{katib_namespace}"
        for name, value in environment(s3).items():
            monkeypatch.setenv(name, value)
        # With the rights of the role and no others, where searches fail, too.
        bind_role(katib, katib_namespace, "tuner")
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(katib, katib_namespace, tmp_path, account="tuner")))
        monkeypatch.setenv("HEADWAY_RUN_ID", f"run-{katib_namespace[-8:]}")
        samples = Path(__file__).resolve().parents[1] / "tabular_samples.py"
        katib.kubectl("create", "configmap", "tests", "-n", katib_namespace, f"--from-file={samples}")
        self.always = {
            "pods": {
                **SMALL,
                "image": images.reference("tabular"),
                "environment": {**environment(s3), "PYTHONPATH": "/extra"},
                "volumes": [{"path": "/extra/tests", "config_map": "tests"}],
            }
        }

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = self.another()
        yield engine
        engine.close()
        engine.close()
        assert not self.left()

    def another(self, engine: Engine | None = None) -> Engine:
        return KatibEngine(self.state, poll_s=0.5)

    def left(self) -> list[str]:
        """What of a search is still there."""
        return self.names("experiments.kubeflow.org,trials.kubeflow.org,suggestions.kubeflow.org,jobs,pods,deployments")

    def names(self, kinds: str) -> list[str]:
        """The objects of some kinds."""
        return [found["metadata"]["name"] for found in self.kube.get(self.namespace, kinds) or ()]


class TestKatibEngine(KatibCases):
    @pytest.mark.core
    def test_trials_that_crash_hang_or_report_nothing_finite_fail_and_never_win(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """In an Experiment: the space is larger than the study, so Katib draws.

        By Sobol, whose first seven points lie in seven different eighths: every cause comes up.
        """
        causes = {
            "raise": "this one cannot be fitted",
            "not finite": "cannot be measured on fold 1",
            "die": "its process ended with exit code 3: last words",
            "hang": "it did not answer in time",
        }
        fine = [f"fine {number}" for number in range(4)]
        space = {"behaviour": {"type": "categorical", "list": [fine[0], *causes, *fine[1:]]}}
        given: dict[str, Any] = {"estimator": FRAGILE, "trial_timeout": self.trial_timeout, "objective": "log_loss"}
        given |= {"sampler": "sobol", "max_failed_share": 1.0}
        trials = self.search(engine, tmp_path, space, trials=8, parallel=4, **given)
        assert {trial.params["behaviour"] for trial in trials[1:]} >= set(causes)
        (hung,) = (trial for trial in trials if trial.params.get("behaviour") == "hang")
        assert "it takes its time" in (hung.log or "")
        for trial in trials:
            cause = causes.get(trial.params.get("behaviour", ""))
            assert trial.state == ("failed" if cause else "succeeded")
            assert (trial.value is None) == bool(cause)
            assert (cause or "") in (trial.cause or "")

    def test_finished_trials_are_adopted_and_the_course_stays_the_same(self, engine: Engine, tmp_path: Path) -> None:
        """Katib's suggestions know nothing of an experiment that is gone: only the trials themselves are adopted."""
        whole = self.search(engine, tmp_path)
        kept: list[Trial] = []
        finished = {trial.number: trial for trial in whole[:2]}
        again = self.search(self.another(), tmp_path, finished=finished, keep=kept.append)
        assert again[:2] == whole[:2]
        assert [trial.number for trial in again] == [0, 1, 2]
        assert [trial.number for trial in kept] == [2]
        assert again[2].params not in [trial.params for trial in again[:2]]

    def test_nothing_goes_on_after_the_deadline(self, engine: Engine, tmp_path: Path) -> None:
        space = {"behaviour": {"type": "categorical", "list": ["fine", "hang"]}}
        begun = time.monotonic()
        trials = self.search(engine, tmp_path, space, estimator=FRAGILE, deadline=begun + 60)
        assert time.monotonic() - begun < 60 + 45
        assert trials
        assert all(trial.params.get("behaviour") != "hang" for trial in trials)

    def test_a_search_that_was_left_running_is_adopted_with_its_trials(self, engine: Engine, tmp_path: Path) -> None:
        before: set[str] = set()
        after: set[str] = set()

        class _Gone(Exception):  # noqa: N818
            pass

        def leave(trial: Trial) -> None:
            if trial.number == 1:
                before.update(self.uids())
                raise _Gone

        vanishing = KatibEngine(self.state, poll_s=0.5)
        vanishing.close = lambda: None  # type: ignore[method-assign] - a step that is killed closes nothing
        with pytest.raises(_Gone):
            self.search(vanishing, tmp_path, trials=5, keep=leave)
        trials = self.search(engine, tmp_path, trials=5, keep=lambda _: after.update(self.uids()))
        assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
        assert len(before) == 1
        assert after == before

    def uids(self) -> list[str]:
        """The experiments that are there."""
        return [found["metadata"]["uid"] for found in self.kube.get(self.namespace, "experiments.kubeflow.org")]

    def test_an_api_server_with_bad_minutes_costs_time_only(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Requests that were done and requests that were not; the answers of some are lost either way."""
        seen: list[Asked] = []

        def cut_every_ninth(asked: Asked) -> bool:
            seen.append(asked)
            return len(seen) % 9 == 0

        with faulty_api(os.environ["KUBECONFIG"], tmp_path) as api:
            monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
            for method in ("GET", "PATCH", "DELETE"):
                for status in (500, 0):
                    api.fail(status, 2, method=method)
                api.fail(429, 1, method=method, retry_after_s=1)
            api.look = cut_every_ninth
            trials = self.search(engine, tmp_path, trials=4)
            assert len(api.hit) == 15
        assert [trial.number for trial in trials] == [0, 1, 2, 3]
        assert {trial.state for trial in trials} <= {"succeeded", "pruned"}
        assert len(seen) > 50

    @pytest.mark.core
    def test_a_step_that_is_killed_a_quarter_of_a_second_after_sigterm_leaves_no_experiment(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        program = (
            "import sys; from pathlib import Path; from tests.engine_cases import EngineCases, SPACE\n"
            "from headway.components.tuning.katib.engine import KatibEngine\n"
            "import json; cases = EngineCases(); cases.always = json.loads(sys.argv[2])\n"
            "cases.search(KatibEngine(sys.argv[1]), Path(sys.argv[3]), SPACE, trials=40)\n"
        )
        command = [sys.executable, "-c", program, self.state, json.dumps(self.always), str(tmp_path / "sub")]
        with subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2]) as process:
            while not self.names("trials.kubeflow.org"):
                assert process.poll() is None
                time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.25)
            process.kill()
        for found in self.kube.get(self.namespace, "experiments.kubeflow.org"):
            assert "deletionTimestamp" in found["metadata"]
        deadline = time.monotonic() + 60
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not self.left()

    @pytest.mark.parametrize(
        ("space", "kind"),
        [(SPACE, EXPERIMENT), ({"max_depth": {"type": "int", "min": 2, "max": 9}}, JOB)],
        ids=["large space", "small space"],
    )
    def test_a_search_whose_step_has_vanished_is_swept_by_the_next_one(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: dict[str, Any], kind: Kind
    ) -> None:
        class _Gone(Exception):  # noqa: N818
            pass

        def leave(trial: Trial) -> None:
            if trial.number == 1:
                raise _Gone

        vanishing = KatibEngine(self.state, poll_s=0.5)
        vanishing.close = lambda: None  # type: ignore[method-assign] - a step that is killed closes nothing
        with pytest.raises(_Gone):
            self.search(vanishing, tmp_path, space, trials=40, keep=leave)
        orphans = self.names(kind.plural)
        assert orphans
        monkeypatch.setenv("HEADWAY_RUN_ID", "the-next-run")
        self.search(self.another(), tmp_path, {})
        assert set(orphans) <= set(self.names(kind.plural)), "a step that lives may be between two signs of life"
        for name in orphans:
            Cluster(self.namespace).annotate(kind, name, {ALIVE: "2026-01-01T00:00:00Z"})
        self.search(self.another(), tmp_path, {"max_depth": {"type": "int", "min": 2, "max": 2}}, trials=2)
        assert not set(orphans) & set(self.names(kind.plural))

    def test_a_trial_whose_pod_is_evicted_runs_again_and_has_not_failed(self, engine: Engine, tmp_path: Path) -> None:
        """As on a spot node; of the baseline, which is a Job of ours, and of a trial of Katib's."""
        pods: dict[str, list[str]] = {}
        over = threading.Event()

        def evict_the_first() -> None:
            while not over.wait(0.2):
                for pod in self.kube.get(self.namespace, "pods"):
                    job, name = pod["metadata"].get("labels", {}).get("job-name"), pod["metadata"]["name"]
                    if job and pod["status"]["phase"] == "Running" and name not in pods.setdefault(job, []):
                        pods[job].append(name)
                        if len(pods[job]) == 1:
                            self.kube.evict(self.namespace, name)

        evictor = threading.Thread(target=evict_the_first)
        evictor.start()
        try:
            trials = self.search(engine, tmp_path, trials=2, parallel=1, trial_timeout="120s")
        finally:
            over.set()
            evictor.join()
        assert [(trial.state, trial.cause, trial.log) for trial in trials] == [("succeeded", None, None)] * 2
        assert [len(names) for names in pods.values()] == [2, 2]

    @pytest.mark.usefixtures("own_katib")
    def test_a_controller_that_stops_and_starts_again_costs_time_only(self, engine: Engine, tmp_path: Path) -> None:
        def stop(trial: Trial) -> None:
            if trial.number == 1:
                self.scale(0)
                threading.Timer(20, self.scale, [1]).start()

        try:
            trials = self.search(engine, tmp_path, trials=4, keep=stop)
        finally:
            self.scale(1)
        assert [trial.number for trial in trials] == [0, 1, 2, 3]

    @pytest.mark.usefixtures("own_katib")
    def test_a_controller_that_stays_away_is_named(self, engine: Engine, tmp_path: Path) -> None:
        self.scale(0)
        try:
            with pytest.raises(HeadwayError, match=r"kubernetes.webhook_down.*Start the controller"):
                self.search(engine, tmp_path)
        finally:
            self.scale(1)

    @pytest.mark.usefixtures("own_katib")
    def test_a_controller_that_does_not_come_back_during_the_search_is_told(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        def stop(trial: Trial) -> None:
            if trial.number == 1:
                self.scale(0)
                threading.Timer(75, self.scale, [1]).start()

        pods = {**self.always["pods"], "patience": "10s"}
        try:
            with pytest.raises(HeadwayError, match=r"tuning.(no_observation|no_trial|pod_missing).*[Cc]ontroller"):
                self.search(engine, tmp_path, trials=9, keep=stop, pods=pods)
        finally:
            self.scale(1)

    @pytest.mark.usefixtures("own_katib")
    def test_a_suggestion_service_that_cannot_start_is_told_with_its_reason(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        pods = {**self.always["pods"], "patience": "30s"}
        broken = self.configured(lambda line: line.replace("goptuna", "no-such") if "sobol" in line else line)
        with broken, pytest.raises(HeadwayError, match=r"tuning.no_trial.*no-such"):
            self.search(engine, tmp_path, sampler="sobol", pods=pods)

    def scale(self, replicas: int) -> None:
        """Stops or starts the Katib controller."""
        found = json.loads(self.kube.kubectl("get", "deployments", "-A", "-o", "json"))["items"]
        places = [d["metadata"] for d in found if d["metadata"]["name"] == "katib-controller"]
        place, name = f"--namespace={places[0]['namespace']}", "deployment/katib-controller"
        self.kube.kubectl("scale", name, place, f"--replicas={replicas}")
        if replicas:
            self.kube.kubectl("rollout", "status", name, place, "--timeout=120s")
        else:
            self.kube.kubectl("wait", "pod", place, "--for=delete", "-l", "app=katib-controller", "--timeout=60s")

    def test_two_runs_never_share_a_search(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[str] = set()

        def look(_: Trial) -> None:
            seen.update(self.names("jobs"))

        self.search(engine, tmp_path, {}, keep=look)
        monkeypatch.setenv("HEADWAY_RUN_ID", "another-run")
        self.search(self.another(), tmp_path, {}, keep=look)
        assert len(seen) == 2

    def test_an_experiment_that_somebody_deletes_ends_the_search_with_its_name(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        def delete(trial: Trial) -> None:
            if trial.number == 1:
                self.kube.kubectl("delete", "experiments.kubeflow.org", "--all", "-n", self.namespace, "--wait=false")

        with pytest.raises(HeadwayError, match=r"tuning.experiment_deleted"):
            self.search(engine, tmp_path, trials=9, keep=delete)

    @pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "sobol"])
    def test_every_sampler_searches_the_space_on_its_scale(self, engine: Engine, tmp_path: Path, sampler: str) -> None:
        space = {
            "learning_rate": {"type": "double", "min": 1e-30, "max": 1.0, "log": True},
            "l2_regularization": {"type": "double", "min": 0, "max": 1, "step": 0.25},
            "max_leaf_nodes": {"type": "int", "min": 4, "max": 64, "log": True},
            "max_bins": {"type": "int", "min": 100, "max": 255},
        }
        trials = self.search(engine, tmp_path, space, trials=7, sampler=sampler, early_stopping="none")
        assert [trial.number for trial in trials] == list(range(7))
        for trial in trials[1:]:
            assert trial.state == "succeeded"
            assert 1e-30 <= trial.params["learning_rate"] <= 1.0
            assert trial.params["l2_regularization"] in (0, 0.25, 0.5, 0.75, 1.0)
            assert trial.params["max_leaf_nodes"] in range(4, 65)
            assert isinstance(trial.params["max_bins"], int)
        rates = [trial.params["learning_rate"] for trial in trials[1:]]
        assert min(rates) < 1e-6, "drawn on a linear scale, one of six would be under it once in 160,000 searches"

    def test_values_that_a_shell_would_act_on_arrive_as_they_are(self, engine: Engine, tmp_path: Path) -> None:
        values = ["$(touch /tmp/x) && exit 1", "a; b", 'it\'s "quoted"', "fine"]
        space = {"behaviour": {"type": "categorical", "list": values}}
        trials = self.search(engine, tmp_path, space, estimator=FRAGILE, objective="log_loss", trials=7)
        assert {trial.params["behaviour"] for trial in trials[1:]} <= set(values)
        assert all(trial.state == "succeeded" for trial in trials)
        assert len(trials) > 2

    def test_a_trial_that_falls_behind_the_median_stops_itself(self, engine: Engine, tmp_path: Path) -> None:
        space = {"learning_rate": {"type": "double", "min": 1e-8, "max": 0.5, "log": True}}
        trials = self.search(engine, tmp_path, space, trials=13, sampler="random", objective="log_loss")
        stopped = [trial for trial in trials if trial.state == "pruned"]
        assert stopped
        for trial in stopped:
            assert trial.value is None
            assert len(trial.folds) < 3
            assert "worse than the median after fold" in (trial.cause or "")

    def test_the_namespace_without_its_label_is_refused_before_anything_runs(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        self.kube.kubectl("label", "namespace", self.namespace, f"{INJECTION_LABEL}-")
        with pytest.raises(
            HeadwayError, match=f"tuning.namespace_unlabelled.*kubectl label namespace {self.namespace}"
        ):
            self.search(engine, tmp_path)
        assert not self.left()

    def test_a_label_that_is_lost_during_the_search_is_told(self, engine: Engine, tmp_path: Path) -> None:
        def lose(trial: Trial) -> None:
            if trial.number == 1:
                self.kube.kubectl("label", "namespace", self.namespace, f"{INJECTION_LABEL}-")

        try:
            with pytest.raises(HeadwayError, match=rf"tuning.sidecar_missing.*{INJECTION_LABEL}=enabled"):
                self.search(engine, tmp_path, trials=9, keep=lose)
        finally:
            self._restore()  # without its label Katib cannot even delete
        deadline = time.monotonic() + 60
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.5)

    def _restore(self) -> None:
        self.kube.kubectl("label", "namespace", self.namespace, f"{INJECTION_LABEL}=enabled", "--overwrite")
        for found in Cluster(self.namespace).list(EXPERIMENT):
            Cluster(self.namespace).annotate(EXPERIMENT, found["metadata"]["name"], {"touched": str(time.time())})

    def test_an_image_that_is_not_there_is_named_before_any_trial(self, engine: Engine, tmp_path: Path) -> None:
        pods: dict[str, Any] = {**self.always["pods"], "image": "localhost/nothing:1", "patience": "5s"}
        with pytest.raises(HeadwayError, match=r"tuning.pod_image.*localhost/nothing:1"):
            self.search(engine, tmp_path, pods=pods)

    def test_a_secret_that_is_not_there_is_named_before_any_trial(self, engine: Engine, tmp_path: Path) -> None:
        secrets = {"KEY": {"secret": "nothing-here", "key": "k"}}
        pods = {**self.always["pods"], "secrets": secrets, "patience": "5s"}
        with pytest.raises(HeadwayError, match=r"tuning.pod_config.*nothing-here"):
            self.search(engine, tmp_path, pods=pods)

    def test_a_pod_that_no_node_takes_says_what_the_scheduler_says(self, engine: Engine, tmp_path: Path) -> None:
        pods = {**self.always["pods"], "cpu": "400", "patience": "5s"}
        with pytest.raises(HeadwayError, match=r"tuning.pod_unschedulable.*Insufficient cpu"):
            self.search(engine, tmp_path, pods=pods)

    def test_a_used_up_quota_is_named(self, engine: Engine, tmp_path: Path) -> None:
        self.kube.apply(self.namespace, _quota(0))
        pods = {**self.always["pods"], "patience": "5s"}
        with pytest.raises(HeadwayError, match=r"tuning.quota.*exceeded quota"):
            self.search(engine, tmp_path, pods=pods)

    @pytest.mark.parametrize(("pods", "code"), [(0, "tuning.no_trial"), (1, "tuning.quota")])
    def test_a_quota_that_is_used_up_during_the_search_is_named(
        self, engine: Engine, tmp_path: Path, pods: int, code: str
    ) -> None:
        """The service for suggestions gets no pod, or the first trial gets none."""

        def use_up(trial: Trial) -> None:
            if trial.number == 0:
                self.kube.apply(self.namespace, _quota(pods))

        patient = {**self.always["pods"], "patience": "20s"}
        with pytest.raises(HeadwayError, match=rf"{code}.*exceeded quota"):
            self.search(engine, tmp_path, keep=use_up, pods=patient)

    @pytest.mark.usefixtures("own_katib")
    def test_a_sampler_that_katib_does_not_have_is_named(self, engine: Engine, tmp_path: Path) -> None:
        less = self.configured(lambda line: "" if "algorithmName: sobol" in line else line)
        with less, pytest.raises(HeadwayError, match=r"tuning.algorithm_missing"):
            self.search(engine, tmp_path, sampler="sobol")

    @contextlib.contextmanager
    def configured(self, change: Callable[[str], str]) -> Iterator[None]:
        """Katib with other lines in its configuration, and as it was afterwards."""
        found = self.kube.kubectl("get", "configmap", "-A", "-o", "json", "--field-selector=metadata.name=katib-config")
        (config,) = json.loads(found)["items"]
        kept = config["data"]["katib-config.yaml"]

        def write(text: str) -> None:
            patch = json.dumps({"data": {"katib-config.yaml": text}})
            place = f"--namespace={config['metadata']['namespace']}"
            self.kube.kubectl("patch", "configmap", "katib-config", place, "--type=merge", "-p", patch)

        write("\n".join(map(change, kept.splitlines())))
        try:
            time.sleep(2)  # the controller reads it through a cache
            yield
        finally:
            write(kept)

    def test_a_space_that_cma_es_cannot_search_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(HeadwayError, match=r"tuning.space_unfit"):
            self.search(engine, tmp_path, {"max_depth": SPACE["max_depth"]}, sampler="cmaes")


def _quota(pods: int) -> dict[str, Any]:
    spec = {"hard": {"pods": str(pods)}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec}
