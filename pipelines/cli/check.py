"""`headway check`: parameters against the pipeline, the structured models and each other, before anything runs."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError, raise_together
from headway.components._shared.schemas import Schema
from headway.pipelines.cli.options import home_option, params_option

# Structured parameters and the model behind each: room and class name in that room's config.py.
MODELS = {
    "source": ("ingestion", "Source"),
    "contract": ("validation", "Contract"),
    "roles": ("validation", "Roles"),
    "checks": ("validation", "Checks"),
    "split": ("splitting", "Split"),
    "search_space": ("tuning", "SearchSpace"),
    "study": ("tuning", "Study"),
    "gates": ("evaluation", "Gates"),
    "evaluation": ("evaluation", "Evaluation"),
    "intended_use": ("registration", "IntendedUse"),
    "serving": ("deployment", "Serving"),
    "alerts": ("alerting", "Alerts"),
    "channels": ("alerting", "Channels"),
    "drift": ("monitoring", "Drift"),
    "performance": ("monitoring", "Performance"),
    "service": ("monitoring", "Service"),
    "comparison": ("monitoring", "Versions"),
    "policy": ("monitoring", "Policy"),
    "monitoring": ("monitoring", "Monitoring"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Float": (int, float),
    "Boolean": bool,
    "Dict": dict,
    "List": list,
}


_ENGINES = {"tuning_engine": ("auto", "local", "katib"), "serving_engine": ("auto", "local", "kserve")}
_GLOB = frozenset("*?[")


@click.command("check")
@click.argument("pipeline")
@params_option
@home_option
def check_command(pipeline: str, params: Path, home: Path) -> None:
    """Check a parameter file before anything runs, and tell everything that is wrong at once.

    In the file, `@FILE` stands for the content of that YAML or JSON file, `./PATH` for a path relative to the parameter
    file, and `package://PACKAGE/PATH` for a file of an installed Python package.
    """
    from headway.components._shared.state import require_writable
    from headway.pipelines.cli.parameters import read_parameters

    require_writable(str(home))
    asked = read_parameters(params, home / "data", pipeline=pipeline)
    check_parameters(pipeline, {"state_uri": str(home / "state"), **asked.parameters})
    click.echo(f"{params} is a valid set of parameters for the pipeline {pipeline}")


def check_parameters(pipeline: str, parameters: Mapping[str, Any]) -> None:
    """Raises one error that tells everything that is wrong; warns on standard error of what will come to nothing.

    Raises:
        HeadwayError: `parameters.invalid`, or the error of the one part that is wrong.
    """
    from headway.pipelines.catalogue import load_pipeline
    from headway.pipelines.cli.agreement import disagreements

    inputs = load_pipeline(pipeline).component_spec.inputs or {}
    problems = {name: said for name, value in parameters.items() if (said := _misfit(name, value, inputs.get(name)))}
    missing = [f"missing parameter {n!r}" for n, spec in inputs.items() if not spec.optional and n not in parameters]
    faults = []
    if problems or missing:
        faults.append(
            HeadwayError(
                "parameters.invalid",
                f"The parameters do not fit the pipeline {pipeline!r}: {'; '.join([*problems.values(), *missing])}.",
                remedy=f"The pipeline takes {', '.join(inputs)}.",
            )
        )
    fitting = {name: value for name, value in parameters.items() if name not in problems}
    given = {name: spec.default for name, spec in inputs.items() if spec.optional} | fitting
    models, invalid = _parsed(given)
    faults += [*invalid, *_unpassable(fitting), *_unknown_words(given)]
    faults += _missing_files(models["source"].uris if "source" in models else ())
    faults += disagreements(models, given) if "estimator" in given else []
    raise_together("parameters.invalid", faults)
    if not given.get("gates", True):
        click.secho("warning: there are no gates, so nothing will be blessed or registered", err=True, fg="yellow")


def model_of(parameter: str) -> type[Config]:
    """The pydantic model behind a structured parameter."""
    room, name = MODELS[parameter]
    model: type[Config] = getattr(import_module(f"headway.components.{room}.config"), name)
    return model


def _misfit(name: str, value: object, spec: Any) -> str | None:
    """What keeps a value from being that of a pipeline's parameter."""
    if spec is None:
        return f"unknown parameter {name!r}"
    kind = str(spec.type).partition("[")[0]  # Dict[String, Any]
    wanted = _TYPES.get(kind)
    wrong_bool = isinstance(value, bool) and wanted not in (bool, None)
    if wanted and (wrong_bool or not isinstance(value, wanted)):
        return f"parameter {name!r} must be {kind}, not {type(value).__name__}"
    return None


def _parsed(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[HeadwayError]]:
    """The structured parameters that are valid, and the faults of the others."""
    models: dict[str, Any] = {}
    faults = []
    for name in (name for name in MODELS if name in given):
        model = Schema if name == "contract" and "columns" in given[name] else model_of(name)
        try:
            models[name] = parse(model, given[name], parameter=name)
        except HeadwayError as error:
            faults.append(error)
    if "monitoring" in models and "models" in given:
        try:
            import_module("headway.components.monitoring.config").settings_of(given["models"], given["monitoring"])
        except HeadwayError as error:
            faults.append(error)
    return models, faults


def _unpassable(given: Mapping[str, Any]) -> Iterator[HeadwayError]:
    """Values that KFP passes to no step."""
    empty = [path for name, value in given.items() for path in _empty(value, name)]
    if empty:
        yield HeadwayError(
            "parameters.value_empty",
            f"KFP passes no empty or infinite value to a step: {', '.join(empty)}.",
            remedy="Leave the key out, and it has its default; write a text that is empty or `null` in quotes.",
        )


def _empty(value: Any, path: str) -> Iterator[str]:
    """Paths of nulls and of numbers that are not finite."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _empty(item, f"{path}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _empty(item, f"{path}.{position}")
    elif value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield path


def _unknown_words(given: Mapping[str, Any]) -> Iterator[HeadwayError]:
    """Names that no step takes."""
    from headway.components._shared.tracking import registered_name

    try:
        registered_name(given.get("model_name", "unnamed"), given.get("environment", "dev"))
    except HeadwayError as error:
        yield error
    for name, words in _ENGINES.items():
        if given.get(name, "auto") not in words:
            yield HeadwayError(
                "parameters.engine_unknown",
                f"{name} is no engine that there is.",
                value=given[name],
                remedy=f"Use {', '.join(words[:-1])} or {words[-1]}.",
            )


def _missing_files(uris: tuple[str, ...]) -> Iterator[HeadwayError]:
    """Local files and folders that are not there, and patterns that nothing matches."""
    local = [uri for uri in uris if "://" not in uri and not Path(uri).exists()]
    missing = [uri for uri in local if not _GLOB & set(uri)]
    if missing:
        yield HeadwayError(
            "parameters.file_missing",
            "There is no such file or folder.",
            value=missing,
            remedy="Check the address; `./` in a parameter file is relative to that file.",
        )
    unmatched = [uri for uri in local if _GLOB & set(uri) and not glob.glob(uri, recursive=True)]  # noqa: PTH207
    if unmatched:
        yield HeadwayError(
            "parameters.file_missing",
            "No file matches.",
            value=unmatched,
            remedy="Check the pattern; `./` in a parameter file is relative to that file.",
        )
