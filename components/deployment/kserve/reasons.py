"""Why a version does not come up or has broken: found in pods, events and logs, since the service's status lacks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Trouble, trouble_of
from headway.components.deployment.kserve.version import CONTAINER

Object = Mapping[str, Any]
INITIALIZER = "storage-initializer"


@dataclass(frozen=True)
class Evidence:
    """What the cluster says about one version.

    Attributes:
        deployment: Its Deployment; None when KServe has not made one.
        pods: Its pods.
        events: About service, ReplicaSets and pods, the newest first.
        logs: The end of the log by pod and container.
    """

    deployment: Object | None
    pods: Sequence[Object]
    events: Sequence[Object]
    logs: Mapping[tuple[str, str], str]


def reason(evidence: Evidence) -> HeadwayError | None:
    """The class of reason, with its remedy; None while nothing is wrong.

    Codes: `deployment.storage`, `.layout`, `.version_mismatch`, `.crash`, `.oom`, `.image_pull`, `.unschedulable`,
    `.volume`, `.config`, `.probe`, `.quota`, `.webhook`, `.no_runtime`, `.service_refused`, `.evicted`.
    """
    for pod in evidence.pods:
        about = [event for event in evidence.events if event["involvedObject"].get("name") == pod["metadata"]["name"]]
        trouble = trouble_of(pod, about)
        if trouble:
            return _of_trouble(trouble, evidence)
        unready = _never_ready(pod, about)
        if unready:
            return unready
    return _of_replicas(evidence) or _of_service(evidence)


def _of_trouble(trouble: Trouble, evidence: Evidence) -> HeadwayError:
    log = evidence.logs.get((trouble.pod, trouble.container or ""), "").strip()
    said = f"{trouble.pod}/{trouble.container}: {log}" if len(log) > len(trouble.message) else str(trouble)
    if trouble.container == INITIALIZER and trouble.cause in ("crash", "oom"):
        return _named("storage", f"The release could not be loaded from its store: {_end(said)}", _STORAGE)
    if trouble.cause == "crash":
        return _of_crash(said, trouble.exit_code)
    code, remedy = {
        "image": ("image_pull", "Check serving.kserve.image, and image_pull_secrets for a private registry."),
        "oom": ("oom", "Raise serving.kserve.resources.memory, or use a smaller model."),
        "unschedulable": ("unschedulable", "Lower serving.kserve.resources, or add a node that has what is asked for."),
        "volume": ("volume", "Create the volume claim, or correct serving.kserve.storage_uri."),
        "config": ("config", trouble.remedy),
        "evicted": ("evicted", trouble.remedy),
    }[trouble.cause]
    return _named(code, f"{trouble}.", remedy)


def _of_crash(said: str, exit_code: int | None) -> HeadwayError:
    for pattern, code, what, remedy in _CRASHES:
        if re.search(pattern, said):
            return _named(code, f"{what}: {_end(said)}", remedy)
    return _named(
        "crash", f"The model server ended with exit code {exit_code}: {_end(said)}", "Cure what it logged last."
    )


def _never_ready(pod: Object, events: Sequence[Object]) -> HeadwayError | None:
    """A server that runs and was started again by its own probe, which shows in events only."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    ready = all(status.get("ready") for status in statuses)
    for event in events:
        if not ready and event.get("reason") == "Unhealthy" and event.get("count", 1) >= 3 and _killed(events):
            return _named(
                "probe",
                f"{pod['metadata']['name']}: the model server did not become ready: {event.get('message', '')}.",
                "Raise serving.start_timeout_s, or serving.kserve.resources.cpu for a model that loads slowly.",
            )
    return None


def _killed(events: Sequence[Object]) -> bool:
    told = [event.get("message", "") for event in events if event.get("reason") == "Killing"]
    return any(CONTAINER in message and "probe" in message for message in told)


def _of_replicas(evidence: Evidence) -> HeadwayError | None:
    """Pods that cannot even be made: quota, a webhook, a service account that is not there."""
    conditions = (evidence.deployment or {}).get("status", {}).get("conditions") or ()
    for condition in conditions:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            said = condition.get("message", "")
            if "exceeded quota" in said or "must specify" in said:
                remedy = "Free what is not needed, lower serving.kserve.resources, or raise the quota."
                return _named("quota", f"No pod can be made: {said}.", remedy)
            if "serviceaccount" in said:
                remedy = "Create the service account, or correct serving.kserve.service_account."
                return _named("config", f"No pod can be made: {said}.", remedy)
            return _named(
                "webhook", f"No pod can be made: {said}.", "Change what it names, or start that webhook again."
            )
    return None


def _of_service(evidence: Evidence) -> HeadwayError | None:
    """What KServe itself could not do, which only an event tells."""
    if evidence.deployment is not None:
        return None
    for event in evidence.events:
        said = event.get("message", "")
        # Two writers at once is daily life for a controller.
        if event.get("type") != "Warning" or "object has been modified" in said:
            continue
        if "StorageURI not supported" in said:
            return _named("storage", f"KServe does not know the store: {said}.", _STORAGE)
        if "runtime" in said and ("no runtime" in said or "not support" in said or "NotFound" in said):
            return _named("no_runtime", f"KServe has no runtime for it: {said}.", "Install the serving runtime.")
        if event.get("reason") == "InternalError":
            return _named("service_refused", f"KServe cannot make it run: {said}.", "Cure what it says.")
    return None


def _named(code: str, message: str, remedy: str) -> HeadwayError:
    return HeadwayError(f"deployment.{code}", message, remedy=remedy)


def _end(said: str) -> str:
    """The last lines, in which a program says why it ended."""
    lines = [line for line in said.strip().splitlines() if re.search(r"\w", line)]
    return "\n".join(lines[-20:])[-1500:]


_STORAGE = (
    "Check that the release is there, and that the serving pods may read it: serving.kserve.storage_secret, "
    "or service_account with workload identity."
)
_CRASHES = (
    (
        r"\[model\.(library_missing|library_differs|type_untrusted)\]|InconsistentVersionWarning|incompatible version",
        "version_mismatch",
        "The serving image has other libraries than the model was trained with",
        "Serve with the suite's own image of the version that trained the model, or give serving.kserve.image.",
    ),
    (
        r"\[model\.(not_a_model|file_missing|changed)\]|No such file or directory: '/mnt/models",
        "layout",
        "The release that was loaded is not the model folder that was registered",
        "Look at the release in its store; register_model writes it anew after it was removed whole.",
    ),
)
