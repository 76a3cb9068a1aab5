"""The part of `serving` that only a cluster knows: pods, storage, scaling, and the way to the gateway."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from headway.components._shared.config import Config

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


WayName = Literal["weights", "knative", "two_services"]
Traffic = Literal["auto", "weights", "knative", "two_services"]


class Resources(Config):
    """What a serving pod asks for.

    Attributes:
        cpu: Processor that is kept free for it.
        memory: Memory that is kept free for it, and the most that it may use.
        max_cpu: The most processor that it may use, where that is free; one model computes on one core at a time.
    """

    cpu: Quantity = "250m"
    memory: Quantity = "1Gi"
    max_cpu: Quantity = "1"

    @model_validator(mode="after")
    def _check_cpu(self) -> Resources:
        if _cores(self.cpu) > _cores(self.max_cpu):
            raise ValueError(f"cpu {self.cpu} is more than max_cpu {self.max_cpu}")
        return self


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity.rstrip("kMGTi"))


class Autoscaling(Config):
    """How the number of pods follows the load, between `min_replicas` and `max_replicas`.

    Attributes:
        kind: `hpa` scales by processor or memory; `keda` by a Prometheus query, and needs KEDA in the cluster;
            `knative` by requests, and needs Knative, which then moves the traffic too.
        metric: What is looked at: `cpu` or `memory` by hpa, `concurrency` (requests in flight) or `rps` by knative.
        target_percent: Share of what was asked for that hpa keeps to.
        server: Address of Prometheus, for keda.
        query: PromQL whose value keda divides among the pods: requests in flight, a latency, the length of a queue.
        target: Of one pod: the value of keda's query, or requests in flight or a second for knative.
    """

    kind: Literal["hpa", "keda", "knative"] = "hpa"
    metric: Literal["cpu", "memory", "concurrency", "rps"] = "cpu"
    target_percent: int = Field(default=80, ge=1, le=100)
    server: str | None = None
    query: str | None = None
    target: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _what_each_kind_needs(self) -> Autoscaling:
        if self.kind == "keda" and not (self.server and self.query and self.target):
            raise ValueError("keda needs server, query and target")
        if self.kind == "hpa" and self.metric not in ("cpu", "memory"):
            raise ValueError(f"hpa cannot look at {self.metric}: cpu or memory; knative can")
        if self.kind == "knative" and (self.metric not in ("concurrency", "rps") or not self.target):
            raise ValueError("knative needs metric concurrency or rps, and target")
        if self.kind == "knative" and self.target != int(self.target or 0):
            raise ValueError(f"knative's target is a whole number, not {self.target}")
        return self


class Toleration(Config):
    """A taint of nodes that the pods put up with, in Kubernetes' own words.

    Attributes:
        key: Of the taint; without one, every taint is meant.
        operator: Whether the value counts.
        value: Of the taint.
        effect: Of the taint; without one, every effect is meant.
        tolerationSeconds: How long a pod stays when the taint comes; only with the effect NoExecute.
    """

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: int | None = None  # noqa: N815

    @model_validator(mode="after")
    def _check_operator(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError("with the operator Exists there is no value")
        if not self.key and self.operator != "Exists":
            raise ValueError("without a key the operator is Exists")
        if self.tolerationSeconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds is for the effect NoExecute")
        return self


class Logger(Config):
    """Where requests and responses are sent as CloudEvents.

    Attributes:
        url: Address that takes them.
        mode: Which of them.
    """

    url: str = Field(pattern=r"^https?://")
    mode: Literal["all", "request", "response"] = "all"


class ThroughGateway(Config):
    """How a step asks versions that have no traffic where a mesh lets it ask nobody but the gateway.

    Every version gets a route of its own for as long as it is there: with a host name that only the step knows, but
    open to whoever finds it, under the gateway's rules for everybody.

    Attributes:
        parent: The Gateway, as NAMESPACE/NAME.
        domain: What its host names end with.
    """

    parent: str = Field(pattern=r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-.a-z0-9]*$")
    domain: str = Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")


class KServe(Config):
    """How a model is served in a cluster.

    Attributes:
        namespace: Where; by default the step's own.
        image: Instead of the suite's serving image, such as one with more libraries (docs/own-image.md).
        image_pull_secrets: Names of Secrets for a private registry.
        service_account: Of the serving pods; the way to a bucket by workload identity, or by the Secrets it lists.
        storage_uri: What `state_uri` is called from within serving pods, where that differs: `pvc://claim/path` for a
            mounted folder. KFP's `minio://` is taken as the `s3://` that it means.
        storage_secret: Name of the Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the annotation
            `serving.kserve.io/s3-endpoint`.
        log_secret: Name of the Secret whose keys are the model server's environment, for an inference log on S3:
            AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where it is not Amazon's, AWS_ENDPOINT_URL.
        resources: Of one pod.
        min_replicas: Pods at least; 0 lets an endpoint without requests have none, which only Knative can.
        max_replicas: Pods at most; needs `autoscaling` when it is more.
        autoscaling: How the number follows the load.
        node_selector: Labels of the nodes that may take the pods.
        tolerations: Taints of nodes that the pods put up with.
        priority_class: Whose pods go first.
        logger: Log of requests and responses.
        recommend_resources: Makes a VerticalPodAutoscaler that only recommends, which deployment_status then tells.
        traffic: How it moves: `weights` of an HTTPRoute, which need KServe 0.21 with the Gateway API; `knative`, by
            canaryTrafficPercent, where Knative Serving is; `two_services`, which every KServe can have, and which moves
            all of it at once; `auto` takes the first of these that works, and what the scaling needs. An endpoint keeps
            what it was first deployed with.
        gateway: Address of the gateway as the step reaches it, such as `http://gateway.istio-system`; by default what
            the service's host name resolves to.
        token_file: File with a bearer token that the gateway wants, such as one that Kubeflow Pipelines projects into
            steps; read anew for each request.
        through_gateway: How versions are asked in a mesh that refuses steps; needs `gateway`.
        observe_timeout_s: Time for moved traffic to be seen in the answers; gateways lag, some up to a minute.
        drain_s: How long a pod that is to end goes on answering, and for how long it gets no traffic before that.
    """

    namespace: Name | None = None
    image: str | None = None
    image_pull_secrets: tuple[Name, ...] = ()
    service_account: Name | None = None
    storage_uri: str | None = None
    storage_secret: Name | None = None
    log_secret: Name | None = None
    resources: Resources = Resources()
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int | None = Field(default=None, ge=1)
    autoscaling: Autoscaling | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    priority_class: Name | None = None
    logger: Logger | None = None
    recommend_resources: bool = False
    traffic: Traffic = "auto"
    gateway: str | None = Field(default=None, pattern=r"^https?://[^/]+")
    token_file: str | None = None
    through_gateway: ThroughGateway | None = None
    observe_timeout_s: float = Field(default=90, gt=0)
    drain_s: int = Field(default=10, ge=0, le=600)

    @model_validator(mode="after")
    def _more_pods_need_a_reason(self) -> KServe:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is less than min_replicas")
        if self.autoscaling is None and (self.max_replicas or self.min_replicas) > self.min_replicas:
            raise ValueError("max_replicas needs autoscaling, which says when to use them")
        if self.autoscaling and (self.max_replicas or 0) <= self.min_replicas:
            raise ValueError("autoscaling needs max_replicas, and more than min_replicas")
        return self

    @model_validator(mode="after")
    def _a_way_through_the_gateway_needs_its_address(self) -> KServe:
        if self.gateway is None and (self.through_gateway or self.token_file):
            raise ValueError("through_gateway and token_file need gateway, the address that they are for")
        return self

    @property
    def needs_knative(self) -> bool:
        """Whether the pods are to scale as only Knative can."""
        return self.min_replicas == 0 or (self.autoscaling is not None and self.autoscaling.kind == "knative")

    @property
    def by_keda(self) -> bool:
        """Whether KEDA is to scale the pods."""
        return self.autoscaling is not None and self.autoscaling.kind == "keda"

    @property
    def needs_deployments(self) -> bool:
        """Whether the pods are to scale as only plain Deployments can."""
        return self.autoscaling is not None and self.autoscaling.kind != "knative"
