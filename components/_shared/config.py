"""Structured parameters: dicts at the KFP border, pydantic models behind it, errors that name the field."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, RootModel, ValidationError

from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import parse_duration

# The models whose JSON Schema `headway compile` writes to `compiled/schemas/`.
PUBLISHED = (
    "alerts",
    "channels",
    "checks",
    "comparison",
    "contract",
    "drift",
    "evaluation",
    "gates",
    "intended_use",
    "monitoring",
    "performance",
    "policy",
    "roles",
    "schema",
    "search_space",
    "service",
    "serving",
    "source",
    "split",
    "study",
)


class Config(BaseModel):
    """Base of every structured parameter: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Parsed = TypeVar("Parsed", bound=BaseModel)
Text = TypeVar("Text", bound=str | None)


def parse(model: type[Parsed], given: Mapping[str, object], *, parameter: str) -> Parsed:
    """Reads a dict parameter into its model.

    Args:
        model: The pydantic model behind the parameter.
        given: What the caller passed.
        parameter: The parameter's name, for the error.

    Raises:
        HeadwayError: `config.invalid`: names every bad field, what was given, what is allowed, and where the JSON
            Schema lies.
    """
    try:
        return model.model_validate(dict(given) if isinstance(given, Mapping) else given)
    except ValidationError as error:
        faults = [_fault(model, given, parameter, detail) for detail in error.errors(include_url=False)]
    reasons: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        # What holds a bad field is bad for that reason only; pydantic adds its other complaints about the whole.
        if not any(other.path.startswith(f"{fault.path}.") for other in faults):
            reasons.setdefault((fault.path, fault.given), []).append(fault.reason)
    problems = [f"{path}: {', or '.join(dict.fromkeys(said))}{shown}" for (path, shown), said in reasons.items()]
    allowed = dict.fromkeys(fault.fields for fault in faults if fault.fields)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__).lower()
    schema = f"The JSON Schema is compiled/schemas/{name}.json." if name in PUBLISHED else ""
    raise HeadwayError(
        "config.invalid",
        f"Parameter {parameter!r} is not valid: {'; '.join(problems)}.",
        remedy=" ".join([*allowed, schema]).strip() or f"Give {parameter!r} as the suite wrote it.",
    )


def overlaid(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with another one laid over it, field by field."""
    merged = copy.deepcopy(dict(common))
    for key, value in own.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = overlaid(known, value) if both else value  # type: ignore[arg-type]
    return merged


def readable(read: Callable[[str], object], value: Text) -> Text:
    """For validators: the value if it can be read, else a ValueError that says why not, so that the field is named."""
    try:
        if value is not None:
            read(value)
    except HeadwayError as error:
        raise ValueError(f"{error.message} {error.remedy}") from None
    return value


Duration = Annotated[str, AfterValidator(lambda text: readable(parse_duration, text))]
"""A field such as `10m`."""


class _Fault(NamedTuple):
    """A bad field: where, why, what was given, and which fields there are if it is unknown or missing."""

    path: str
    reason: str
    given: str = ""
    fields: str = ""


def _fault(model: type[BaseModel], given: object, parameter: str, detail: Mapping[str, Any]) -> _Fault:
    names, models = _locate(model, given, detail["loc"])
    kind, path = detail["type"], ".".join([parameter, *names])
    shown = f" (given {detail['input']!r:.120})"
    if kind == "missing":
        last = str(detail["loc"][-1])
        return _Fault(f"{path}.{last}", "is missing", fields=f"Fields of {path}: {', '.join(_fields(models))}.")
    if kind == "extra_forbidden":
        fields, last = _fields(models), names[-1]
        close = difflib.get_close_matches(last, fields, n=1)
        hint = f"there is no such field; did you mean {close[0]!r}?" if close else "there is no such field"
        return _Fault(path, hint, shown, f"Fields of {path.removesuffix(f'.{last}')}: {', '.join(fields)}.")
    if kind.startswith("union_tag"):
        kinds = " or ".join(repr(_kind(each)) for each in models)
        found = f" (given {detail['ctx']['tag']!r})" if kind == "union_tag_invalid" else ""
        return _Fault(f"{path}.kind", f"must be {kinds}" if found else f"is missing; it is {kinds}", found)
    return _Fault(path, _PLAIN.get(kind) or _in_words(detail["msg"]), shown)


_PLAIN = dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a mapping")
_PLAIN |= dict.fromkeys(("tuple_type", "list_type"), "must be a list")


def _in_words(message: str) -> str:
    return re.sub(r"^\w+ should ", "must ", message.removeprefix("Value error, ")).rstrip(".")


def _locate(
    model: type[BaseModel], given: object, location: tuple[int | str, ...]
) -> tuple[list[str], list[type[BaseModel]]]:
    """Those names of pydantic's location that were given (it holds members of unions too), and the models there."""
    names: list[str] = []
    models, value = [model], given
    for part in location:
        if len(models) > 1 and part in map(_kind, models):
            models = [each for each in models if _kind(each) == part]
            continue
        if models and issubclass(models[0], RootModel):
            models = _models(models[0].model_fields["root"].annotation)
        elif any(part in each.model_fields for each in models) and _holds(value, part):
            models = [m for each in models if part in each.model_fields for m in _models(_annotation(each, part))]
        if _holds(value, part):
            names.append(str(part))
            value = value[part]  # type: ignore[index]
    return names, models


def _holds(value: object, part: int | str) -> bool:
    if isinstance(part, int):
        return isinstance(value, list | tuple) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _annotation(model: type[BaseModel], part: int | str) -> object:
    return model.model_fields[str(part)].annotation


def _models(annotation: object) -> list[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _fields(models: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _kind(model: type[BaseModel]) -> object:
    """What tells a model from the others of its union."""
    field = model.model_fields.get("kind")
    return field.default if field else None
