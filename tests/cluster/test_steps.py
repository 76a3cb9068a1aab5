"""Components in a cluster, started as KFP starts them: the compiled YAML's command in the image that it names."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from tests.cluster.compiled_step import CompiledStep, compiled_step, job_of

pytestmark = pytest.mark.core

RAW = """import random, csv
rows = csv.writer(open('/step/raw.csv', 'w'))
rows.writerow(['id', 'distance', 'carrier', 'late'])
random.seed(0)
for i in range(2000):
    far = random.random()
    rows.writerow([i, round(far, 4), random.choice('ABC'), int(far + random.gauss(0, .3) > .5)])
"""


def test_raw_rows_become_a_model_in_pods_that_may_write_nothing_but_their_volumes(cluster, namespace):
    steps = {
        "ingest-data": compiled_step(
            "ingest_data", parameters={"source": {"uris": ["/step/raw.csv"], "id_column": "id"}}
        ),
        "infer-schema": compiled_step(
            "infer_schema",
            inputs={"data": "/step/ingest_data/data"},
            parameters={"roles": {"id": "id", "target": "late"}},
        ),
        "train-model": compiled_step(
            "train_model",
            inputs={"train_data": "/step/ingest_data/data", "schema": "/step/infer_schema/schema"},
            parameters={"estimator": "sklearn.linear_model.LogisticRegression"},
        ),
    }
    image = steps["train-model"].image
    raw = CompiledStep(image, ["python3", "-c"], [RAW])
    look = CompiledStep(image, ["cat"], ["/step/train_model/model/headway.json"])
    mounts = {"tmp": "/tmp", "step": "/step"}
    containers = [step.container(name, mounts) for name, step in {"raw": raw, **steps, "look": look}.items()]
    cluster.apply(namespace, job_of("steps", containers, {"tmp": {}, "step": {}}))
    pod = cluster.finished_pod(namespace, "steps")
    name = pod["metadata"]["name"]
    logs = {container["name"]: cluster.logs(namespace, name, container["name"]) for container in _started(pod)}
    assert pod["status"]["phase"] == "Succeeded", "\n".join(logs.values())[-4000:]
    record = json.loads(re.sub(r"(?m)^\S+ ", "", logs["look"]))
    assert record["features"]
    for step in steps:
        print(f"{step}: {_seconds_to_first_line(pod, step, logs[step]):.1f} s to its first line")


def _started(pod):
    states = [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]
    return [state for state in states if "terminated" in state["state"]]


def _seconds_to_first_line(pod, step, log):
    started = next(state for state in _started(pod) if state["name"] == step)["state"]["terminated"]["startedAt"]
    first = log.split(" ", 1)[0]
    return (datetime.fromisoformat(first[:26].rstrip("Z") + "+00:00") - datetime.fromisoformat(started)).total_seconds()
