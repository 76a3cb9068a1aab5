"""`headway check`: parameters against the pipeline, the structured models and each other, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.paths import check_parameter_names, make_estimator
from headway.components._shared.schemas import Schema
from headway.components._shared.state import checked_model_name
from headway.components._shared.statistics.metrics import LABELS

# Structured parameters and the model behind each: room and class name in that room's config.py.
MODELS = {
    "source": ("ingestion", "Source"),
    "contract": ("validation", "Contract"),
    "checks": ("validation", "Checks"),
    "split": ("splitting", "Split"),
    "search_space": ("tuning", "SearchSpace"),
    "study": ("tuning", "Study"),
    "gates": ("evaluation", "Gates"),
    "evaluation": ("evaluation", "Evaluation"),
    "intended_use": ("registration", "IntendedUse"),
    "serving": ("deployment", "Serving"),
    "alerts": ("alerting", "Alerts"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Float": (int, float),
    "Boolean": bool,
    "Dict": dict,
    "List": list,
}


@click.command("check")
@click.argument("pipeline")
@click.option("--params", "params", type=click.Path(path_type=Path), required=True, help="Parameter file.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".headway"), help="Folder for staged data.")
def check_command(pipeline: str, params: Path, home: Path) -> None:
    """Check a parameter file before anything runs."""
    from headway.pipelines.cli.parameters import read_parameters

    parameters = {"state_uri": str(home / "state"), **read_parameters(params, home / "data").parameters}
    check_parameters(pipeline, parameters)
    click.echo(f"{params} is a valid set of parameters for the pipeline {pipeline}")


def check_parameters(pipeline: str, parameters: Mapping[str, Any]) -> None:
    """Raises one error that lists everything that is wrong.

    Raises:
        HeadwayError: `parameters.invalid`, or the error of the one part that is wrong.
    """
    from headway.pipelines.catalogue import load_pipeline

    inputs = load_pipeline(pipeline).component_spec.inputs or {}
    problems = [f"unknown parameter {name!r}" for name in parameters if name not in inputs]
    problems += [
        f"missing parameter {name!r}" for name, spec in inputs.items() if not spec.optional and name not in parameters
    ]
    for name, value in parameters.items():
        kind = str(inputs[name].type).partition("[")[0] if name in inputs else ""  # Dict[String, Any]
        wanted = _TYPES.get(kind)
        wrong_bool = isinstance(value, bool) and wanted not in (bool, None)
        if wanted and (wrong_bool or not isinstance(value, wanted)):
            problems.append(f"parameter {name!r} must be {kind}, not {type(value).__name__}")
    if problems:
        raise HeadwayError(
            "parameters.invalid",
            f"The parameters do not fit the pipeline {pipeline!r}: {'; '.join(problems)}.",
            remedy=f"The pipeline takes {', '.join(inputs)}.",
        )
    checked_model_name(parameters["model_name"])
    _check_models(parameters)
    _check_files(parameters["source"]["uris"])
    _check_columns(parameters)
    _check_metrics(parameters)
    _check_estimator({"estimator": inputs["estimator"].default, **parameters})


def model_of(parameter: str) -> type[Config]:
    """The pydantic model behind a structured parameter."""
    room, name = MODELS[parameter]
    model: type[Config] = getattr(import_module(f"headway.components.{room}.config"), name)
    return model


def _check_models(parameters: Mapping[str, Any]) -> None:
    """Parses every structured parameter; several faults are told at once."""
    faults = []
    for name, value in parameters.items():
        if name in MODELS:
            try:
                parse(Schema if name == "contract" and "columns" in value else model_of(name), value, parameter=name)
            except HeadwayError as error:
                faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise HeadwayError(
            "parameters.invalid",
            " ".join(fault.message for fault in faults),
            remedy=" ".join(fault.remedy for fault in faults),
        )


def _check_files(uris: Sequence[str]) -> None:
    """Looks for local files and folders that are named without a pattern.

    Raises:
        HeadwayError: `parameters.file_missing`.
    """
    missing = [uri for uri in uris if "://" not in uri and not set("*?[") & set(uri) and not Path(uri).exists()]
    if missing:
        raise HeadwayError(
            "parameters.file_missing",
            "There is no such file or folder.",
            value=missing,
            remedy="Check the address; `./` in a parameter file is relative to that file.",
        )


def _check_columns(parameters: Mapping[str, Any]) -> None:
    """Holds every column that a parameter names against an inline contract.

    Raises:
        HeadwayError: `schema.role_missing`, or `parameters.column_unknown` that names parameter and column.
    """
    if "columns" not in parameters.get("contract", {}):
        return
    schema = parse(Schema, parameters["contract"], parameter="contract")
    target = schema.one("target")
    split, evaluation = parameters.get("split", {}), parameters.get("evaluation", {})
    named = [
        (f"split.{key}", split[key]) for key in ("target", "time_column", "group_column", "id_column") if key in split
    ]
    for key in ("slices", "groups"):
        named += [(f"evaluation.{key}", name) for name in evaluation.get(key, ()) if evaluation[key] != "auto"]
    if isinstance(evaluation.get("dependence"), dict):
        named.append(("evaluation.dependence", evaluation["dependence"]["column"]))
    for gate, asked in parameters.get("gates", {}).items():
        named += [(f"gates.{gate}", asked["column"])] if "column" in asked else []
        column, _, value = asked.get("slice", "").partition("=")
        named += [(f"gates.{gate}", column)] if value else []
    unknown = [f"{where} names {name!r}" for where, name in named if schema.column(name) is None]
    if split.get("target", target) != target:
        unknown.append(f"split.target is {split['target']!r}, but the contract's target is {target!r}")
    if unknown:
        raise HeadwayError(
            "parameters.column_unknown",
            f"The contract has no such column: {'; '.join(unknown)}.",
            remedy=f"Use the contract's columns: {', '.join(c.name for c in schema.columns)}.",
        )


def _check_metrics(parameters: Mapping[str, Any]) -> None:
    """Finds gates on metrics of no task; which of the others a model has, its evaluation knows.

    Raises:
        HeadwayError: `gate.metric_unknown`.
    """
    for name, gate in parameters.get("gates", {}).items():
        if gate["metric"] not in LABELS:
            raise HeadwayError(
                "gate.metric_unknown",
                f"Gate {name!r} asks for a metric that there is not.",
                value=gate["metric"],
                remedy=f"Use one of {', '.join(LABELS)}.",
            )


def _check_estimator(parameters: Mapping[str, Any]) -> None:
    """Builds the estimator, where its package is installed here too, and looks for every parameter.

    Raises:
        HeadwayError: `estimator.*`.
    """
    path = parameters["estimator"]
    if find_spec(path.partition(".")[0] or "nothing") is None:
        return
    model = make_estimator(path, parameters.get("params", {}), 0)
    check_parameter_names(path, sorted(model.get_params(deep=False)), parameters.get("search_space", {}))
