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
            "max_seconds"}, "rollout": {"strategy", "steps", "false_alarm", "on_inconclusive", "deadline"},
            "start_timeout_s", "drain_timeout_s", "busy_timeout_s", "kserve"}`, all optional. Without `port` the
            endpoint takes a free one and keeps it. By default 10,000 rows a request, probabilities within 1e-9 of the
            evaluation's, a median of 100 ms and a 99th percentile of 1000 ms over 200 requests of one row, and all the
            traffic at once after that. Steps are `{"set_weight": 10}`, `{"pause": "10m"}` and `{"analysis": {}}`.
        environment: `dev`, `staging` or `prod`; as at register_model.
        tracking_uri: MLflow server; `auto` takes MLFLOW_TRACKING_URI, or SQLite beside a local state folder.
        state_uri: Folder where releases, the endpoint's record and the audit trail are.

    Returns:
        deployment: JSON with the outcome `deployed`, `unchanged` or `refused`, the reason, the endpoint, the digests of
            this release and of the one before it, every check with its values, and a curl command that asks it.
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
    )
