"""The tuning report: what the search gained, how far to trust it, and what became of every trial."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared.estimators.trials import Setting
from headway.components._shared.estimators.tunings import Trial, TuningResult
from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Tone,
    Value,
    badge,
    charts,
    code,
    details,
    duration,
    escaped,
    figure,
    interval,
    table,
    vega,
)
from headway.components._shared.reports.formats import counted
from headway.components.tuning.config import Parameter

TONES: Mapping[str, Tone] = {"succeeded": "good", "pruned": "neutral", "failed": "bad"}
WORDS = {"succeeded": "succeeded", "pruned": "stopped early", "failed": "failed"}

SELECTION = (
    "The best of several trials is picked on the same folds that it is measured on, so its lead is on average too "
    "large. The interval pairs the folds and corrects for the training rows that they share (Nadeau and Bengio "
    "2003), but not for this choice. The last figure does: each fold is judged by the parameters that are best on "
    "the other folds. What the parameters are worth on rows that no trial has seen is for the evaluation to say."
)


def write_report(path: str, result: TuningResult, space: Mapping[str, Parameter], setting: Setting) -> None:
    """Writes the report of a search that found something."""
    states = Counter[str](trial.state for trial in result.trials)
    page = Page(
        "Tuning",
        f"{result.reason}.",
        tone="neutral" if result.gain is None else "good" if result.gain.low > 0 else "warn",
        status=_status(result, space),
        kind="tune_model",
        facts=_facts(result.trials, states, setting, result.engine),
    )
    page.section("What was gained", *_gain(result))
    page.section(
        "Best parameters", _parameters(result, setting), code(json.dumps(result.params, indent=1, sort_keys=True))
    )
    if len(result.trials) > 1:
        page.section("History", _history(result), *_folds(result))
    plots = [_plot(name, space[name], result) for name in space]
    if any(plots):
        page.section("The objective by parameter", *(plot for plot in plots if plot))
    page.section("Trials", *_trials(result.trials, setting, tuple(space)))
    page.write(path)


def write_failure_report(path: str, trials: Sequence[Trial], setting: Setting, error: str) -> None:
    """Writes the report of a search that was given up."""
    states = Counter[str](trial.state for trial in trials)
    page = Page("Tuning", error, tone="bad", kind="tune_model", facts=_facts(trials, states, setting, None))
    names = sorted({name for trial in trials for name in trial.params})
    page.section("Trials", *_trials(trials, setting, names))
    page.write(path)


def _status(result: TuningResult, space: Mapping[str, Parameter]) -> str:
    if not space:
        return "Nothing to search"
    if result.gain is None:
        return "Baseline kept" if result.best_trial == 0 else "No baseline to compare with"
    return "Better than the baseline" if result.gain.low > 0 else "Perhaps better than the baseline"


def _facts(
    trials: Sequence[Trial], states: Mapping[str, int], setting: Setting, engine: str | None
) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Objective": f"{setting.objective}, {'higher' if setting.direction == 'maximize' else 'lower'} is better",
        "Trials": ", ".join(f"{count} {WORDS[state]}" for state, count in sorted(states.items())) or "none",
        "Judged by": setting.cv,
        "Rows": f"{setting.rows:,} of {setting.available:,}",
        "Work": duration(sum(trial.seconds for trial in trials)),
    }
    return facts | ({"Engine": engine} if engine else {})


def _gain(result: TuningResult) -> list[Block | str]:
    gain = result.gain
    if gain is None:
        return [f"{result.reason}."]
    columns = ("", result.objective)
    rows: list[tuple[Value, Value]] = [
        ("Baseline", result.baseline_value),
        (f"Best, trial {result.best_trial}", result.best_value),
        (f"Gain, {gain.confidence:.0%} interval", interval(gain.value, gain.low, gain.high)),
        ("Gain without the advantage of the choice", gain.without_selection),
    ]
    best = next(trial for trial in result.trials if trial.number == result.best_trial)
    sign = 1 if result.direction == "maximize" else -1
    each = [sign * (mine - base) for mine, base in zip(best.folds, result.trials[0].folds, strict=True)]
    forest = [("gain", gain.value, gain.low, gain.high), *((f"fold {i + 1}", d, d, d) for i, d in enumerate(each))]
    return [
        table(columns, rows),
        figure(
            charts.intervals(forest, reference=0.0, title=f"gain in {result.objective}", reference_label="no gain"),
            "Gain over the baseline",
            f"The mean gain is {gain.value:.4f} between {gain.low:.4f} and {gain.high:.4f}; by fold it is "
            + ", ".join(f"{d:.4f}" for d in each),
        ),
        SELECTION,
    ]


def _parameters(result: TuningResult, setting: Setting) -> Block:
    base = {**setting.defaults, **result.trials[0].params}
    rows = [(name, _cell(base, name), _cell(result.params, name)) for name in sorted(result.params)]
    return table(("Parameter", "Baseline", "Best"), rows, "Parameters; all others are the estimator's defaults")


def _history(result: TuningResult) -> Block:
    values = [trial.value for trial in result.trials]
    return figure(
        charts.history(values, result.direction, result.objective, result.baseline_value),
        "Trials in order, and the best so far",
        f"{counted(len(values), 'trial')}; the best, number {result.best_trial}, reached {result.best_value:.4f}.",
    )


def _folds(result: TuningResult) -> list[Block]:
    """One line a trial over the folds: whether the best is best everywhere or owes it to one fold."""
    complete = [trial for trial in result.trials if len(trial.folds) > 1]
    if len(complete) < 2:
        return []
    x = {"field": "x", "type": "ordinal", "title": None, "axis": {"labelAngle": 0}}
    y = vega.quantity("y", result.objective, nice=True)
    layers = []
    for trial in sorted(complete, key=lambda trial: trial.number in (0, result.best_trial)):
        name = "best" if trial.number == result.best_trial else "baseline" if trial.number == 0 else "other trials"
        points = [{"x": f"fold {i + 1}", "y": value, "series": name} for i, value in enumerate(trial.folds)]
        palette = {"best": vega.COLOURS[1], "baseline": vega.COLOURS[0], "other trials": vega.MUTED}
        shown = {"best": 1.0, "baseline": 1.0, "other trials": 0.35}[name]
        mark = {"type": "line", "opacity": shown, "strokeWidth": 2, "point": {"filled": True, "opacity": shown}}
        layers.append(vega.layer(points, mark, x=x, y=y, color=vega.colour(list(palette), palette, symbol="stroke")))
    return [
        figure(
            vega.chart(layers, height=240),
            "Every trial over the folds",
            "One line a trial; lines that cross mean that the order of the trials depends on the fold.",
        )
    ]


def _plot(name: str, parameter: Parameter, result: TuningResult) -> Block | None:
    """The objective of the finished trials over one parameter."""
    drawn = [t for t in result.trials if t.value is not None and name in t.params]
    if len(drawn) < 2:
        return None
    best = {True: "best", False: "other trials"}
    rows = [
        {
            "x": trial.params[name] if parameter.type != "categorical" else _said(trial.params[name]),
            "y": trial.value,
            "series": best[trial.number == result.best_trial],
        }
        for trial in drawn
    ]
    if parameter.type == "categorical":
        x: dict[str, Any] = {"field": "x", "type": "nominal", "title": name, "axis": {"labelAngle": 0}}
    else:
        x = vega.quantity("x", name)
        x["scale"] = {"type": "log" if parameter.log else "linear", "zero": False, "nice": True}
    palette = {"best": vega.COLOURS[1], "other trials": vega.COLOURS[0]}
    mark = {"type": "point", "filled": True, "size": 70, "opacity": 0.9}
    chart = vega.chart(
        [
            vega.layer(
                rows,
                mark,
                x=x,
                y=vega.quantity("y", result.objective, nice=True),
                color=vega.colour(list(palette), palette, symbol="circle"),
            )
        ],
        height=200,
        width=vega.HALF_WIDTH,
    )
    return figure(chart, name, f"{result.objective} of {len(drawn)} trials over {name}.")


def _trials(trials: Sequence[Trial], setting: Setting, names: Sequence[str]) -> list[Block]:
    columns = ("Trial", "State", setting.objective, "Seconds", *names)
    rows = [
        (
            _name(trial),
            badge(WORDS[trial.state], TONES[trial.state]),
            trial.value,
            trial.seconds,
            *(_cell({**setting.defaults, **trial.params}, name) for name in names),
        )
        for trial in trials
    ]
    causes = [(_name(trial), trial.cause) for trial in trials if trial.cause]
    told = [table(("Trial", "Why it did not finish"), causes)] if causes else []
    logs = [details(f"The last lines of the log of {_who(trial)}", code(trial.log)) for trial in trials if trial.log]
    return [table(columns, rows), *told, *logs]


def _name(trial: Trial) -> str:
    return "baseline" if trial.number == 0 else f"{trial.number}"


def _who(trial: Trial) -> str:
    return "the baseline" if trial.number == 0 else f"trial {trial.number}"


def _said(value: Any) -> str:
    """A parameter's value as it would be typed."""
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _cell(params: Mapping[str, Any], name: str) -> Value:
    """The same in a table; numbers stand at the right."""
    value = params.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(escaped(_said(value)) if name in params else "default", numeric=value is None or number)
