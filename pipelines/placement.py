"""Where and how a step runs: resources, time limit, caching, environment; one place for every pipeline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

from headway.components._shared.state import RUN_ID_VARIABLE


@dataclass(frozen=True)
class Size:
    """What a step asks of the cluster."""

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    timeout_s: int


_HOUR = 60 * 60
_DAY = 24 * _HOUR
SMALL = Size("100m", "1", "512Mi", "1Gi", 15 * 60)
DATA = Size("500m", "2", "1Gi", "4Gi", _HOUR)
COMPUTE = Size("1", "4", "2Gi", "8Gi", 4 * _HOUR)
# These keep to a deadline of their own, which a parameter gives; the limit is there for a step that hangs.
SEARCH = dataclasses.replace(COMPUTE, timeout_s=15 * _DAY)
ROLLOUT = dataclasses.replace(SMALL, timeout_s=15 * _DAY)

# What a component needs. Steps that look at or act on the outside world are never served from a cache.
STEPS: dict[str, tuple[Size, bool]] = {
    "ingest_data": (DATA, False),
    "validate_data": (DATA, True),
    "split_data": (DATA, True),
    "tune_model": (SEARCH, True),
    "train_model": (COMPUTE, True),
    "evaluate_model": (DATA, True),
    "resolve_champion": (SMALL, False),
    "register_model": (SMALL, False),
    "deploy_model": (ROLLOUT, False),
    "rollback_deployment": (ROLLOUT, False),
    "undeploy_model": (ROLLOUT, False),
    "deployment_status": (SMALL, False),
    "finish_rollout": (ROLLOUT, False),
    "monitor_models": (DATA, False),
    "send_alert": (SMALL, False),
    "trigger_retraining": (SMALL, False),
    "notify": (SMALL, False),
}

# By this label Kubeflow's PodDefault `access-ml-pipeline` gives a pod the token for the API of Kubeflow Pipelines.
PIPELINES_TOKEN = ("access-ml-pipeline", "true")
# Who asks that API, or may ask an endpoint's versions through a gateway that wants a token.
_WITH_TOKEN = (
    "trigger_retraining",
    "deploy_model",
    "rollback_deployment",
    "undeploy_model",
    "deployment_status",
    "finish_rollout",
)

# Secrets that a cluster may have: name, and key to variable. Without them nothing is signed, checked or sent.
_VERIFY = ("headway-verify", {"keys": "HEADWAY_VERIFY_KEYS"})
_ALERTS = ("headway-alerts", {name: f"HEADWAY_ALERT_{name.upper()}" for name in ("webhook", "chat", "mail", "pager")})
SECRETS: dict[str, tuple[str, dict[str, str]]] = {
    "evaluate_model": ("headway-signing", {"key": "HEADWAY_SIGNING_KEY"}),
    "register_model": _VERIFY,
    "deploy_model": _VERIFY,
    "notify": _ALERTS,
    "send_alert": _ALERTS,
}


def place(task: PipelineTask) -> Any:
    """Gives a task its size, time limit, caching rule and environment, by the name of its component."""
    name = task.name.replace("-", "_")
    size, cached = STEPS[name]
    task.set_cpu_request(size.cpu_request).set_cpu_limit(size.cpu_limit)
    task.set_memory_request(size.memory_request).set_memory_limit(size.memory_limit)
    task.set_caching_options(cached)
    task.set_env_variable("OMP_NUM_THREADS", "1")
    kubernetes.use_field_path_as_env(task, env_name=RUN_ID_VARIABLE, field_path="metadata.labels['pipeline/runid']")
    kubernetes.set_timeout(task, size.timeout_s)
    if name in _WITH_TOKEN:
        kubernetes.add_pod_label(task, *PIPELINES_TOKEN)
    if name in SECRETS:
        secret, keys = SECRETS[name]
        kubernetes.use_secret_as_env(task, secret, keys, optional=True)
    return task
