"""What a set of parameters must agree on among itself: columns, target, metrics, objective and class weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, get_args

from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.statistics.metrics import CLASSIFICATION, TASK_METRICS, Task, metrics_of

_REGRESSION = " For a number as target, ask for a regressor: estimator: sklearn.ensemble.HistGradientBoostingRegressor."


def disagreements(models: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[HeadwayError]:
    """Everything that cannot go together in parameters each of which is valid.

    Args:
        models: Structured parameter to its parsed model; an invalid one is left out.
        parameters: All of them as given, with an `estimator`.
    """
    contract = models.get("contract")
    schema = contract if isinstance(contract, Schema) else None
    faults = list(_columns(models))
    estimator, fault = _estimator(parameters)
    faults += [fault] if fault else []
    targets = schema.names("target") if schema else []
    target = schema.column(targets[0]) if schema and len(targets) == 1 else None
    tasks = _tasks(estimator, target)
    if target and not tasks:
        what = f"The target {target.name!r} is of type {target.type}, and a regressor predicts numbers."
        remedy = "Use a classifier, or a target of type integer or number."
        return [*faults, HeadwayError("training.target_not_numeric", what, value=target.name, remedy=remedy)]
    faults += _metrics(models, tasks)
    if "study" in models:
        faults += _objective(models["study"].objective, tasks)
        faults += _weights("study.class_weight", models["study"].class_weight, tasks, target)
    return [*faults, *_weights("class_weight", parameters.get("class_weight", {}), tasks, target)]


def _columns(models: Mapping[str, Any]) -> Iterator[HeadwayError]:
    """Columns that a parameter names and that neither the contract nor the source has."""
    contract, source, split = (models.get(name) for name in ("contract", "source", "split"))
    made = source.made_columns() if source else None
    targets: list[str] = []
    if isinstance(contract, Schema):
        targets = contract.names("target")
        where, known = "contract", [column.name for column in contract.columns]
        if made and "checks" in models and models["checks"].missing_column.severity == "error":
            yield from _unknown("source.columns makes", made, [("contract", name) for name in known])
    elif contract is not None and contract.uri is None:
        targets = [name for name, roles in contract.roles.by_column().items() if "target" in roles]
        where, known = "source.columns makes", made or []
        yield from _unknown(where, known, [("contract.roles", name) for name in contract.roles.by_column()])
    else:
        return
    if len(targets) != 1:
        yield HeadwayError(
            "schema.role_ambiguous" if targets else "schema.role_missing",
            f"The contract has {'several columns' if targets else 'no column'} with the role 'target'.",
            value=targets or None,
            remedy="Give one column the role: `roles: [target]` in a schema, or `contract: {roles: {target: COLUMN}}`.",
        )
    elif split and split.target not in (None, targets[0]):
        yield HeadwayError(
            "parameters.target_differs",
            f"split.target is {split.target!r}, but the contract's target is {targets[0]!r}.",
            value=split.target,
            remedy="Name the same column in both.",
        )
    yield from _unknown(where, known, _named(models))
    if isinstance(contract, Schema):
        for place, name in _named(models):
            if name in contract.names("personal") and place.startswith(("evaluation", "gates")):
                yield HeadwayError(
                    "evaluation.column_personal",
                    f"{place} names a column whose values may identify somebody.",
                    value=name,
                    remedy="Name another column; values of personal columns are shown nowhere.",
                )


def _named(models: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each column that split, evaluation and gates name, after the place that names it."""
    split, evaluation, gates = (models.get(name) for name in ("split", "evaluation", "gates"))
    for key in ("target", "time_column", "group_column", "id_column"):
        if split and getattr(split, key) is not None:
            yield f"split.{key}", getattr(split, key)
    if evaluation:
        yield from (("evaluation.slices", name) for name in evaluation.slices if evaluation.slices != "auto")
        yield from (("evaluation.groups", name) for name in evaluation.groups)
        if not isinstance(evaluation.dependence, str):
            yield "evaluation.dependence", evaluation.dependence.column
    for name, gate in gates.root.items() if gates else ():
        if gate.kind == "gap":
            yield f"gates.{name}", gate.column
        elif gate.kind == "slice" and gate.slice != "worst":
            yield f"gates.{name}", gate.slice.partition("=")[0]


def _unknown(where: str, known: Iterable[str], named: Iterable[tuple[str, str]]) -> Iterator[HeadwayError]:
    known = list(known)
    unknown = [f"{place} names {name!r}" for place, name in named if known and name not in known]
    if unknown:
        has = "The contract has" if where == "contract" else where
        yield HeadwayError(
            "parameters.column_unknown",
            f"{has} no such column: {'; '.join(unknown)}.",
            remedy=f"Name one of {', '.join(known)}, or add the column there.",
        )


def _estimator(parameters: Mapping[str, Any]) -> tuple[Any, HeadwayError | None]:
    """The estimator with its parameters, where its package is installed here too; or what is wrong with them."""
    from headway.components._shared.estimators.paths import check_parameter_names, make_estimator

    path = parameters["estimator"]
    if not isinstance(path, str) or find_spec(path.partition(".")[0] or "nothing") is None:
        return None, None
    try:
        model = make_estimator(path, parameters.get("params", {}), 0)
        check_parameter_names(path, sorted(model.get_params(deep=False)), parameters.get("search_space", {}))
    except HeadwayError as error:
        return None, error
    return model, None


def _tasks(estimator: Any, target: Column | None) -> tuple[Task, ...]:
    """The tasks that the estimator and its target, as far as they are known, leave open."""
    from headway.components._shared.estimators.paths import is_regressor

    tasks: tuple[Task, ...] = get_args(Task)
    if estimator is not None:
        tasks = ("regression",) if is_regressor(estimator) else CLASSIFICATION
    if target is not None and target.type not in ("integer", "number"):
        tasks = tuple(task for task in tasks if task != "regression")
    if target is not None and (target.type == "boolean" or len(target.domain or ()) == 2):
        tasks = tuple(task for task in tasks if task != "multiclass")
    return tasks


def _metrics(models: Mapping[str, Any], tasks: tuple[Task, ...]) -> Iterator[HeadwayError]:
    """Gates and settings of the evaluation that no model of these tasks can be measured by."""
    gates, evaluation = models.get("gates"), models.get("evaluation")
    what = " or ".join(tasks)
    metrics = {name: metric for task in tasks for name, metric in metrics_of(task).items()}
    directed = [name for name, metric in metrics.items() if metric.better]
    for name, gate in gates.root.items() if gates else ():
        overall = dict.fromkeys(metric for task in tasks for metric in TASK_METRICS[task])
        known = list(overall if gate.kind == "metric" else metrics)
        compares = gate.kind == "gain" or (gate.kind == "slice" and gate.slice == "worst")
        if gate.metric not in known:
            yield HeadwayError(
                "gate.metric_unknown",
                f"Gate {name!r} is a {gate.kind} gate on a metric that a {what} model does not have.",
                value=gate.metric,
                remedy=f"Metrics of {what} models for such a gate: {', '.join(known)}."
                + ("" if "regression" in tasks else _REGRESSION if gate.metric in TASK_METRICS["regression"] else ""),
            )
        elif compares and gate.metric not in directed:
            yield HeadwayError(
                "gate.metric_not_comparable",
                f"Gate {name!r} compares by a metric of which neither more nor less is better.",
                value=gate.metric,
                remedy=f"Use one of {', '.join(directed)}.",
            )
        elif gate.metric == "cost" and evaluation and evaluation.costs is None:
            yield HeadwayError(
                "gate.costs_unstated",
                f"Gate {name!r} limits the cost, but nobody stated what mistakes cost.",
                value=gate.metric,
                remedy="Give `costs` with `false_positive` and `false_negative` in `evaluation`.",
            )
    if evaluation and evaluation.primary_metric not in (None, *directed):
        yield HeadwayError(
            "evaluation.metric_unknown",
            f"The primary metric is none that a {what} model can be judged by.",
            value=evaluation.primary_metric,
            remedy=f"Use one of {', '.join(directed)}.",
        )
    if evaluation and "binary" not in tasks and (evaluation.costs is not None or evaluation.threshold is not None):
        yield HeadwayError(
            "evaluation.binary_only",
            f"`costs` and `threshold` belong to binary tasks, and the model's is {what}.",
            value=what,
            remedy="Leave both out of `evaluation`.",
        )


def _objective(name: str | None, tasks: tuple[Task, ...]) -> Iterator[HeadwayError]:
    from headway.components._shared.estimators.objectives import find_objective

    faults = []
    for task in tasks if name is not None else ():
        try:
            find_objective(name, task)
        except HeadwayError as error:
            faults.append(error)
    if faults and len(faults) == len(tasks):
        yield faults[0]


def _weights(
    name: str, weights: Mapping[str, Any], tasks: tuple[Task, ...], target: Column | None
) -> Iterator[HeadwayError]:
    if not weights or (dict(weights) == {"mode": "balanced"} and tasks != ("regression",)):
        return
    domain = target.domain if target and target.domain else ()
    labels = ["False", "True"] if target and target.type == "boolean" else list(map(str, domain))
    keys = [str(label).lower() if isinstance(label, bool) else str(label) for label in weights]  # as JSON has them
    bad = not all(map(_positive, weights.values())) or (labels and not set(keys) <= set(labels))
    if bad or tasks == ("regression",):
        whose = f"each of {', '.join(map(repr, labels))}" if labels else "each label"
        yield HeadwayError(
            "training.class_weight_invalid",
            f"{name} {'does not fit a regression' if tasks == ('regression',) else 'does not fit the target'}.",
            value=dict(weights),
            remedy=f"Leave it out, or for a classifier give {{mode: balanced}} or a positive number for {whose}.",
        )


def _positive(weight: object) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
