"""What KServe makes of an InferenceService: Deployments, Services, autoscalers and routes, as pure functions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.kserve.api import Object, head
from tests.cluster.kserve.storage import with_storage

DOMAIN = "example.com"
GATEWAY = ("kserve", "kserve-ingress-gateway")
MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
STOP = "serving.kserve.io/stop"
OWNER = "serving.kserve.io/inferenceservice"
SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
CONTAINER = "kserve-container"
NOT_FOR_PODS = (
    "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
    "kubectl.kubernetes.io/last-applied-configuration",
    "internal.serving.kserve.io/model-format",
    SOURCE,
)
# Not containers, volumes and the like: what a predictor says beside its pod.
EXTENSIONS = (
    *("name", "model", "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling"),
    *("containerConcurrency", "timeout", "canaryTrafficPercent", "logger", "batcher", "labels", "annotations"),
    *("deploymentStrategy", "workerSpec", "storageUris", "storageContainerName"),
)
PREFIXES = (
    "gs://",
    "s3://",
    "hdfs://",
    "hf://",
    "modelscope://",
    "webhdfs://",
    "http://",
    "https://",
    "pvc://",
    "oci://",
)


class RefusedError(Exception):
    """KServe cannot make objects of a service; it says so in an event and leaves most of the status as it was.

    Args:
        message: What the event says.
        failure: The reason and message of the model's status, where KServe tells any.
    """

    def __init__(self, message: str, failure: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.failure = failure


def predictor_name(service: str, version: str | None = None) -> str:
    """The Deployment and Service of a version; without one, the service's route for predictors."""
    return f"{service}-{version}-predictor" if version else f"{service}-predictor"


def canary_predictor(isvc: Object, canary: Object) -> Object:
    """The stable predictor with a canary's fields laid over it: lists are replaced, nothing can be taken away."""
    merged = _overlaid(copy.deepcopy(isvc["spec"]["predictor"]), canary["predictor"])
    for field in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        merged.pop(field, None)
    return {**merged, "minReplicas": canary_replicas(isvc, canary)}


def canary_replicas(isvc: Object, canary: Object) -> int:
    """As asked for, or its share of the stable replicas: none at 0 %."""
    asked = canary["predictor"].get("minReplicas")
    stable = isvc["spec"]["predictor"].get("minReplicas", 1)
    return asked if asked is not None else math.ceil(stable * canary.get("trafficPercent", 0) / 100)


def stable_replicas(isvc: Object, ready: Mapping[str, bool]) -> int | None:
    """The stable version's minimum, smaller by the replicas of canaries that are ready, but one."""
    asked = isvc["spec"]["predictor"].get("minReplicas")
    canaries = isvc["spec"].get("canary") or []
    taken = sum(canary_replicas(isvc, canary) for canary in canaries if ready.get(canary["predictor"]["name"]))
    return max(asked - taken, 1) if asked is not None and taken else asked


def workload(
    isvc: Object,
    predictor: Object,
    replicas: int | None,
    runtimes: Sequence[Object],
    secrets: Sequence[Object],
    *,
    canary: bool = False,
    unscaled: str = "none",
) -> list[Object]:
    """Service, Deployment and autoscaler of one version, in the order in which they are written."""
    service = isvc["metadata"]["name"]
    runtime = _runtime_of(isvc, predictor, runtimes)
    pod, container = _pod(isvc, predictor, runtime)
    annotations = {k: v for k, v in (isvc["metadata"].get("annotations") or {}).items() if k not in NOT_FOR_PODS}
    uri = _storage_uri(predictor, container)
    if uri is not None:
        if not uri.startswith(PREFIXES):
            raise RefusedError(
                f"StorageURI not supported: storageUri, must be one of: [{', '.join(PREFIXES)}], got {uri}"
            )
        annotations[SOURCE] = uri
        pod = with_storage(pod, uri, secrets)
    name = predictor_name(service, predictor.get("name"))
    labels = {
        **(runtime.get("labels") or {}),
        **(isvc["metadata"].get("labels") or {}),
        **(predictor.get("labels") or {}),
        OWNER: service,
        "component": "predictor",
        "app": f"isvc.{name}",
    }
    annotations = {**(runtime.get("annotations") or {}), **annotations, **(predictor.get("annotations") or {})}
    meta = owned(isvc, name, labels=labels, annotations=annotations)
    selector = {"app": f"isvc.{name}"}
    ports = container.get("ports") or [{"containerPort": 8080}]
    spec: Object = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        "strategy": predictor.get("deploymentStrategy")
        or {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }
    scaler = annotations.get(AUTOSCALER, "hpa")
    if replicas is not None and scaler == unscaled:
        spec["replicas"] = replicas
    made = [
        {
            **head("Service"),
            "metadata": meta,
            "spec": {"selector": selector, "ports": [_service_port(name, port, n) for n, port in enumerate(ports)]},
        },
        {**head("Deployment"), "metadata": meta, "spec": spec},
    ]
    if scaler == "hpa":
        made.append(_autoscaler(meta, name, replicas, {} if canary else predictor))
    return made


def routes(isvc: Object, ready: Mapping[str, bool]) -> list[Object]:
    """The predictor's route and the service's own; canaries that are not ready get no traffic, whatever was asked."""
    service, namespace = isvc["metadata"]["name"], isvc["metadata"]["namespace"]
    stable = predictor_name(service, isvc["spec"]["predictor"].get("name"))
    backends = [_backend(namespace, stable)]
    canaries = isvc["spec"].get("canary") or []
    if canaries:
        shares = {
            c["predictor"]["name"]: c.get("trafficPercent", 0) for c in canaries if ready.get(c["predictor"]["name"])
        }
        backends = [
            {**_backend(namespace, stable), "weight": 100 - sum(shares.values())},
            *({**_backend(namespace, predictor_name(service, v)), "weight": w} for v, w in shares.items()),
        ]
    keep = {k: v for k, v in (isvc["metadata"].get("annotations") or {}).items() if k not in NOT_FOR_PODS}
    made = []
    for name in (predictor_name(service), service):
        rule = {
            "matches": [{"path": {"type": "RegularExpression", "value": "^/.*$"}}],
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {
                        "set": [
                            {"name": "KServe-Isvc-Name", "value": service},
                            {"name": "KServe-Isvc-Namespace", "value": namespace},
                        ]
                    },
                }
            ],
            "backendRefs": backends,
            "timeouts": {"request": f"{isvc['spec']['predictor'].get('timeout', 60)}s"},
        }
        parent = {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "namespace": GATEWAY[0],
            "name": GATEWAY[1],
        }
        made.append(
            {
                **head("HTTPRoute"),
                "metadata": owned(isvc, name, labels=isvc["metadata"].get("labels") or {}, annotations=keep),
                "spec": {"parentRefs": [parent], "hostnames": [host(name, namespace)], "rules": [rule]},
            }
        )
    return made


def host(name: str, namespace: str) -> str:
    """The name by which the gateway knows a service."""
    return f"{name}-{namespace}.{DOMAIN}"


def _overlaid(base: Any, over: Any) -> Any:
    """Go's mergo with override: empty values of `over` don't count, lists are replaced, maps are merged."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{k: _overlaid(base.get(k), v) for k, v in over.items() if v not in ("", 0, None, {}, [])}}
    return over


def _runtime_of(isvc: Object, predictor: Object, runtimes: Sequence[Object]) -> Object:
    model = predictor.get("model")
    if model is None:
        return {}
    here = [r for r in runtimes if r["metadata"].get("namespace") in (None, isvc["metadata"]["namespace"])]
    here.sort(key=lambda r: r["metadata"].get("namespace") is None)
    wanted = model["modelFormat"]
    if "runtime" in model:
        named = next((r for r in here if r["metadata"]["name"] == model["runtime"]), None)
        if named is None:
            raise RefusedError(
                f"No ServingRuntimes or ClusterServingRuntimes with the name: {model['runtime']}",
                ("RuntimeNotRecognized", "Waiting for runtime to become available"),
            )
        if not _supports(named, wanted, model, selected=True):
            raise RefusedError(
                f"specified runtime {model['runtime']} does not support specified framework/version",
                ("NoSupportingRuntime", "Specified runtime does not support specified framework/version"),
            )
        return dict(named["spec"])
    for runtime in here:
        if _supports(runtime, wanted, model, selected=False):
            return dict(runtime["spec"])
    raise RefusedError(
        f"no runtime found to support predictor with model type: {wanted}",
        ("NoSupportingRuntime", "No runtime found to support specified framework/version"),
    )


def _supports(runtime: Object, wanted: Object, model: Object, *, selected: bool) -> bool:
    spec = runtime["spec"]
    protocol = model.get("protocolVersion") or ("v1" if not selected else None)
    if spec.get("disabled") or (protocol and protocol not in (spec.get("protocolVersions") or [protocol])):
        return False
    return any(
        known["name"] == wanted["name"]
        and wanted.get("version") in (None, known.get("version"))
        and (selected or known.get("autoSelect"))
        for known in spec.get("supportedModelFormats") or []
    )


def _pod(isvc: Object, predictor: Object, runtime: Object) -> tuple[Object, Object]:
    """The pod, and the container of the server in it."""
    pod = copy.deepcopy({k: v for k, v in predictor.items() if k not in EXTENSIONS})
    others = list(pod.get("containers") or [])
    if "model" in predictor:
        own = copy.deepcopy(predictor["model"])
        for field in ("modelFormat", "runtime", "runtimeVersion", "storageUri", "storage", "protocolVersion", "name"):
            own.pop(field, None)
        base = next((c for c in runtime.get("containers") or [] if c["name"] == CONTAINER), None)
        if base is None:
            raise RefusedError("no container configuration found in selected serving runtime")
        container = _merged_container(copy.deepcopy(base), own)
        container["args"] = [a.replace("{{.Name}}", isvc["metadata"]["name"]) for a in container.get("args") or []]
        if not container["args"]:
            del container["args"]
        inherited = ("nodeSelector", "affinity", "tolerations", "volumes", "imagePullSecrets", "schedulerName")
        pod = {**{k: copy.deepcopy(runtime[k]) for k in inherited if k in runtime}, **pod}
    else:
        container = next(c for c in others if c.get("name") == CONTAINER)
        others.remove(container)
    container.setdefault("env", []).append({"name": "INFERENCE_SERVICE_NAME", "value": isvc["metadata"]["name"]})
    port = (container.get("ports") or [{"containerPort": 8080}])[0]["containerPort"]
    container.setdefault("readinessProbe", {"tcpSocket": {"port": port}, "periodSeconds": 10})
    container.setdefault("imagePullPolicy", "IfNotPresent")
    return {**pod, "containers": [container, *others]}, container


def _merged_container(base: Object, own: Object) -> Object:
    """A strategic merge, except that arguments are appended."""
    keyed = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort"}
    for field, value in own.items():
        if field == "args":
            base["args"] = [*(base.get("args") or []), *value]
        elif field in keyed:
            key = keyed[field]
            base[field] = list({e[key]: e for e in [*(base.get(field) or []), *value]}.values())
        elif isinstance(value, dict):
            base[field] = {**(base.get(field) or {}), **value}
        elif value not in ("", None):
            base[field] = value
    return base


def _storage_uri(predictor: Object, container: Object) -> str | None:
    if "model" in predictor:
        return predictor["model"].get("storageUri")
    return next((e.get("value") for e in container.get("env") or [] if e["name"] == "STORAGE_URI"), None)


def owned(isvc: Object, name: str, *, labels: Object, annotations: Object) -> Object:
    """Metadata of something that goes with its service."""
    owner = {**head("InferenceService"), "name": isvc["metadata"]["name"], "uid": isvc["metadata"]["uid"]}
    return {
        "name": name,
        "namespace": isvc["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }


def _service_port(name: str, port: Object, position: int) -> Object:
    number = port["containerPort"]
    return {
        "name": port.get("name") or name,
        "port": number if position else 80,
        "targetPort": number,
        "protocol": port.get("protocol", "TCP"),
    }


def _autoscaler(meta: Object, name: str, replicas: int | None, predictor: Object) -> Object:
    least = max(replicas or 1, 1)
    metrics = (predictor.get("autoScaling") or {}).get("metrics") or [
        {
            "type": "Resource",
            "resource": {
                "name": predictor.get("scaleMetric", "cpu"),
                "target": {"type": "Utilization", "averageUtilization": predictor.get("scaleTarget", 80)},
            },
        }
    ]
    return {
        **head("HorizontalPodAutoscaler"),
        "metadata": meta,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": max(predictor.get("maxReplicas", 0), least),
            "metrics": metrics,
        },
    }


def _backend(namespace: str, name: str) -> Object:
    return {"kind": "Service", "name": name, "namespace": namespace, "port": 80}
