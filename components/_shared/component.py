"""The one decorator of every component: an image of ours, nothing installed when a step starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headway.components._shared import images


def component(*, image: str) -> Callable[[Callable[..., Any]], Any]:
    """Turns a function with a thin body into a KFP component that runs in one of our images.

    Args:
        image: The image family (see `images.FAMILIES`) that holds what the body imports.

    Returns:
        A decorator that gives a KFP `PythonComponent`.
    """
    from kfp import dsl

    def decorate(function: Callable[..., Any]) -> Any:
        return dsl.component(function, base_image=images.reference(image), install_kfp_package=False)

    return decorate
