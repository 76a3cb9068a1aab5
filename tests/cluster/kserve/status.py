"""What KServe says about a service, where it says less or other than what is: conditions and the model's status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tests.cluster.kserve.api import Object
from tests.cluster.kserve.objects import CONTAINER
from tests.cluster.kserve.storage import INITIALIZER

# Ready is made of these alone: neither a canary nor the generation of the service counts.
_PARTS = ("IngressReady", "PredictorReady")


class Conditions:
    """The conditions of a service; a time changes only with the status.

    Args:
        known: Those it has.
    """

    def __init__(self, known: Sequence[Object]) -> None:
        self._found = {condition["type"]: dict(condition) for condition in known}
        for kind in (*_PARTS, "Ready"):
            self._found.setdefault(kind, {"type": kind, "status": "Unknown", "lastTransitionTime": _now()})

    def set(self, kind: str, status: bool | str, reason: str = "", message: str = "") -> None:
        """Says something; an empty reason or message is left out."""
        said = status if isinstance(status, str) else str(status)
        before = self._found.get(kind, {})
        when = before["lastTransitionTime"] if before.get("status") == said else _now()
        told = {"reason": reason, "message": message}
        condition = {"type": kind, "status": said, "lastTransitionTime": when, **{k: v for k, v in told.items() if v}}
        self._found[kind] = condition
        if kind in _PARTS:
            self._sum_up()

    def clear(self, kind: str) -> None:
        """Says nothing of that any more."""
        self._found.pop(kind, None)

    def true(self, kind: str) -> bool:
        """Whether it says so."""
        return bool(self._found[kind]["status"] == "True")

    def list(self) -> list[Object]:
        """As the status has them."""
        return [self._found[kind] for kind in sorted(self._found)]

    def _sum_up(self) -> None:
        parts = [self._found[kind] for kind in _PARTS]
        for status in ("False", "Unknown"):
            for part in parts:
                if part["status"] == status:
                    return self.set("Ready", status, part.get("reason", ""), part.get("message", ""))
        return self.set("Ready", True)


def predictor_condition(deployment: Object) -> tuple[str, str, str]:
    """PredictorReady, from the stable Deployment's conditions: old pods that still serve hide a broken new version."""
    said = {c["type"]: c for c in (deployment.get("status") or {}).get("conditions") or []}
    status, reason, message = "False", "", ""
    available, progressing = said.get("Available"), said.get("Progressing")
    if available and available["status"] == "True":
        status, reason, message = _said(available)
    if (progressing and progressing["status"] == "False") or (
        progressing and progressing.get("reason") == "NewReplicaSetAvailable"
    ):
        status, reason, message = _said(progressing)
    elif progressing and not (available and available["status"] == "True"):
        status, reason, message = "Unknown", progressing.get("reason", ""), progressing.get("message", "")
    if available and available["status"] == "False":
        status, reason, message = _said(available)
    failure = said.get("ReplicaFailure")
    if failure and failure["status"] == "True":
        status, reason, message = "False", failure.get("reason", ""), failure.get("message", "")
    return status, reason, message


def model_status(before: Mapping[str, object], pods: Sequence[Object], *, ready: bool) -> Object:
    """The stable model's state, from its first pod; the last failure stays for ever."""
    running = [p for p in pods if p["status"].get("phase") == "Running" and _is_ready(p)]
    status: Object = {**before, "copies": {"failedCopies": 0, "totalCopies": len(running)}}
    if not pods:
        return {**status, **_state("Pending", before)}
    first = pods[0]["status"]
    for found in first.get("initContainerStatuses") or []:
        if found["name"] == INITIALIZER:
            if "running" in found["state"]:
                repeated = "terminated" in (found.get("lastState") or {})
                return status if repeated else {**status, **_state("Loading", before)}
            ended = _ended(found)
            if ended:
                return {**status, **_failed(ended, before)}
    if ready:
        return {**status, **_state("Loaded", before)}
    for found in first.get("containerStatuses") or []:
        if found["name"] == CONTAINER:
            ended = _ended(found)
            return {**status, **(_failed(ended, before) if ended else _state("Pending", before))}
    return status


def invalid_spec(before: Mapping[str, object], reason: str, message: str) -> Object:
    """The model's status of a service that names no runtime that can serve it."""
    states = {**_states(before), "targetModelState": "FailedToLoad"}
    info = {"reason": reason, "message": message}
    return {**before, "transitionStatus": "InvalidSpec", "states": states, "lastFailureInfo": info}


def _ended(found: Object) -> Object | None:
    """An end with an error: neither a lack of memory, which has another reason, nor an image that is missing."""
    state, last = found["state"], found.get("lastState") or {}
    if (state.get("terminated") or {}).get("reason") == "Error":
        return dict(state["terminated"])
    if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff" and "terminated" in last:
        return dict(last["terminated"])
    return None


def _failed(ended: Object, before: Mapping[str, object]) -> Object:
    info = {"reason": "ModelLoadFailed", "exitCode": ended["exitCode"], "message": ended.get("message", "")}
    return {**_state("FailedToLoad", before), "lastFailureInfo": {k: v for k, v in info.items() if v != ""}}


def _state(target: str, before: Mapping[str, object]) -> Object:
    transition = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}.get(target, "InProgress")
    states = {**_states(before), "targetModelState": target}
    if target == "Loaded":
        states["activeModelState"] = "Loaded"
    return {"transitionStatus": transition, "states": states}


def _states(before: Mapping[str, object]) -> Object:
    known = before.get("states")
    return dict(known) if isinstance(known, dict) else {"activeModelState": ""}


def _is_ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or [])


def _said(condition: Object) -> tuple[str, str, str]:
    return condition["status"], condition.get("reason", ""), condition.get("message", "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
