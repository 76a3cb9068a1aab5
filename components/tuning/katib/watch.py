"""What became of an Experiment's trials, and the watchdogs: everything that would make a search wait for ever."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, trouble_of
from headway.components._shared.kubernetes.kinds import EXPERIMENT, JOB, POD, SUGGESTION, TRIAL
from headway.components.tuning.katib.checks import INJECTION_LABEL
from headway.components.tuning.katib.experiment import SEARCH
from headway.components.tuning.katib.pod import CONTAINER
from headway.components.tuning.workers import LOG_CHARACTERS, LOG_LINES

log = logging.getLogger("headway")

Object = Mapping[str, Any]
SIDECAR = "metrics-logger-and-collector"
ENDED = ("Succeeded", "Failed", "Killed", "MetricsUnavailable", "EarlyStopped")
# Nobody corrects an image's name or a Secret within a search's patience.
_HOPELESS_AFTER_S = {"image": 45.0, "config": 45.0}


@dataclass(frozen=True)
class Snapshot:
    """What the cluster says at one time.

    Attributes:
        experiment: The Experiment; None if it is gone.
        trials: Its Trials by name.
        jobs: Jobs of the search by name; a Trial's has the Trial's name.
        pods: The newest pod of each Job, by the Job's name.
    """

    experiment: Object | None
    trials: Mapping[str, Object]
    jobs: Mapping[str, Object]
    pods: Mapping[str, Object]

    def ended(self) -> list[str]:
        """Names of the Trials that are over, in the order of their ends."""
        over = [name for name, trial in self.trials.items() if state_of(trial) in ENDED]
        return sorted(over, key=lambda name: (self.trials[name]["status"].get("completionTime") or "", name))


def look(cluster: Cluster, experiment: str, search: str) -> Snapshot:
    """Reads everything that belongs to a search; each kind in one request.

    What follows from something is read before it: whatever is over has its evidence in the same snapshot.
    """
    labels = {SEARCH: search}
    found = cluster.get(EXPERIMENT, experiment)
    trials = cluster.list(TRIAL, {"katib.kubeflow.org/experiment": experiment})
    jobs = cluster.list(JOB, labels)
    pods = sorted(cluster.list(POD, labels), key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return Snapshot(
        experiment=found,
        trials={trial["metadata"]["name"]: trial for trial in trials},
        jobs={job["metadata"]["name"]: job for job in jobs},
        pods={pod["metadata"].get("labels", {}).get("job-name", ""): pod for pod in pods},
    )


def state_of(trial: Object) -> str:
    """The last condition of a Trial, or of an Experiment, that is true; empty if it has none."""
    conditions = (trial.get("status") or {}).get("conditions") or ()
    true = [c["type"] for c in conditions if c.get("status") == "True"]
    over = [kind for kind in true if kind in ENDED]
    return str((over or true or [""])[-1])


def observed(trial: Object) -> dict[str, float]:
    """The finite numbers that a Trial has reported last, by metric."""
    metrics = ((trial.get("status") or {}).get("observation") or {}).get("metrics") or ()
    found = {}
    for metric in metrics:
        try:
            value = float(metric.get("latest"))
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            found[str(metric["name"])] = value
    return found


def cause_of(pod: Object | None) -> str:
    """Why a trial failed, from its pod."""
    if ((pod or {}).get("status") or {}).get("reason") == "DeadlineExceeded":
        return "it did not answer in time"
    ended = ended_container(pod, CONTAINER)
    if ended is None:
        trouble = trouble_of(pod) if pod else None
        return trouble.message if trouble else "its pod is gone"
    code, said = int(ended.get("exitCode", 0)), (ended.get("message") or "").strip()
    if ended.get("reason") == "OOMKilled":
        return "killed: it used more memory than its limit"
    if code == 0:
        sidecar = (ended_container(pod, SIDECAR) or {}).get("message") or "it says nothing"
        return f"it ended well, but Katib got no number from it: {_last(sidecar)}"
    if told := re.findall(r"^\[[a-z_.]+\] (.+?)(?: Given: .*)? Remedy: .*$", said, re.MULTILINE):
        return str(told[-1])
    return f"its process ended with exit code {code}" + (f": {_last(said)}" if said else "")


def log_of(pod: Object | None) -> str | None:
    """The last lines that a trial's container logged before it failed; the kubelet keeps them with the pod."""
    said = ((ended_container(pod, CONTAINER) or {}).get("message") or "").strip().splitlines()
    return "\n".join(said[-LOG_LINES:])[-LOG_CHARACTERS:] or None


def is_over(job: Object | None) -> bool:
    """Whether a Job has ended, well or not."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return any(c.get("status") == "True" and c["type"] in ("Complete", "Failed") for c in conditions)


def ended_container(pod: Object | None, name: str) -> Object | None:
    """How a container ended; None while it has not."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((s["state"]["terminated"] for s in statuses if s["name"] == name and "terminated" in s["state"]), None)


def seconds_of(trial: Object | None, pod: Object | None) -> float:
    """How long a trial ran."""
    ended = ended_container(pod, CONTAINER)
    status = (trial or {}).get("status") or {}
    begun, over = (
        (ended.get("startedAt"), ended.get("finishedAt"))
        if ended
        else (status.get("startTime"), status.get("completionTime"))
    )
    if not begun or not over:
        return 0.0
    return max(0.0, (datetime.fromisoformat(over) - datetime.fromisoformat(begun)).total_seconds())


class Watch:
    """Raises a named error with the reason when a search can no longer come to an end by itself.

    Args:
        cluster: Where to ask for reasons.
        experiment: Name of the Experiment.
        patience_s: How long a lack of any sign is borne.
        now: Value of the clock at the start.
    """

    def __init__(self, cluster: Cluster, experiment: str, patience_s: float, now: float) -> None:
        self._cluster, self._experiment, self._patience_s = cluster, experiment, patience_s
        self._since: dict[tuple[str, str], float] = {}
        self._progress = (now, frozenset[str]())
        self._told: dict[str, str] = {}

    def check(self, snapshot: Snapshot, now: float) -> None:
        """Looks at a snapshot.

        Raises:
            HeadwayError: `tuning.no_trial`, `tuning.sidecar_missing`, `tuning.pod_missing`, `tuning.no_observation`,
                and `tuning.pod_<cause>` with the causes of `Trouble`.
        """
        self.see(snapshot, now)
        if all(state_of(trial) in ENDED for trial in snapshot.trials.values()):
            if now - self._progress[0] > self._patience_s:
                raise self._no_trial(snapshot)
            return
        for name, trial in snapshot.trials.items():
            if state_of(trial) not in ENDED:
                self._check_running(name, snapshot.jobs.get(name), snapshot.pods.get(name), now)

    def check_failure(self, snapshot: Snapshot) -> None:
        """Looks at an Experiment that has failed, which may be for its trials: about those the search decides.

        Raises:
            HeadwayError: `tuning.experiment_failed`.
        """
        experiment = snapshot.experiment or {}
        failed = [state_of(trial) in ("Failed", "MetricsUnavailable") for trial in snapshot.trials.values()]
        if sum(failed) >= experiment["spec"]["maxFailedTrialCount"]:
            return
        said = [c.get("message") for c in experiment["status"]["conditions"] if c["type"] == "Failed"]
        reasons = [*(str(message) for message in said if message), *self._reasons()]
        raise HeadwayError(
            "tuning.experiment_failed",
            f"Katib gave the experiment {self._experiment} up: {_joined(reasons) or 'it does not say why'}.",
            value=self._experiment,
            remedy="Correct what Katib names in search_space or study.sampler; if it names nothing, look at the log of "
            "its controller. Then start the step again: with a state_uri it goes on after the finished trials.",
        )

    def see(self, snapshot: Snapshot, now: float) -> None:
        """Notes progress: something has changed, or a pod is at work, so that others may well wait for its place.

        Logs for each trial that has not ended what it does or waits for, whenever that changes.
        """
        phases = {name: (pod.get("status") or {}).get("phase") for name, pod in snapshot.pods.items()}
        states = {name: state_of(trial) for name, trial in snapshot.trials.items()}
        signs = frozenset(f"{name} {sign}" for found in (phases, states) for name, sign in found.items())
        at_work = any(phases[name] == "Running" for name in snapshot.jobs if name in phases)
        if at_work or signs != self._progress[1]:
            self._progress = (now, signs)
        for name, job in snapshot.jobs.items():
            does = None if is_over(job) else self._doing(name, snapshot.pods.get(name), now)
            if does and does != self._told.get(name):
                self._told[name] = does
                log.info(f"tune_model: {name} {does}")

    def check_job(self, job: Object, pod: Object | None, now: float) -> None:
        """Looks at a Job of ours that has not ended."""
        name = job["metadata"]["name"]
        if pod is not None:
            self.check_pod(pod, now)
        elif self._lasts("no pod", name, now) > self._patience_s < now - self._progress[0]:
            raise self._no_pod(name)

    def check_pod(self, pod: Object, now: float) -> None:
        """Looks at a pod that has not ended."""
        name = pod["metadata"]["name"]
        pending = pod["status"].get("phase") == "Pending"
        long = pending and self._lasts("pending", name, now) > 10
        trouble = trouble_of(pod, self._cluster.events_of(name) if long else ())
        if trouble is None or not trouble.passing:
            return
        bearable = min(self._patience_s, _HOPELESS_AFTER_S.get(trouble.cause, math.inf))
        if self._lasts(trouble.cause, name, now) > bearable < now - self._progress[0]:
            raise HeadwayError(
                f"tuning.pod_{trouble.cause}",
                f"A trial cannot start. {trouble}",
                value=name,
                remedy=trouble.remedy,
            )

    def _check_running(self, name: str, job: Object | None, pod: Object | None, now: float) -> None:
        if pod is None:
            if self._lasts("no pod", name, now) > self._patience_s < now - self._progress[0]:
                raise self._no_pod(name)
            return
        if SIDECAR not in [container["name"] for container in pod["spec"]["containers"]]:
            raise HeadwayError(
                "tuning.sidecar_missing",
                f"Katib did not put its collector into the trial's pod {pod['metadata']['name']}, so the trial "
                "would never end.",
                value=self._cluster.namespace,
                remedy=f"The namespace has lost its label: kubectl label namespace {self._cluster.namespace} "
                f"{INJECTION_LABEL}=enabled, and start the step again.",
            )
        if not is_over(job):
            self.check_pod(pod, now)
        elif self._lasts("over", name, now) > self._patience_s:
            raise HeadwayError(
                "tuning.no_observation",
                f"The trial {name} has ended, and Katib has taken no number from it since: {self._why(name, pod)}.",
                value=name,
                remedy="Look at the Katib controller and its database: kubectl -n kubeflow get pods, and their logs.",
            )

    def _doing(self, name: str, pod: Object | None, now: float) -> str | None:
        if pod is None:
            return f"waits for a pod: {self._warning(name)}" if self._lasts("no pod", name, now) > 10 else None
        if (pod.get("status") or {}).get("phase") == "Running":
            return "runs"
        trouble = trouble_of(pod)
        return f"waits: {trouble.message}" if trouble else None

    def _warning(self, name: str) -> str:
        """What was last complained of about an object."""
        said = [str(e.get("message")) for e in self._cluster.events_of(name) if e.get("type") == "Warning"]
        return [*(message for message in said if "exceeded quota" in message), *said, "nothing says why"][0]

    def _lasts(self, what: str, name: str, now: float) -> float:
        return now - self._since.setdefault((what, name), now)

    def _why(self, trial: str, pod: Object) -> str:
        sidecar = ended_container(pod, SIDECAR)
        if sidecar and sidecar.get("exitCode"):
            return f"its collector failed: {_last(sidecar.get('message') or 'without a word')}"
        events = self._cluster.events_of(trial)
        return str(events[0].get("message")) if events else "the Katib controller seems not to run"

    def _no_trial(self, snapshot: Snapshot) -> HeadwayError:
        """Why Katib makes no trial: the Suggestion, its pod, events, or a controller that is not there."""
        reasons = self._reasons()
        if not ((snapshot.experiment or {}).get("status") or {}).get("conditions"):
            reasons = reasons or ["the Katib controller has not looked at it, so it seems not to run"]
        return HeadwayError(
            "tuning.no_trial",
            f"Katib has started no{' more' if snapshot.trials else ''} trial of {self._experiment} in "
            f"{self._patience_s:.0f} s: "
            f"{_joined(reasons) or 'its service for suggestions does not answer'}.",
            value=self._experiment,
            remedy="Look at the Katib controller and the pod of the Suggestion; study.pods.patience is how long it may "
            "take.",
        )

    def _reasons(self) -> list[str]:
        """What is told of the Experiment's Suggestion, of its pod, and in events."""
        suggestion = self._cluster.get(SUGGESTION, self._experiment)
        pods = self._cluster.list(POD, {"katib.kubeflow.org/experiment": self._experiment})
        own = [pod for pod in pods if "job-name" not in pod["metadata"]["labels"]]
        troubles = [trouble_of(pod, self._cluster.events_of(pod["metadata"]["name"])) for pod in own]
        # A pod that a quota does not let in is complained of where it would come from: its ReplicaSet.
        events = self._cluster.events_below(self._experiment)
        warnings = [e for e in events if e.get("type") == "Warning"]
        conditions = ((suggestion or {}).get("status") or {}).get("conditions") or ()
        bad = [c for c in conditions if c.get("status") == "False" or c["type"] == "Failed"]
        return [
            *(f"{trouble}" for trouble in troubles if trouble),
            *(str(event.get("message")) for event in warnings[:2]),
            *(str(c["message"]) for c in bad if c.get("message")),
        ]

    def _no_pod(self, trial: str) -> HeadwayError:
        said = self._warning(trial)
        quota = "exceeded quota" in said
        return HeadwayError(
            "tuning.quota" if quota else "tuning.pod_missing",
            f"The trial {trial} gets no pod: {said}.",
            value=trial,
            remedy="Raise the quota, lower study.parallel, or ask for less in study.pods."
            if quota
            else "Start the Katib controller again, if that is what does not answer: it must admit every pod here.",
        )


def _joined(reasons: Sequence[str]) -> str:
    return "; ".join(reason.rstrip(".") for reason in dict.fromkeys(reasons))


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""
