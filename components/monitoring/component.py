"""The components of the room: how a model's inputs and answers fare once it is in use."""

from typing import Any, List, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from headway.components._shared.component import component


@component(image="tabular")
def collect_window(
    model: Input[Model],
    window: Output[Dataset],
    summary: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    model_name: str,
    start: str,
    end: str,
    labels: Input[Dataset] = None,
    label_cutoff: Optional[str] = None,
    log_uri: Optional[str] = None,
    state_uri: Optional[str] = None,
) -> None:
    """Reads what a model was asked and what it answered between two times, and joins the labels known by then.

    The same log and labels give the same artifact, byte for byte. Each id counts once, other versions' rows and refused
    requests are counted and left out, and a file that cannot be read is named and left out.

    Args:
        model: The model whose rows are wanted.
        model_name: The endpoint, as at deploy_model.
        start: Start of the window, inclusive, UTC.
        end: End of the window, exclusive, UTC.
        labels: Rows with the column that has the role `id` in the model's schema and the target; and the one with the
            role `label_time`, if there is one.
        label_cutoff: Only labels known by then count, UTC; a later one gives a window of its own.
        log_uri: The inference log; by default `logs/MODEL_NAME` below `state_uri`, where deploy_model's `serving.log`
            puts it; `kserve+` before an address reads what KServe's logger wrote there.
        state_uri: Folder or `gs://` or `s3://` prefix; with it, what was found is remembered, and a window that is
            collected again says what has changed.

    Returns:
        window: The rows by time: `_id`, `_time`, `_latency_ms`, the features, `_prediction`, `_probability_CLASS`, and
            the target, empty where the label is not there yet.
        summary: JSON: rows, labels and their delay, and what was left out and why.
        metrics: Rows, requests, rows with a label, their share.
        report: Rows and labels over time, and what was left out.
    """
    from headway.components.monitoring.window.collect import collect_window as run

    run(
        model,
        window,
        summary,
        metrics,
        report,
        model_name=model_name,
        start=start,
        end=end,
        labels=labels,
        label_cutoff=label_cutoff,
        log_uri=log_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def profile_shard(
    data: Input[Dataset], reference: Input[Artifact], profile: Output[Artifact], state_uri: Optional[str] = None
) -> None:
    """Profiles a part of a window, beside other parts that others profile; merge_profiles puts them together.

    Args:
        data: Some of the rows of a window.
        reference: As at detect_drift.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records are kept.

    Returns:
        profile: Profile of these rows, in the reference's columns.
    """
    from headway.components.monitoring.drift.detect import profile_shard as run

    run(data, reference, profile, state_uri=state_uri)


@component(image="tabular")
def merge_profiles(profiles: Input[List[Artifact]], profile: Output[Artifact], state_uri: Optional[str] = None) -> None:
    """Puts the profiles of parts together: the bytes that one pass over all rows gives, in whatever order they come.

    Args:
        profiles: Of profile_shard, such as `dsl.Collected` of a `dsl.ParallelFor`.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records are kept.

    Returns:
        profile: Of all rows; the `window` of detect_drift.
    """
    from headway.components.monitoring.drift.detect import merge_profiles as run

    run(profiles, profile, state_uri=state_uri)


@component(image="tabular")
def detect_drift(
    reference: Input[Artifact],
    findings: Output[Artifact],
    profile: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    drift: dict[str, Any] = {},
    data: Input[Dataset] = None,
    window: Input[Artifact] = None,
    before: Input[Artifact] = None,
    verdict: Input[Artifact] = None,
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Says which columns of a window differ from what the model has learned from: by how much, and not by chance.

    Needs no training data: its profile travels with the model. A difference counts when it reaches its limit and is
    significant over everything that was tested; so a tiny shift of a million rows is none, and a real one of 300 is.

    Args:
        data: Rows of the window, with the model's features; other columns are ignored.
        window: Its profile instead, of profile_shard or merge_profiles.
        reference: A Model, of which the features are looked at, weighed by their importance; or a Profile.
        drift: Measures and limits, see the JSON Schema `Drift`: `numbers` (measure of numbers, `wasserstein`),
            `categories` (`jensen_shannon`), `limits` (measure to limit, 0.1 each), `columns` (name to `measure`,
            `limit` or `ignore`), `false_discovery_rate` (0.01), `missing` (0.05), `outside` (0.01), `min_rows` (30),
            `classifier` (`min_auc` 0.7, `confidence`, `min_rows`; or none).
        before: Profile of the window before; with it, the report says what has changed since.
        verdict: Of evaluate_model about the model; with it, the predictions of a window of collect_window are held
            against those of the evaluation.
        seed: Of the classifier; nothing else depends on it.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        findings: JSON: every measure of every column, what was found, the drifted share, how well all features together
            tell the window from the reference, and what could not be compared.
        profile: Profile of the window; the `before` of the next one, and mergeable.
        metrics: Rows, drifted columns, drifted share (by importance), separation (AUC).
        report: What differs, with both distributions, and how it was judged.
    """
    from headway.components.monitoring.drift.detect import detect_drift as run

    run(
        data,
        reference,
        findings,
        profile,
        metrics,
        report,
        drift=drift,
        before=before,
        verdict=verdict,
        window=window,
        seed=seed,
        state_uri=state_uri,
    )


@component(image="monitoring")
def report_to_evidently(
    reference: Input[Artifact],
    profile: Input[Artifact],
    findings: Input[Artifact],
    report: Output[HTML],
    model_name: str,
    start: str,
    end: str,
    workspace_uri: Optional[str] = None,
    state_uri: Optional[str] = None,
) -> None:
    """Shows what detect_drift has found as a report of Evidently, and adds it to an Evidently workspace.

    Our figures, of all rows, come first; below them Evidently's presets for drift and for summaries, by the same
    measures and limits, on the samples that profiles hold: at most 5,000 rows of each side. The workspace has a project
    for each model and a snapshot for each window, once; `evidently ui --workspace FOLDER` shows it.

    Args:
        reference: What detect_drift was given.
        profile: Of detect_drift: the profile of the window.
        findings: Of detect_drift.
        model_name: The endpoint; what the project is called.
        start: Of the window.
        end: Of the window: the time of the snapshot.
        workspace_uri: Folder or `gs://` or `s3://` prefix of the workspace; by default `evidently` below `state_uri`.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        report: Evidently's report, which needs no network; its metadata say where the snapshot is.
    """
    from headway.components.monitoring.evidently.report import report_to_evidently as run

    run(
        reference,
        profile,
        findings,
        report,
        model_name=model_name,
        start=start,
        end=end,
        workspace_uri=workspace_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def measure_performance(
    window: Input[Dataset],
    model: Input[Model],
    verdict: Input[Artifact],
    findings: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    performance: dict[str, Any] = {},
    before: Input[Artifact] = None,
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Measures how good a window's answers were against what the evaluation promised, and estimates what has no label.

    A metric is `worse` when its loss is more than what does not matter and not by chance; `held` when a loss of more
    than that is ruled out; else `unclear`. Estimates take the model's probabilities for true, are marked as estimates,
    and are held against the truth where labels are there.

    Args:
        window: Of collect_window.
        model: The model that answered.
        verdict: Of evaluate_model about it: its metrics and slices are the promise. A released model has it beside it.
        performance: What decides, see the JSON Schema `Performance`: `metrics` (those of the verdict's gates),
            `primary_metric`, `relative_tolerance` (0.05), `tolerance` (metric to the same in its unit), `confidence`
            (0.95), `min_rows` (100 with a label), `slices` (`auto`), `importance_rows` (0: the importance of
            features is not measured anew).
        before: The output `findings` of the window before; with it, the report says what has changed since.
        seed: Of the draws of estimates and calibration.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        findings: JSON: every metric with its interval, the promise and the gain over it, the state of those that
            decide, estimates, slices that deviate, and whether labelled rows stand for the window.
        metrics: Rows, rows with a label, each metric, each estimate.
        report: What came out against what was promised, and what explains it.
    """
    from headway.components.monitoring.performance.measure import measure_performance as run

    run(
        window,
        model,
        verdict,
        findings,
        metrics,
        report,
        performance=performance,
        before=before,
        seed=seed,
        state_uri=state_uri,
    )


@component(image="tabular")
def decide(
    window: Input[Artifact],
    decision: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    state_uri: str,
    policy: dict[str, Any] = {},
    drift: Input[Artifact] = None,
    performance: Input[Artifact] = None,
    service: Input[Artifact] = None,
) -> None:
    """Says what follows from a window, by rules over it and the windows before: ok, watch, alert, retrain, roll_back.

    The history only grows: a window that was judged at its label cutoff keeps the decision that it has, whoever asks
    again. The same window, history and policy give the same decision a year later; no clock is asked.

    Args:
        window: The `summary` of collect_window.
        policy: Rules and what holds them back, see the JSON Schema `Policy`: `rules` (each with `name`, `when`,
            `at_least`, `of_last`, `outcome`), `much_drift` (0.3), `few_labels` (0.1), `bias` (0.05), `cooldown` (7d),
            `budget` (`retrainings` 2 `per` 30d), `business_hours` (none).
        drift: The `findings` of detect_drift in this window.
        performance: The `findings` of measure_performance in this window.
        service: The `findings` of measure_service in this window.
        state_uri: Folder or `gs://` or `s3://` prefix where the history is, and where run records are kept.

    Returns:
        decision: JSON: the outcome, the rule that fired and why, every signal, the incident that the window belongs to,
            and what the history lacks.
        metrics: Severity from 0 (ok) to 4 (roll_back), and each signal as 0 or 1.
        report: The outcome, the signals, and those of the windows before.
    """
    from headway.components.monitoring.decision.decide import decide as run

    run(
        window,
        decision,
        metrics,
        report,
        policy=policy,
        drift=drift,
        performance=performance,
        service=service,
        state_uri=state_uri,
    )


@component(image="tabular")
def measure_service(
    model: Input[Model],
    findings: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    model_name: str,
    start: str,
    end: str,
    service: dict[str, Any] = {},
    log_uri: Optional[str] = None,
    state_uri: Optional[str] = None,
) -> None:
    """Measures how well an endpoint answered in a window: how fast, how much, and how often not.

    Out of the inference log. A limit counts as exceeded when that is proven, with requests of the same five minutes
    taken to depend on each other.

    Args:
        model: The model whose requests are meant.
        model_name: The endpoint, as at deploy_model.
        start: Start of the window, inclusive, UTC.
        end: End of the window, exclusive, UTC.
        service: Limits, see the JSON Schema `Service`: `p99_ms` (1000), `errors` (0.01, status 500 and above),
            `refused` (0.1, status 400 to 499), `confidence` (0.99), `min_requests` (100); `prometheus` (`address`,
            `namespace`, ...) for what the log does not know, with `restarts` (0) and `memory` (0.9).
        log_uri: The inference log, also `kserve+` and an address; by default `logs/MODEL_NAME` below `state_uri`.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        findings: JSON: latency quantiles, requests a second, shares of slow, failed and refused requests with
            intervals, and what is beyond its limit.
        metrics: Requests, requests a second, latency quantiles, shares.
        report: Limits, latency and requests over time, statuses.
    """
    from headway.components.monitoring.service.measure import measure_service as run

    run(
        model,
        findings,
        metrics,
        report,
        model_name=model_name,
        start=start,
        end=end,
        service=service,
        log_uri=log_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def compare_versions(
    model: Input[Model],
    findings: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    model_name: str,
    start: str,
    end: str,
    comparison: dict[str, Any] = {},
    labels: Input[Dataset] = None,
    log_uri: Optional[str] = None,
    state_uri: Optional[str] = None,
) -> None:
    """Compares two versions that shared the traffic, by what came of their answers; may be asked every hour.

    Reads the inference log and joins the labels. Differences come with intervals that hold at all times at once, so
    whoever looks often is not misled, and a test may end as soon as it is decided.

    Args:
        model: One of the versions; both have the same target.
        model_name: The endpoint, as at deploy_model.
        start: Start of the window, inclusive, UTC.
        end: End of the window, exclusive, UTC.
        comparison: By what, see the JSON Schema `Comparison`: `metrics` (each with `kind` correct, label, value, errors
            or slow), `versions` (two digests), `window` (1h), `confidence` (0.95), `min_effect` (0.02).
        labels: Rows with the column that has the role `id` in the model's schema and the target.
        log_uri: The inference log, also `kserve+` and an address; by default `logs/MODEL_NAME` below `state_uri`.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records and reports are kept.

    Returns:
        findings: JSON: each metric of both versions, their difference with its interval over time, which is proven to
            be better, and how many rows an effect that matters takes.
        metrics: Rows of both, each difference.
        report: The differences, how their intervals shrank, and how it was judged.
    """
    from headway.components.monitoring.versions.compare import compare_versions as run

    run(
        model,
        findings,
        metrics,
        report,
        model_name=model_name,
        start=start,
        end=end,
        comparison=comparison,
        labels=labels,
        log_uri=log_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def monitor_models(
    decisions: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    models: dict[str, Any],
    state_uri: str,
    monitoring: dict[str, Any] = {},
    start: Optional[str] = None,
    end: Optional[str] = None,
    as_of: Optional[str] = None,
    scheduled: Optional[str] = None,
    environment: str = "dev",
    tracking_uri: str = "auto",
    seed: int = 0,
) -> None:
    """Judges every window of every model that is over and was not judged yet: collects, compares, measures, decides.

    In one pod, for one model or a hundred. Which windows are due follows from the history, so a schedule that was
    missed is caught up with and nothing is judged twice. A model that cannot be judged is told, and does not keep the
    others from it; the step fails where that is so of all of them.

    Args:
        models: Name of the endpoint to what holds for it alone, laid over `monitoring`: `{"flights": {}, "returns":
            {"windows": {"every": "1h"}}}`.
        state_uri: Folder or `gs://` or `s3://` prefix with releases, logs and history.
        monitoring: What holds for all, see the JSON Schema `Monitoring`: `windows` (`every` 1d, `grace` 10m, `since`,
            `at_most` 100), `labels` (`uris`, `columns`, `after`; or none), `log_uri`, `drift`, `performance`,
            `service`, `policy`, `retraining`.
        start: Start of a single window, inclusive, UTC, instead of those that are due; needs `end`.
        end: End of that window, exclusive, UTC.
        as_of: The time at which windows must be over, UTC; by default now. To replay the past.
        scheduled: The same by default, for `dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER` in pipelines for a backend;
            where that stands for no time, it is now.
        environment: dev, staging or prod; whose champion is judged.
        tracking_uri: MLflow server; auto takes MLFLOW_TRACKING_URI, or SQLite beside a local state folder.
        seed: Of the classifier and the draws of estimates.

    Returns:
        decisions: JSON: for each model the decisions of this run, the last one, and why judging ended, if it did.
        metrics: Models, windows, open incidents, models that could not be judged, the worst severity.
        report: Every model with its state, since when, and its worst signal; of few or ill ones signals, measures and
            drifting columns over time.
    """
    from headway.components.monitoring.fleet.monitor import monitor_models as run

    run(
        decisions,
        metrics,
        report,
        models=models,
        monitoring=monitoring,
        start=start,
        end=end,
        as_of=as_of,
        scheduled=scheduled,
        environment=environment,
        tracking_uri=tracking_uri,
        seed=seed,
        state_uri=state_uri,
    )


@component(image="tabular")
def trigger_retraining(
    decisions: Input[Artifact],
    triggered: Output[Artifact],
    models: dict[str, Any],
    state_uri: str,
    monitoring: dict[str, Any] = {},
) -> None:
    """Starts the training pipeline for each incident that asks for it, once, whoever runs again.

    By the API of Kubeflow Pipelines, or on this machine. What was decided and could not be started yet, since business
    hours were to be waited for or the API was away, is started by a later run.

    Args:
        decisions: Of monitor_models.
        models: As at monitor_models.
        state_uri: Folder or `gs://` or `s3://` prefix where it is remembered what was started.
        monitoring: As at monitor_models; its `retraining` (`pipeline`, `parameters`, `api`) says what is run. Without
            it nothing is, and the output says so.

    Returns:
        triggered: JSON: for each model whether a run was started, is waiting, or was there, and which one.
    """
    from headway.components.monitoring.retraining.trigger import trigger_retraining as run

    run(decisions, triggered, models=models, monitoring=monitoring, state_uri=state_uri)
