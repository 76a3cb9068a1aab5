"""The part of `serving` that only a cluster knows: pods, storage, scaling, and the way to the gateway."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from headway.components._shared.config import Config

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


WayName = Literal["weights", "two_services"]
Traffic = Literal["auto", "weights", "two_services"]


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
        kind: `hpa` scales by processor or memory; `keda` by a Prometheus query, and needs KEDA in the cluster.
        metric: What hpa looks at.
        target_percent: Share of what was asked for that hpa keeps to.
        server: Address of Prometheus, for keda.
        query: PromQL whose value keda divides among the pods: requests in flight, a latency, the length of a queue.
        target: Value of the query for one pod.
    """

    kind: Literal["hpa", "keda"] = "hpa"
    metric: Literal["cpu", "memory"] = "cpu"
    target_percent: int = Field(default=80, ge=1, le=100)
    server: str | None = None
    query: str | None = None
    target: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _keda_needs_a_query(self) -> Autoscaling:
        if self.kind == "keda" and not (self.server and self.query and self.target):
            raise ValueError("keda needs server, query and target")
        return self


class Logger(Config):
    """Where requests and responses are sent as CloudEvents.

    Attributes:
        url: Address that takes them.
        mode: Which of them.
    """

    url: str = Field(pattern=r"^https?://")
    mode: Literal["all", "request", "response"] = "all"


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
        resources: Of one pod.
        min_replicas: Pods at least.
        max_replicas: Pods at most; needs `autoscaling` when it is more.
        autoscaling: How the number follows the load.
        node_selector: Labels of the nodes that may take the pods.
        tolerations: Taints of nodes that the pods put up with, as Kubernetes writes them.
        priority_class: Whose pods go first.
        logger: Log of requests and responses.
        recommend_resources: Makes a VerticalPodAutoscaler that only recommends, which deployment_status then tells.
        traffic: How it moves: `weights` of an HTTPRoute, which need KServe 0.21 with the Gateway API; `two_services`,
            which every KServe can have, and which moves all of it at once; `auto` takes weights where they work. An
            endpoint keeps what it was first deployed with.
        gateway: Address of the gateway as the step reaches it, such as `http://gateway.istio-system`; by default what
            the service's host name resolves to.
        observe_timeout_s: Time for moved traffic to be seen in the answers; gateways lag, some up to a minute.
        drain_s: How long a pod that is to end goes on answering, and for how long it gets no traffic before that.
    """

    namespace: Name | None = None
    image: str | None = None
    image_pull_secrets: tuple[Name, ...] = ()
    service_account: Name | None = None
    storage_uri: str | None = None
    storage_secret: Name | None = None
    resources: Resources = Resources()
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int | None = Field(default=None, ge=1)
    autoscaling: Autoscaling | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    priority_class: Name | None = None
    logger: Logger | None = None
    recommend_resources: bool = False
    traffic: Traffic = "auto"
    gateway: str | None = Field(default=None, pattern=r"^https?://[^/]+")
    observe_timeout_s: float = Field(default=90, gt=0)
    drain_s: int = Field(default=10, ge=0, le=600)

    @model_validator(mode="after")
    def _more_pods_need_a_reason(self) -> KServe:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is less than min_replicas")
        if self.autoscaling is None and (self.max_replicas or self.min_replicas) > self.min_replicas:
            raise ValueError("max_replicas needs autoscaling, which says when to use them")
        return self
