"""Why a pod is not well: what scheduler, kubelet, containers and events say, in one sentence with a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Cause = Literal["image", "unschedulable", "volume", "config", "oom", "crash", "evicted"]
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_DISRUPTED = ("Evicted", "Preempting", "NodeLost", "Shutdown", "NodeShutdown", "Terminated")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a pod.

    Attributes:
        cause: `image` (cannot be pulled), `unschedulable`, `volume` (cannot be mounted), `config` (a Secret, ConfigMap
            or command is wrong), `oom` (killed for memory), `crash` (a container ended with an error), `evicted` (the
            node took it away: no fault of its own).
        pod: Its name.
        container: The container at fault, if it is one.
        message: What the cluster says about it.
        exit_code: Of a container that ended.
        passing: Whether it may go away by itself.
    """

    cause: Cause
    pod: str
    message: str
    container: str | None = None
    exit_code: int | None = None
    passing: bool = False

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return {
            "image": "Check the image's name, and the imagePullSecrets of the service account.",
            "unschedulable": "Ask for less, or add a node that has what is asked for.",
            "volume": "Create the volume claim, or correct its name.",
            "config": "Create the Secret or ConfigMap that it names, or correct the name.",
            "oom": "Give it more memory.",
            "crash": "Read what it logged last.",
            "evicted": "Start it again: the node took it away.",
        }[self.cause]

    def __str__(self) -> str:
        where = f"{self.pod}/{self.container}" if self.container else self.pod
        return f"{where}: {self.message}"


def trouble_of(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> Trouble | None:
    """The first thing that is wrong with a pod; None while it is well, or simply not there yet.

    Args:
        pod: The pod.
        events: Events about it: some faults (a volume that cannot be mounted) are told nowhere else.
    """
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if status.get("reason") in _DISRUPTED or _condition(status, "DisruptionTarget") == "True":
        return Trouble("evicted", name, status.get("message") or "the pod was disrupted", passing=True)
    for found in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        trouble = _of_container(name, found)
        if trouble:
            return trouble
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = condition.get("message") or "no node takes it"
            cause: Cause = "volume" if "persistentvolumeclaim" in message else "unschedulable"
            return Trouble(cause, name, message, passing=True)
    for event in events:
        if event.get("reason") in ("FailedMount", "FailedAttachVolume"):
            return Trouble("volume", name, event.get("message", ""), passing=True)
    return None


def _of_container(pod: str, status: Mapping[str, Any]) -> Trouble | None:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated")
    if ended and ended.get("exitCode", 0) != 0:
        code = int(ended["exitCode"])
        if ended.get("reason") == "OOMKilled":
            return Trouble("oom", pod, "killed: it used more memory than its limit", status["name"], code)
        said = (ended.get("message") or "").strip() or f"ended with exit code {code}"
        return Trouble("crash", pod, said, status["name"], code)
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message") or waiting.get("reason", "")
    if reason in _IMAGE:
        return Trouble("image", pod, f"image {status.get('image')}: {message}", status["name"], passing=True)
    if reason in _CONFIG:
        return Trouble("config", pod, message, status["name"], passing=True)
    return None


def _condition(status: Mapping[str, Any], kind: str) -> str | None:
    return next((c["status"] for c in status.get("conditions") or () if c["type"] == kind), None)
