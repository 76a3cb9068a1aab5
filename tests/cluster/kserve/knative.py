"""KServe's mode Knative: revisions, their shares of the traffic, and what Knative refuses; the activator is missing.

So no revision that has traffic loses its last pod here, whatever `minReplicas` says.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.kserve import objects
from tests.cluster.kserve.api import Object, head
from tests.cluster.kserve.objects import RefusedError

SERVICE = "serving.knative.dev/service"
REVISION = "serving.knative.dev/revision"
LOCAL = "networking.knative.dev/visibility"  # KServe's own label hides nothing in this mode
# Features of Knative that are off as it is shipped.
_REFUSED = (
    *("nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName", "schedulerName"),
    *("topologySpreadConstraints", "securityContext", "hostNetwork", "initContainers", "dnsPolicy"),
)
# Fields that it leaves out without a word.
_LEFT_OUT = ("terminationGracePeriodSeconds",)
_LEFT_OUT_OF_CONTAINERS = ("lifecycle",)
_TEMPLATE = "headway.test/template"
_UNREACHABLE_S = 50.0


def refused(predictor: Mapping[str, Any]) -> str | None:
    """What Knative's webhook says of a predictor's pod, to which KServe adds the storage only later; or None."""
    fields = [f"spec.template.spec.{field}" for field in _REFUSED if predictor.get(field) not in (None, "", [], {})]
    said = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed'
    return f"{said}: must not set the field(s): {', '.join(sorted(fields))}" if fields else None


class Revisions:
    """The revisions of one service, from the Deployments that are there.

    Args:
        isvc: The service.
        deployments: All of its namespace.
    """

    def __init__(self, isvc: Object, deployments: Sequence[Object]) -> None:
        self._isvc = isvc
        self.name = objects.predictor_name(isvc["metadata"]["name"])
        mine = [d for d in deployments if (d["metadata"].get("labels") or {}).get(SERVICE) == self.name]
        self.there = {revision_of(d): d for d in sorted(mine, key=revision_of)}
        before = isvc.get("status") or {}
        self.status: Object = dict((before.get("components") or {}).get("predictor") or {})

    def wanted(self, made: Sequence[Object]) -> list[Object]:
        """Service and Deployment of the newest revision: the last one, or one more if the template is another.

        Args:
            made: What a plain Deployment of this predictor would be.
        """
        deployment = next(each for each in made if each["kind"] == "Deployment")
        template = deployment["spec"]["template"]
        problem = refused(self._isvc["spec"]["predictor"])
        if problem:
            raise RefusedError(f"fails to reconcile predictor: fails to reconcile knative service: {problem}")
        pod = {key: value for key, value in template["spec"].items() if key not in _LEFT_OUT}
        pod["containers"] = [
            {key: value for key, value in container.items() if key not in _LEFT_OUT_OF_CONTAINERS}
            for container in pod["containers"]
        ]
        labels = {key: value for key, value in template["metadata"]["labels"].items() if key != LOCAL}
        template = {"metadata": {**template["metadata"], "labels": labels}, "spec": pod}
        deployment = {**deployment, "spec": {**deployment["spec"], "template": template}}
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
        latest = next(reversed(self.there), None)
        if latest is None or self.there[latest]["metadata"]["annotations"].get(_TEMPLATE) != digest:
            latest = f"{self.name}-{int(latest.rpartition('-')[2]) + 1 if latest else 1:05d}"
        self.status["latestCreatedRevision"] = latest
        least = self._isvc["spec"]["predictor"].get("minReplicas", 1)
        return _revision(self._isvc, latest, self.name, deployment, digest, max(1, least))

    def route(self) -> list[Object]:
        """The route, once a revision is ready; and what KServe notes of it."""
        created, status = self.status.get("latestCreatedRevision"), self.status
        ready = [r for r, d in self.there.items() if (d.get("status") or {}).get("availableReplicas")]
        known = [r for r in (status.get("latestReadyRevision"), *ready) if r in self.there]
        if not known:
            return []
        status["latestReadyRevision"] = max(known)
        targets = self._targets()
        status["traffic"] = targets
        self._note_rolled_out(created)
        status["url"] = f"http://{self._host()}"
        return [] if self._is_local() else [self._http_route(targets)]

    def reachable(self) -> dict[str, bool]:
        """Revision to whether it is on the route; after a while without that, Knative takes the pods away."""
        named = {t["revisionName"] for t in self.status.get("traffic") or ()} | {self.status["latestCreatedRevision"]}
        return {revision: revision in named for revision in self.there}

    def is_ready(self) -> bool:
        """Whether the newest revision is."""
        return bool(self.status.get("latestReadyRevision")) and (
            self.status["latestReadyRevision"] == self.status["latestCreatedRevision"]
        )

    def _targets(self) -> list[Object]:
        """As KServe asks for them, with the newest revision that is ready in place of "the latest"."""
        percent = self._isvc["spec"]["predictor"].get("canaryTrafficPercent")
        rolled_out, ready = self.status.get("latestRolledoutRevision"), self.status["latestReadyRevision"]
        latest = {"latestRevision": True, "revisionName": ready, "percent": 100}
        if percent is None or not rolled_out:
            return [latest]
        targets = [{**latest, "percent": percent}]
        if percent < 100:
            rest = {"revisionName": rolled_out, "latestRevision": False, "percent": 100 - percent, "tag": "prev"}
            targets.append(rest)
        return targets

    def _note_rolled_out(self, created: str | None) -> None:
        status, (latest, *rest) = self.status, self.status["traffic"]
        if status.get("latestRolledoutRevision") != latest["revisionName"]:
            if latest["percent"] == 100:
                status["previousRolledoutRevision"] = status.get("latestRolledoutRevision")
                status["latestRolledoutRevision"] = latest["revisionName"]
        elif latest["revisionName"] == created and latest["percent"] < 100:
            shares = latest["percent"] + sum(t["percent"] for t in rest if t["revisionName"] == latest["revisionName"])
            if shares == 100 and status.get("previousRolledoutRevision"):
                status["latestRolledoutRevision"] = status["previousRolledoutRevision"]

    def _is_local(self) -> bool:
        return (self._isvc["metadata"].get("labels") or {}).get(LOCAL) == "cluster-local"

    def _host(self) -> str:
        namespace = self._isvc["metadata"]["namespace"]
        return f"{self.name}.{namespace}.{'svc.cluster.local' if self._is_local() else objects.DOMAIN}"

    def _http_route(self, targets: Sequence[Object]) -> Object:
        shares: dict[str, int] = {}
        for target in targets:
            shares[target["revisionName"]] = shares.get(target["revisionName"], 0) + target["percent"]
        group = "gateway.networking.k8s.io"
        parent = {"group": group, "kind": "Gateway", "namespace": objects.GATEWAY[0], "name": objects.GATEWAY[1]}
        rule = {
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"name": name, "port": 80, "weight": share} for name, share in shares.items()],
        }
        meta = objects.owned(self._isvc, self.name, labels={SERVICE: self.name}, annotations={})
        spec = {"parentRefs": [parent], "hostnames": [self._host()], "rules": [rule]}
        return {**head("HTTPRoute"), "metadata": meta, "spec": spec}


def revision_of(deployment: Object) -> str:
    """The revision that a Deployment runs."""
    return str(deployment["metadata"]["labels"][REVISION])


class Scaler:
    """Since when revisions have had no traffic, and how many pods follow from that."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def pods(self, deployment: Object, *, reachable: bool) -> int:
        """How many a revision is to have; one that has traffic again gets a pod, as the activator would see to."""
        uid, now = deployment["metadata"]["uid"], time.monotonic()
        replicas = int(deployment["spec"].get("replicas", 1))
        if reachable:
            self._since.pop(uid, None)
            return max(1, replicas)
        return 0 if now - self._since.setdefault(uid, now) > _UNREACHABLE_S else replicas


def _revision(isvc: Object, name: str, service: str, deployment: Object, digest: str, replicas: int) -> list[Object]:
    template = deployment["spec"]["template"]
    labels = {k: v for k, v in template["metadata"]["labels"].items() if k != "app"}
    labels |= {SERVICE: service, REVISION: name, "app": name}
    annotations = {**template["metadata"]["annotations"], _TEMPLATE: digest}
    meta = objects.owned(isvc, f"{name}-deployment", labels=labels, annotations=annotations)
    selector = {REVISION: name}
    spec = {
        **{key: value for key, value in deployment["spec"].items() if key not in ("replicas", "strategy")},
        "replicas": replicas,
        "selector": {"matchLabels": selector},
        "template": {**template, "metadata": {"labels": labels, "annotations": annotations}},
    }
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
    return [
        {**head("Deployment"), "metadata": meta, "spec": spec},
        {
            **head("Service"),
            "metadata": objects.owned(isvc, name, labels={SERVICE: service}, annotations={}),
            "spec": {"selector": selector, "ports": [port]},
        },
    ]
