"""A step as KFP starts it: image, command and arguments of the compiled YAML, with an executor input of one's own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMPONENTS = Path(__file__).resolve().parents[2] / "compiled" / "components"


@dataclass(frozen=True)
class CompiledStep:
    """What a container of a step is started with."""

    image: str
    command: list[str]
    args: list[str]

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


def _artifact(definitions: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    kind = definitions["artifacts"][name]["artifactType"]
    return {"artifacts": [{"name": name, "type": kind, "uri": path, "metadata": {}}]}
