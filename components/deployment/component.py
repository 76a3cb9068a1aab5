"""The components of the room: how a model gets its traffic."""

from typing import Any, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from headway.components._shared.component import component


@component(image="tabular")
def deploy_model(
    registration: Input[Artifact],
    verdict: Input[Artifact],
    golden: Input[Dataset],
    deployment: Output[Artifact],
    report: Output[HTML],
    model_name: str,
    engine: str = "auto",
    serving: dict[str, Any] = {},
    environment: str = "dev",
    tracking_uri: str = "auto",
    state_uri: Optional[str] = None,
    requests: Input[Dataset] = None,
) -> None:
    """Brings a registered model to traffic once it has proven itself; otherwise the stable version keeps it.

    The candidate starts beside the stable version, without traffic. It must answer the golden rows as the evaluation
    did, refuse malformed requests with a 4xx, and hold the latency gate; then it takes over at the same address, at
    once or by the steps of `serving.rollout`, and no request is lost. If it fails at any point the stable version gets
    all the traffic back, and the step fails with the reason and the end of the server's log. A step that was killed
    and is run again goes on where it was. The same model again is `unchanged`; an endpoint whose processes died is
    brought back.

    A negative verdict or a refused registration deploys nothing: the step succeeds with the outcome `refused`. A
    verdict about another model is an error. Only releases below `state_uri` are served, checked file by file.

    Args:
        registration: The record of register_model.
        verdict: The verdict about the same model.
        golden: Rows with the predictions of the evaluation that gave the verdict.
        model_name: The endpoint: 2 to 31 of a-z, 0-9 and -, beginning with a letter; as at register_model.
        engine: `local` serves with processes of this machine on 127.0.0.1; `kserve` with an InferenceService of a
            cluster; `auto` takes kserve in a cluster and local elsewhere, and says which.
        serving: `{"port", "max_rows", "tolerance", "latency": {"p50_ms", "p99_ms", "requests", "warm_up",
            "max_seconds"}, "max_memory_mib", "rollout": {"strategy", "steps", "on_passed", "false_alarm",
            "on_inconclusive", "deadline"}, "start_timeout_s", "drain_timeout_s", "busy_timeout_s", "log": {"uri",
            "flush_s", "max_rows"}, "kserve"}`, all optional. Without `port` the endpoint takes a free one and keeps it.
            By default 10,000 rows a request, probabilities within 1e-9 of the evaluation's, a median of 100 ms and a
            99th percentile of 1000 ms over 200 requests of one row, all the traffic at once after that, and no
            inference log. Steps are `{"set_weight": 10}`, `{"pause": "10m"}` and `{"analysis": {}}`.
        environment: `dev`, `staging` or `prod`; as at register_model.
        tracking_uri: MLflow server; `auto` takes MLFLOW_TRACKING_URI, or SQLite beside a local state folder.
        state_uri: Folder where releases, the endpoint's record and the audit trail are.
        requests: Logged requests, rows with the model's features: what candidate and stable version are asked for in an
            analysis, instead of golden rows; the strategy `shadow` needs them.

    Returns:
        deployment: JSON with the outcome `deployed`, `unchanged`, `withdrawn` or `refused`, the reason, the endpoint,
            the digests of this release and of the one before it, every check with its values, and a curl command that
            asks it.
        report: The steps as a timeline, the evidence and the decision.
    """
    from headway.components.deployment.deploy import deploy

    deploy(
        registration,
        verdict,
        golden,
        deployment,
        report,
        model_name=model_name,
        engine=engine,
        serving=serving,
        environment=environment,
        tracking_uri=tracking_uri,
        state_uri=state_uri,
        requests=requests,
    )


@component(image="tabular")
def rollback_deployment(
    deployment: Output[Artifact],
    report: Output[HTML],
    model_name: str,
    reason: str,
    to_digest: Optional[str] = None,
    engine: str = "auto",
    serving: dict[str, Any] = {},
    tracking_uri: str = "auto",
    state_uri: Optional[str] = None,
) -> None:
    """Gives the traffic back to a release that had it before, checked as any candidate is, without a lost request.

    It runs with the settings and the image that it had then, answers its golden rows first, and becomes champion of the
    registry again. The release that has to go is marked: deploy_model refuses it from then on, whichever run brings it,
    until a rollback takes it by `to_digest`. A rollout that was left behind is taken back first.

    Args:
        model_name: The endpoint.
        reason: Why; kept in the endpoint's history and in the audit trail.
        to_digest: The first characters of the model digest to go back to, one of the last ten (deployment_status);
            by default the newest one before this that nobody rolled back.
        engine: As at deploy_model.
        serving: Settings that replace those that the release had then, such as `{"kserve": {...}}`; without `rollout`
            all the traffic moves at once after the checks. Of `kserve` only the fields that are given are replaced:
            `{"kserve": {"namespace": ...}}` where the endpoint is in another namespace than the step.
        tracking_uri: As at deploy_model.
        state_uri: As at deploy_model.

    Returns:
        deployment: JSON as of deploy_model, with the outcome `rolled_back` or `unchanged`.
        report: The steps as a timeline, the evidence and the decision.
    """
    from headway.components.deployment.rollback import rollback

    rollback(
        deployment,
        report,
        model_name=model_name,
        reason=reason,
        to_digest=to_digest,
        engine=engine,
        serving=serving,
        tracking_uri=tracking_uri,
        state_uri=state_uri,
    )


@component(image="tabular")
def undeploy_model(
    before: Output[Artifact],
    model_name: str,
    engine: str = "auto",
    serving: dict[str, Any] = {},
    state_uri: Optional[str] = None,
) -> None:
    """Ends everything that serves an endpoint, a rollout that is left included, and forgets its history.

    Releases, registry and audit trail stay. Again, or where nothing serves: succeeds and changes nothing.

    Args:
        model_name: The endpoint.
        engine: As at deploy_model.
        serving: As at deploy_model; only the place matters.
        state_uri: As at deploy_model.

    Returns:
        before: JSON as of deployment_status: how the endpoint was.
    """
    from headway.components.deployment.undeploy import undeploy

    undeploy(before, model_name=model_name, engine=engine, serving=serving, state_uri=state_uri)


@component(image="tabular")
def deployment_status(
    status: Output[Artifact],
    model_name: Optional[str] = None,
    engine: str = "auto",
    serving: dict[str, Any] = {},
    must_serve: bool = False,
    state_uri: Optional[str] = None,
) -> None:
    """Tells how an endpoint is: by its processes or pods, and by what its address answers. Changes nothing.

    Args:
        model_name: The endpoint; by default every endpoint of the place.
        engine: As at deploy_model.
        serving: As at deploy_model; only the place matters.
        must_serve: Whether the step fails where an endpoint is neither `serving` nor `degraded`.
        state_uri: As at deploy_model.

    Returns:
        status: JSON with, for each endpoint, its state (`serving`; `degraded`: it answers, and something is wrong;
            `down`; `stopped` on purpose; `absent`) and why, its address, the stable version and the candidate with
            their pods, the rollout that is under way, and what had the traffic before.
    """
    from headway.components.deployment.inspect import inspect

    inspect(status, model_name=model_name, engine=engine, serving=serving, must_serve=must_serve, state_uri=state_uri)


@component(image="tabular")
def finish_rollout(
    status: Output[Artifact],
    model_name: str,
    engine: str = "auto",
    serving: dict[str, Any] = {},
    state_uri: Optional[str] = None,
) -> None:
    """Takes back what a vanished step left of a rollout: when it is late, amid its rollback, or its candidate broke.

    Before the deadline a rollout whose candidate is well is left alone, so that its step may be run again and go on; so
    is one that a step is at work on. The stable version gets all the traffic and is seen to answer before the candidate
    ends.

    Args:
        model_name: The endpoint.
        engine: As at deploy_model.
        serving: As at deploy_model; only the place matters.
        state_uri: As at deploy_model.

    Returns:
        status: JSON as of deployment_status, after that.
    """
    from headway.components.deployment.keeper import finish

    finish(status, model_name=model_name, engine=engine, serving=serving, state_uri=state_uri)
