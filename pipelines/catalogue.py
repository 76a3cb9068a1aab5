"""Every pipeline by its name, loaded when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from headway.components._shared.errors import HeadwayError

PIPELINES = ("training", "delivery", "rollout_keeper", "monitoring")


def load_pipeline(name: str) -> Any:
    """The KFP pipeline of that name.

    Raises:
        HeadwayError: `pipeline.unknown`.
    """
    if name not in PIPELINES:
        raise HeadwayError(
            "pipeline.unknown",
            "There is no such pipeline.",
            value=name,
            remedy=f"Use one of {', '.join(PIPELINES)}.",
        )
    return getattr(import_module(f"headway.pipelines.{name}"), name)
