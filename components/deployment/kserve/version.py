"""A version of an endpoint: a release and the settings it runs with, as the predictor of an InferenceService."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from headway.components._shared import images
from headway.components._shared.config import Config
from headway.components._shared.endpoints.inference import DIGEST_ANNOTATION
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.storage import require_bucket

CONTAINER = "kserve-container"
PORT = 8080
_MODEL_DIR = "/mnt/models"
_SCALING = ("minReplicas", "maxReplicas", "deploymentStrategy", "scaleMetric", "scaleTarget", "autoScaling")
_ENDING = "/tmp/ending"


class Version(Config):
    """A version of an endpoint: everything that is needed to run it, or to run it again.

    Attributes:
        name: The predictor's name, from the content of all the rest.
        model_digest: The model.
        version: Its version in the registry.
        environment: dev, staging or prod.
        storage_uri: Where pods load it from.
        predictor: Its `spec.predictor`, without the name.
        scaling: Fields of the predictor that only a stable version has.
    """

    name: str
    model_digest: str
    version: str | None
    environment: str
    storage_uri: str
    predictor: dict[str, Any]
    scaling: dict[str, Any]

    @property
    def min_pods(self) -> int:
        """Pods that it has at least; 0 only on Knative."""
        return int(self.scaling["minReplicas"])

    @property
    def autoscaled(self) -> bool:
        """Whether the number of its pods follows the load, by something other than Knative."""
        return bool({"scaleMetric", "autoScaling"} & set(self.scaling))

    def sized(self, pods: int) -> Version:
        """The same version with at least so many pods, for as long as it must hold the load of another one."""
        low, high = max(self.min_pods, pods), int(self.scaling["maxReplicas"])
        return self.model_copy(update={"scaling": {**self.scaling, "minReplicas": low, "maxReplicas": max(low, high)}})

    def same_as(self, other: Version) -> bool:
        """Whether it is the same model with the same settings."""
        return _without_address(self) == _without_address(other)

    def has_settings(self, endpoint: str, serving: Serving, settings: KServe) -> bool:
        """Whether a version of any release would be started by these settings as it was."""
        arguments = self.predictor["containers"][0]["args"]
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        threshold = given.get("--threshold")
        release = Release(
            model_name=endpoint,
            environment=self.environment,
            version=self.version,
            model_digest=self.model_digest,
            manifest_sha256=given["--manifest-sha256"],
            threshold=None if threshold is None else float(threshold),
            uri="",
        )
        return version_of(release, self.storage_uri, serving, settings).same_as(self)

    def service(self, endpoint: str) -> str:
        """The name of its InferenceService, where it has one of its own."""
        return f"{endpoint}-{self.name}"

    def named(self, endpoint: str) -> str:
        """The name of its Deployment and of its Service."""
        return f"{self.service(endpoint)}-predictor"


def version_of(release: Release, storage_uri: str, serving: Serving, settings: KServe) -> Version:
    """What is to run for a release."""
    predictor = _predictor(release, storage_uri, serving, settings)
    scaling = _scaling(settings)
    return Version(
        name=_name(release.model_digest, predictor, scaling),
        model_digest=release.model_digest,
        version=release.version,
        environment=release.environment,
        storage_uri=storage_uri,
        predictor=predictor,
        scaling=scaling,
    )


def version_in(predictor: Mapping[str, Any], storage_uri: str) -> Version:
    """A version as a service shows it, where nothing else is remembered of it."""
    kept = {key: value for key, value in predictor.items() if key not in ("name", *_SCALING)}
    return Version(
        name=predictor["name"],
        model_digest=predictor["annotations"][DIGEST_ANNOTATION],
        version=None,
        environment="unknown",
        storage_uri=storage_uri,
        predictor=kept,
        scaling={"minReplicas": 1, **{key: predictor[key] for key in _SCALING if key in predictor}},
    )


def elsewhere(version: Version) -> Version:
    """The same version under another spelling of its address: KServe renames a predictor only when that changes."""
    uri = version.storage_uri.rstrip("/") + ("" if version.storage_uri.endswith("/") else "/")
    text = json.dumps(version.predictor).replace(json.dumps(version.storage_uri), json.dumps(uri))
    predictor = json.loads(text)
    name = _name(version.model_digest, predictor, version.scaling)
    return version.model_copy(update={"name": name, "storage_uri": uri, "predictor": predictor})


def _predictor(release: Release, storage_uri: str, serving: Serving, settings: KServe) -> dict[str, Any]:
    arguments = {
        "--model-dir": _MODEL_DIR,
        "--model-name": release.model_name,
        "--manifest-sha256": release.manifest_sha256,
        "--port": str(PORT),
        "--max-rows": str(serving.max_rows),
        **({} if release.threshold is None else {"--threshold": repr(release.threshold)}),
    }
    log = serving.log.arguments() if serving.log else []
    if serving.log:
        require_bucket(serving.log.uri or "")
    container = {
        "name": CONTAINER,
        "image": settings.image or images.reference("serving"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "headway.components.serving"],
        "args": [*(part for pair in arguments.items() for part in pair), *log],
        "env": [
            {"name": "STORAGE_URI", "value": storage_uri},
            {"name": "HEADWAY_ENDING_FILE", "value": _ENDING},
        ],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        # All four: KServe fills in what is left out, but not in a candidate, whose pods would go when it is promoted.
        "resources": {
            "requests": {"cpu": settings.resources.cpu, "memory": settings.resources.memory},
            "limits": {"cpu": settings.resources.max_cpu, "memory": settings.resources.memory},
        },
        # Loading may take as long as the rollout waits for it; once up, a pod is asked every few seconds.
        "startupProbe": _probe("/v2/health/live", period_s=2, failures=max(1, round(serving.start_timeout_s / 2))),
        "readinessProbe": _probe(f"/v2/models/{release.model_name}/ready", period_s=2, failures=3),
        "livenessProbe": _probe("/v2/health/live", period_s=10, failures=6),
        # A gateway goes on sending for a while after a pod was told to end; callers let go of their connections then.
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", f"touch {_ENDING}; sleep {settings.drain_s}"]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    if log and settings.log_secret:
        container["envFrom"] = [{"secretRef": {"name": settings.log_secret}}]
    annotations = {DIGEST_ANNOTATION: release.model_digest}
    if settings.storage_secret:
        annotations["serving.kserve.io/storageSecretName"] = settings.storage_secret
    pod: dict[str, Any] = {
        "annotations": annotations,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "terminationGracePeriodSeconds": settings.drain_s + max(5, round(serving.drain_timeout_s)),
        # Said even if nothing was asked for: what a canary leaves out, it takes from the stable version.
        "serviceAccountName": settings.service_account or "default",
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": settings.node_selector,
        "tolerations": [each.model_dump(exclude_none=True) for each in settings.tolerations],
        "priorityClassName": settings.priority_class,
        "logger": settings.logger and {"url": settings.logger.url, "mode": settings.logger.mode},
    }
    return {key: value for key, value in pod.items() if value}


def _scaling(settings: KServe) -> dict[str, Any]:
    low, auto = settings.min_replicas, settings.autoscaling
    high = settings.max_replicas or max(low, 1)
    # A pod goes only after its successor is there.
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    scaling: dict[str, Any] = {"minReplicas": low, "maxReplicas": high, "deploymentStrategy": strategy}
    if auto is None:
        return scaling
    if auto.kind == "hpa":
        return {**scaling, "scaleMetric": auto.metric, "scaleTarget": auto.target_percent}
    if auto.kind == "knative":
        return {**scaling, "scaleMetric": auto.metric, "scaleTarget": int(auto.target or 0)}
    external = {
        "metric": {"backend": "prometheus", "serverAddress": auto.server, "query": auto.query},
        "target": {"type": "Value", "value": f"{auto.target:g}"},
    }
    return {**scaling, "autoScaling": {"metrics": [{"type": "External", "external": external}]}}


def _name(model_digest: str, predictor: Mapping[str, Any], scaling: Mapping[str, Any]) -> str:
    content = json.dumps([predictor, scaling], sort_keys=True)
    return f"v{model_digest[:8]}-{hashlib.sha256(content.encode()).hexdigest()[:4]}"


def _without_address(version: Version) -> object:
    text = json.dumps(version.predictor, sort_keys=True)
    same = text.replace(json.dumps(version.storage_uri), json.dumps(version.storage_uri.rstrip("/")))
    return version.model_digest, same, version.scaling


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": PORT, "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
