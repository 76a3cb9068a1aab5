"""Which image family runs which component, and where an image of a family is found."""

from __future__ import annotations

from importlib.metadata import version

from headway.components._shared.errors import HeadwayError

REGISTRY = "ghcr.io/headway-mlops"
FAMILIES = ("base", "tabular", "features", "monitoring", "control", "serving")


def reference(family: str) -> str:
    """The image of a family for this version of the suite, such as `ghcr.io/.../headway-tabular:0.1.0`."""
    if family not in FAMILIES:
        raise HeadwayError(
            "image.family_unknown",
            "There is no such image family.",
            value=family,
            remedy=f"Use one of {', '.join(FAMILIES)}.",
        )
    return f"{REGISTRY}/headway-{family}:{version('headway')}"
