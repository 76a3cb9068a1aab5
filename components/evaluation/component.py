"""What KFP sees of the evaluation."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from headway.components._shared.component import component


@component(image="tabular")
def evaluate_model(
    model: Input[Model],
    data: Input[Dataset],
    verdict: Output[Artifact],
    golden: Output[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    champion: Input[Model] = None,
    gates: dict[str, Any] = {},
    evaluation: dict[str, Any] = {},
    model_name: Optional[str] = None,
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Measures a model on held-out rows, compares it with the champion and decides whether it may go on.

    Every figure has a confidence interval that allows for rows that depend on each other. A negative verdict does not
    fail the step: register_model and deploy_model take the verdict and refuse.

    Args:
        model: Model of train_model or adopt_model; its files must be those that its manifest names.
        data: Held-out rows with the model's features and its target; at least 30, without missing labels.
        champion: Model of resolve_champion, also the empty one that says there is no champion; left out means none.
        gates: Gate name to gate; {} means not blessed. A gate has `kind` (`metric`, `slice`, `gap` or `gain`; the other
            fields tell it where it is left out) and `metric`. The first three take one of `at_least` and `at_most`, and
            `on`: `value`, `low` or `high` end of the interval (default: the end that must be proven). `slice` takes
            `slice` (`column=value` or `worst`), `gap` takes `column`, `gain` takes `test` (`non_inferiority` or
            `superiority`), `margin` and `without_champion` (`pass` or `fail`). `when_unmeasurable` is `fail` (default)
            or `pass`.
        evaluation: How to measure; every key may be absent: `confidence` (0.95), `primary_metric`, `slices` (column
            names, or `auto`), `groups` (column names), `min_support` (100 rows), `costs` (`false_positive`,
            `false_negative`: choose the threshold), `threshold` (given instead), `dependence` (`auto`, `none`, or
            `column` with `period` 1h, 1d, 1w or 1mo), `golden_rows` (300), `latency_calls` (100; 400 with a gate
            on `latency_p99_ms`).
        model_name: Name of the model, for the audit trail; None writes no audit event.
        seed: Of the folds that choose a threshold and of the bootstrap of the calibration error; nothing else is
            random.
        state_uri: Folder or bucket for records, reports and audit events; None leaves none.

    Returns:
        verdict: JSON file: model digest, threshold, metrics with intervals, every gate's outcome, the decision and why.
        golden: At most `golden_rows` rows at the edges with the model's predictions, without personal columns.
        metrics: The value of every metric, and what gates of slices, gaps and gains found (`roc_auc_worst_slice`,
            `recall_gap_region`, `roc_auc_gain`).
        report: What was decided, on which evidence, and what to worry about.
    """
    from headway.components.evaluation.evaluate import evaluate

    evaluate(
        model,
        data,
        verdict,
        golden,
        metrics,
        report,
        champion=champion,
        gates=gates,
        evaluation=evaluation,
        model_name=model_name,
        seed=seed,
        state_uri=state_uri,
    )
