"""Every component by its verb: `from headway.components import train_model`. Loaded when first asked for."""

from importlib import import_module
from typing import Any

ROOMS = {
    "ingest_data": "ingestion",
    "infer_schema": "validation",
    "validate_data": "validation",
    "split_data": "splitting",
    "tune_model": "tuning",
    "train_model": "training",
    "adopt_model": "training",
    "evaluate_model": "evaluation",
    "resolve_champion": "registration",
    "register_model": "registration",
    "check_verdict": "registration",
    "deploy_model": "deployment",
    "rollback_deployment": "deployment",
    "undeploy_model": "deployment",
    "deployment_status": "deployment",
    "finish_rollout": "deployment",
    "collect_window": "monitoring",
    "profile_shard": "monitoring",
    "merge_profiles": "monitoring",
    "detect_drift": "monitoring",
    "report_to_evidently": "monitoring",
    "measure_performance": "monitoring",
    "measure_service": "monitoring",
    "compare_versions": "monitoring",
    "decide": "monitoring",
    "monitor_models": "monitoring",
    "trigger_retraining": "monitoring",
    "send_alert": "alerting",
    "notify": "alerting",
}
"""Component to the room that it lives in."""

__all__ = ["ROOMS", *ROOMS]


def __getattr__(name: str) -> Any:
    if name not in ROOMS:
        raise AttributeError(f"module {__name__!r} has no component {name!r}; there are {', '.join(ROOMS)}")
    return getattr(import_module(f"{__name__}.{ROOMS[name]}.component"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
