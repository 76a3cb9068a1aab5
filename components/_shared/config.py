"""Structured parameters: dicts at the KFP border, pydantic models behind it, errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from headway.components._shared.errors import HeadwayError


class Config(BaseModel):
    """Base of every structured parameter: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Parsed = TypeVar("Parsed", bound=BaseModel)


def parse(model: type[Parsed], given: Mapping[str, object], *, parameter: str) -> Parsed:
    """Reads a dict parameter into its model.

    Args:
        model: The pydantic model behind the parameter.
        given: What the caller passed.
        parameter: The parameter's name, for the error.

    Raises:
        HeadwayError: `config.invalid`: names every bad field, what was given and what is allowed.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        problems = [f"{_path(parameter, e['loc'])}: {e['msg']} (given {e['input']!r:.120})" for e in error.errors()]
        fields = (
            "For the allowed fields "
            if issubclass(model, RootModel)
            else f"Allowed fields of {parameter!r}: {', '.join(model.model_fields)}; "
        )
        raise HeadwayError(
            "config.invalid",
            f"Parameter {parameter!r} is not valid: {'; '.join(problems)}.",
            remedy=f"{fields}see its JSON Schema.",
        ) from None


def _path(parameter: str, location: tuple[int | str, ...]) -> str:
    return ".".join([parameter, *(str(part) for part in location)])
