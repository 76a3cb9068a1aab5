"""The part of KServe's schema that our manifests touch: `python -m tests.cluster.kserve.schema [FILE]` writes it.

FILE is the CustomResourceDefinition of InferenceServices, as `kubectl get crd -o json` gives it or a release of KServe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.kserve.__main__ import SCHEMAS

WRITTEN = Path(__file__).resolve().parents[3] / "components/deployment/kserve/schema.json"
OF_A_PREDICTOR = (
    "annotations",
    "autoScaling",
    "canaryTrafficPercent",
    "containers",
    "deploymentStrategy",
    "imagePullSecrets",
    "logger",
    "maxReplicas",
    "minReplicas",
    "name",
    "nodeSelector",
    "priorityClassName",
    "scaleMetric",
    "scaleTarget",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "volumes",
)
OF_A_VOLUME = ("name", "emptyDir")


def part(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema of the InferenceServices that we write, which refuses every field that it does not know."""
    (version,) = (each for each in definition["spec"]["versions"] if each["name"] == "v1beta1")
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    of_a_canary = spec["canary"]["items"]["properties"]
    canary = {"predictor": _predictor(of_a_canary["predictor"]), "trafficPercent": of_a_canary["trafficPercent"]}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    parts = {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": _object({"name": {"type": "string"}, "labels": texts, "annotations": texts}),
        "spec": _object(
            {
                "predictor": _predictor(spec["predictor"]),
                "canary": {"type": "array", "items": _object(canary, required=["predictor"])},
            },
            required=["predictor"],
        ),
    }
    closed: dict[str, Any] = _closed(_object(parts, required=[*parts]))
    return closed


def _predictor(schema: Mapping[str, Any]) -> dict[str, Any]:
    known = schema["properties"]
    kept = {name: known[name] for name in OF_A_PREDICTOR if name in known}
    volume = known["volumes"]["items"]
    kept["volumes"] = {
        "type": "array",
        "items": {**volume, "properties": {name: volume["properties"][name] for name in OF_A_VOLUME}},
    }
    return _object(kept)


def _object(properties: Mapping[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), **({"required": required} if required else {})}


def _closed(schema: Any) -> Any:
    """Without descriptions and Kubernetes' own words; an object with fields has no others."""
    if not isinstance(schema, dict):
        return schema
    rest = ("description", "default", "properties", "items", "additionalProperties", "anyOf")
    kept = {key: value for key, value in schema.items() if key not in rest and not key.startswith("x-")}
    if "properties" in schema:
        kept["properties"] = {name: _closed(each) for name, each in sorted(schema["properties"].items())}
    for key in ("items", "additionalProperties"):
        if key in schema:
            kept[key] = _closed(schema[key])
    if "properties" in schema:
        kept.setdefault("additionalProperties", False)
    if "anyOf" in schema:
        kept["anyOf"] = [_closed(each) for each in schema["anyOf"]]
    return kept


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMAS / "kserve_inferenceservices.json"
    made = part(json.loads(given.read_text()))
    WRITTEN.write_text(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n")
