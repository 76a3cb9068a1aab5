"""The pod of a trial: like the step's own pod, as far as that concerns it, with what the study says laid over."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import local_folder
from headway.components.tuning.config import Mount, Pods

CONTAINER = "trial"
METRICS = "/tmp/headway/metrics.jsonl"

# What KFP and Argo put into a step's pod for themselves.
_THEIRS = ("KFP_", "ARGO_", "KUBERNETES_", "WORKFLOW_", "ML_PIPELINE_", "HOSTNAME", "EXECUTOR_")
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class PodSpec:
    """A trial's pod without its command.

    Attributes:
        image: Of the trial.
        container: Further fields of the container.
        pod: Further fields of the pod.
    """

    image: str
    container: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)

    def render(self, command: Sequence[str]) -> dict[str, Any]:
        """The pod's spec for a command."""
        container = {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(command),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": _SECURITY,
            **copy.deepcopy(dict(self.container)),
        }
        # A trial has nothing to put in order, and Python as the first process of a pod does not hear SIGTERM.
        end = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
        return {**end, **copy.deepcopy(dict(self.pod)), "containers": [container]}

    def mounts(self) -> list[str]:
        """Paths at which something outside the pod is mounted."""
        return [mount["mountPath"] for mount in self.container["volumeMounts"] if mount["name"] != "scratch"]


def trial_pod(pods: Pods, own: Mapping[str, Any] | None) -> PodSpec:
    """The pods of a study's trials.

    Args:
        pods: What the study says.
        own: The step's own pod; None outside a cluster.

    Raises:
        HeadwayError: `tuning.image_unknown`.
    """
    spec: Mapping[str, Any] = (own or {}).get("spec") or {}
    step = _step_container(spec)
    image = pods.image or step.get("image")
    if not image:
        raise HeadwayError(
            "tuning.image_unknown",
            "This step does not run in a pod, so nothing says which image the trials are to use.",
            remedy="Give study.pods.image, an image that holds the same code.",
        )
    environment = {
        **{v["name"]: v for v in step.get("env") or () if not v["name"].startswith(_THEIRS) and not _is_pod_field(v)},
        **{name: {"name": name, "value": value} for name, value in pods.environment.items()},
        **{
            name: {"name": name, "valueFrom": {"secretKeyRef": {"name": where.secret, "key": where.key}}}
            for name, where in pods.secrets.items()
        },
    }
    volumes, mounts = _inherited(spec, step)
    for number, mount in enumerate(pods.volumes):
        volumes.append({"name": f"study-{number}", **_source(mount)})
        # Katib's webhook refuses a field that only says false.
        only_read = {} if mount.claim else {"readOnly": True}
        mounts.append({"name": f"study-{number}", "mountPath": mount.path, **only_read})
    volumes.append({"name": "scratch", "emptyDir": {}})
    mounts.append({"name": "scratch", "mountPath": "/tmp"})
    pull = [{"name": name} for name in pods.image_pull_secrets] or spec.get("imagePullSecrets")
    tolerations = list(pods.tolerations) or [
        t for t in spec.get("tolerations") or () if not t.get("key", "").startswith("node.kubernetes.io/")
    ]
    pod = {
        "serviceAccountName": pods.service_account or spec.get("serviceAccountName"),
        "imagePullSecrets": pull,
        "nodeSelector": dict(pods.node_selector) or spec.get("nodeSelector"),
        "tolerations": tolerations,
        "securityContext": spec.get("securityContext"),
        "volumes": volumes,
    }
    container = {
        "env": list(environment.values()),
        "envFrom": step.get("envFrom"),
        "volumeMounts": mounts,
        "resources": {
            "requests": {"cpu": pods.cpu, "memory": pods.memory},
            "limits": {"memory": pods.memory},
        },
    }
    return PodSpec(image, _given(container), _given(pod))


def require_reachable(state_uri: str | None, pod: PodSpec) -> str:
    """The state folder, where trials in pods of their own can read it.

    Raises:
        HeadwayError: `tuning.state_unreachable`.
    """
    folder = None if state_uri is None else local_folder(state_uri)
    shared = [PurePosixPath(path) for path in pod.mounts()]
    if state_uri is not None and (folder is None or any(folder.is_relative_to(path) for path in shared)):
        return state_uri
    raise HeadwayError(
        "tuning.state_unreachable",
        "Trials in pods of their own get their data from the state folder, and "
        + ("there is none." if state_uri is None else "this one is on the step's own disk."),
        value=state_uri,
        remedy="Set state_uri to gs://bucket/prefix or s3://bucket/prefix, or to a folder on a volume of the step.",
    )


def own_pod_name() -> str:
    """The name of the pod that this process runs in."""
    return os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME") or "unknown"


def _step_container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = spec.get("containers") or [{}]
    # Argo calls the step's container main; its wait container stands beside it.
    return next((c for c in containers if c.get("name") == "main"), containers[0])


def _inherited(spec: Mapping[str, Any], step: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the step that mean the same in another pod, and where they are mounted."""
    shared = {
        volume["name"]: volume
        for volume in spec.get("volumes") or ()
        if {"persistentVolumeClaim", "configMap", "secret", "nfs", "csi", "hostPath"} & set(volume)
        and not volume["name"].startswith(("kube-api-access", "var-run-argo"))
    }
    mounts = [dict(mount) for mount in step.get("volumeMounts") or () if mount["name"] in shared]
    return [dict(shared[name]) for name in dict.fromkeys(mount["name"] for mount in mounts)], mounts


def _is_pod_field(variable: Mapping[str, Any]) -> bool:
    return "fieldRef" in (variable.get("valueFrom") or {})


def _source(mount: Mount) -> dict[str, Any]:
    if mount.claim:
        return {"persistentVolumeClaim": {"claimName": mount.claim}}
    if mount.config_map:
        return {"configMap": {"name": mount.config_map}}
    return {"secret": {"secretName": mount.secret}}


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
