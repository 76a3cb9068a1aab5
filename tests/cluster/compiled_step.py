"""A step as KFP starts it: image, command and arguments of the compiled YAML, with an executor input of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMPONENTS = Path(__file__).resolve().parents[2] / "compiled" / "components"


SECURE = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class CompiledStep:
    """What a container of a step is started with."""

    image: str
    command: list[str]
    args: list[str]

    def container(self, name: str, mounts: Mapping[str, str], env: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """A container of a pod, which may write nothing but its volumes (name to path)."""
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": self.command,
            "args": self.args,
            "env": list(env),
            "securityContext": SECURE,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in mounts.items()],
        }

    @property
    def import_line(self) -> str:
        """The one import of the component's body: what its image must be able to load."""
        return str(re.findall(r"^    (from headway\S+ import .+)$", self.command[-1], re.MULTILINE)[-1])


def names() -> list[str]:
    """Every component that is compiled."""
    return sorted(path.stem for path in COMPONENTS.glob("*.yaml"))


def compiled_step(
    name: str, *, root: str = "/step", inputs: dict[str, str] | None = None, parameters: dict[str, Any] | None = None
) -> CompiledStep:
    """A step that reads artifacts from the paths of `inputs` and leaves its own under `root/NAME/`."""
    spec = yaml.safe_load((COMPONENTS / f"{name}.yaml").read_text())
    (component,) = spec["components"].values()
    (executor,) = spec["deploymentSpec"]["executors"].values()
    read, written = component.get("inputDefinitions", {}), component.get("outputDefinitions", {})
    defaults = {
        key: value["defaultValue"] for key, value in read.get("parameters", {}).items() if "defaultValue" in value
    }
    given = {
        "inputs": {
            "parameterValues": {**defaults, **(parameters or {})},
            "artifacts": {key: _artifact(read, key, path) for key, path in (inputs or {}).items()},
        },
        "outputs": {
            "artifacts": {key: _artifact(written, key, f"{root}/{name}/{key}") for key in written.get("artifacts", {})},
            "outputFile": f"{root}/{name}/executor_output.json",
        },
    }
    container = executor["container"]
    args = [argument.replace("{{$}}", json.dumps(given)) for argument in container["args"]]
    return CompiledStep(container["image"], container["command"], args)


def job_of(
    name: str,
    containers: Sequence[dict[str, Any]],
    volumes: Mapping[str, dict[str, Any]],
    *,
    account: str = "default",
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Job that runs containers one after the other.

    Args:
        name: Of the Job.
        containers: In order.
        volumes: Name to what it is; those that are only for this pod are `{}`.
        account: Service account.
        labels: Of the pod.
    """
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "initContainers": list(containers[:-1]),
        "containers": list(containers[-1:]),
        "volumes": [{"name": volume, **(what or {"emptyDir": {}})} for volume, what in volumes.items()],
    }
    template = {"metadata": {"labels": dict(labels or {})}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _artifact(definitions: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    kind = definitions["artifacts"][name]["artifactType"]
    return {"artifacts": [{"name": name, "type": kind, "uri": path, "metadata": {}}]}
