"""The controller: makes every InferenceService's objects so, in KServe's order, and writes its status."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightkube import ApiError

from tests.cluster.kserve import objects
from tests.cluster.kserve.api import Api, Object, head, name_of
from tests.cluster.kserve.knative import Revisions, Scaler
from tests.cluster.kserve.objects import AUTOSCALER, MODE, OWNER, STOP, RefusedError
from tests.cluster.kserve.releases import Release, release_of
from tests.cluster.kserve.status import Conditions, invalid_spec, model_status, predictor_condition

log = logging.getLogger("kserve")
# As it is shipped, KServe warns of this on every service, in Standard mode too.
_NO_ISTIO = (
    "Istio VirtualService CRD not present; VirtualService reconciliation skipped. If you do not use Istio, set "
    "ingress.disableIstioVirtualHost=true."
)
_STORAGE_SECRET = "serving.kserve.io/storageSecretName"


class Controller:
    """Reconciles all services; remembers what it has written, so that an unchanged object is not written again.

    Args:
        api: The cluster.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._written: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._told: dict[str, float] = {}
        self.scaler = Scaler()

    def tick(self) -> None:
        """Looks at everything once."""
        services = self._api.list("InferenceService")
        if not services:
            return
        runtimes = [*self._api.list("ServingRuntime"), *self._api.list("ClusterServingRuntime")]
        world = {
            kind: self._api.list(kind) for kind in ("Deployment", "Service", "HTTPRoute", "HorizontalPodAutoscaler")
        }
        releases = {name_of(space): release_of(space) for space in self._api.list("Namespace")}
        world["Pod"] = self._api.list("Pod", component="predictor")
        for isvc in services:
            release = releases.get(isvc["metadata"]["namespace"])
            if release and "deletionTimestamp" not in isvc["metadata"]:
                try:
                    Reconciliation(self, isvc, runtimes, world, release).run()
                except ApiError as error:  # a conflict, or the namespace is going
                    self.tell(isvc, f"fails to reconcile component: {error}")

    def tell(self, isvc: Object, message: str, reason: str = "InternalError") -> None:
        """A Warning event about a service, once a while."""
        key = f"{isvc['metadata']['uid']} {message}"
        if time.monotonic() - self._told.get(key, -60) < 30:
            return
        self._told[key] = time.monotonic()
        log.info("%s/%s: %s", isvc["metadata"]["namespace"], name_of(isvc), message)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        about = {k: isvc["metadata"][k] for k in ("name", "namespace", "uid")}
        event = {
            **head("Event"),
            "metadata": {"generateName": f"{name_of(isvc)}.", "namespace": isvc["metadata"]["namespace"]},
            "involvedObject": {**head("InferenceService"), **about},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "v1beta1Controllers"},
        }
        try:
            self._api.create(event)
        except ApiError as error:
            log.info("no event: %s", error)

    def put(self, wanted: Object, there: Object | None) -> None:
        """Writes an object that is missing, that should be different, or that somebody else has changed."""
        key = (wanted["kind"], wanted["metadata"]["namespace"], name_of(wanted))
        text = json.dumps(wanted, sort_keys=True)
        if there is None or self._written.get(key) != (text, there["metadata"].get("generation", 0)):
            written = self._api.apply(wanted)
            self._written[key] = (text, written["metadata"].get("generation", 0))

    def remove(self, kind: str, found: Object) -> None:
        """Deletes an object."""
        self._written.pop((kind, found["metadata"]["namespace"], name_of(found)), None)
        self._api.delete(kind, found["metadata"]["namespace"], name_of(found))

    def scale(self, deployment: Object, replicas: int) -> None:
        """Sets the number of pods."""
        key = ("Deployment", deployment["metadata"]["namespace"], name_of(deployment))
        self._written.pop(key, None)
        self._api.merge("Deployment", *key[1:], {"spec": {"replicas": replicas}})

    def secrets_of(self, isvc: Object, predictor: Object) -> list[Object]:
        """The Secrets that hold credentials for storage: the one of an annotation, or the service account's."""
        namespace = isvc["metadata"]["namespace"]
        said = {**(isvc["metadata"].get("annotations") or {}), **(predictor.get("annotations") or {})}
        named = said.get(_STORAGE_SECRET)
        account = self._api.get("ServiceAccount", namespace, predictor.get("serviceAccountName", "default")) or {}
        names = [named] if named else [secret["name"] for secret in account.get("secrets") or []]
        found = [self._api.get("Secret", namespace, name) for name in names]
        return [secret for secret in found if secret]

    def write_status(self, isvc: Object, status: Object) -> None:
        """Writes the status if it says anything new; now and then KServe is too late, and its warning means nothing."""
        known = isvc.get("status") or {}
        if known and "url" not in known and status.get("url"):
            self.tell(
                isvc,
                f'Operation cannot be fulfilled on inferenceservices.serving.kserve.io "{name_of(isvc)}": the object '
                "has been modified; please apply your changes to the latest version and try again",
            )
        if any(known.get(key) != value for key, value in status.items()):
            self._api.write_status("InferenceService", isvc["metadata"]["namespace"], name_of(isvc), status)


class Reconciliation:
    """One look at one service.

    Args:
        controller: Who looks.
        isvc: The service.
        runtimes: ServingRuntimes of all namespaces and of the cluster.
        world: What there is, by kind.
        release: The release of KServe that is played.
    """

    def __init__(
        self,
        controller: Controller,
        isvc: Object,
        runtimes: Sequence[Object],
        world: Mapping[str, Sequence[Object]],
        release: Release,
    ) -> None:
        self._release = release
        self._controller = controller
        self._isvc = isvc
        self._runtimes = runtimes
        namespace = isvc["metadata"]["namespace"]
        here = {k: [o for o in found if o["metadata"]["namespace"] == namespace] for k, found in world.items()}
        self._there = {kind: {name_of(o): o for o in found} for kind, found in here.items()}
        self._status: Object = dict(isvc.get("status") or {})
        self._conditions = Conditions(self._status.get("conditions") or [])
        self._model: Object = dict(self._status.get("modelStatus") or {})

    def run(self) -> None:
        """Canaries first, then what is left over goes, then the stable version, its status, and the routes."""
        try:
            if (self._isvc["metadata"].get("annotations") or {}).get(STOP) == "true":
                self._stop()
            elif self._mode == "Knative" and self._release.knative:
                self._knative()
            elif self._mode != self._release.mode:
                raise RefusedError("Knative Serving is not available")
            else:
                ready = self._canaries()
                self._remove_orphans()
                self._stable(ready)
                self._conditions.set("Stopped", False)
                self._controller.tell(self._isvc, _NO_ISTIO, reason="VirtualServiceCRDNotFound")
                self._routes(ready if self._release.weights else {})
        except RefusedError as refused:
            if refused.failure:
                self._model = invalid_spec(self._model, *refused.failure)
            self._controller.tell(self._isvc, f"fails to reconcile component: {refused}")
        self._write()

    @property
    def _mode(self) -> str:
        return str(self._isvc["metadata"]["annotations"][MODE])

    def _knative(self) -> None:
        predictor = self._isvc["spec"]["predictor"]
        secrets = self._controller.secrets_of(self._isvc, predictor)
        revisions = Revisions(self._isvc, list(self._there["Deployment"].values()))
        made = objects.workload(self._isvc, predictor, None, self._runtimes, secrets)
        for wanted in revisions.wanted(made):
            self._controller.put(wanted, self._there[wanted["kind"]].get(name_of(wanted)))
        for route in revisions.route():
            self._controller.put(route, self._there["HTTPRoute"].get(name_of(route)))
        for revision, reachable in revisions.reachable().items():
            deployment = revisions.there[revision]
            replicas = self._controller.scaler.pods(deployment, reachable=reachable)
            if replicas != deployment["spec"].get("replicas", 1):
                self._controller.scale(deployment, replicas)
        self._status["components"] = {"predictor": revisions.status}
        self._conditions.set("PredictorReady", revisions.is_ready())
        self._conditions.set("IngressReady", "url" in revisions.status)
        self._status["url"] = revisions.status.get("url")

    def _canaries(self) -> dict[str, bool]:
        canaries = self._isvc["spec"].get("canary") or []
        for canary in canaries:
            predictor = objects.canary_predictor(self._isvc, canary)
            self._put_workload(predictor, predictor["minReplicas"], canary=True)
        ready = {}
        for canary in canaries:
            version = canary["predictor"]["name"]
            deployment = self._deployment(version) or {}
            ready[version] = (deployment.get("status") or {}).get("availableReplicas", 0) > 0
        self._status["canaryStatuses"] = [
            {
                "name": canary["predictor"]["name"],
                "ready": ready[canary["predictor"]["name"]],
                "trafficPercent": canary.get("trafficPercent", 0),
            }
            for canary in canaries
        ] or None
        if canaries:
            all_ready = all(ready.values())
            reason = "AllCanariesReady" if all_ready else "CanariesNotReady"
            self._conditions.set("CanaryPredictorReady", all_ready, reason)
        else:
            self._conditions.clear("CanaryPredictorReady")
        return ready

    def _remove_orphans(self) -> None:
        """Deployments and Services of versions that are named no more, at once; their autoscalers stay."""
        predictors = [
            self._isvc["spec"]["predictor"],
            *(c["predictor"] for c in self._isvc["spec"].get("canary") or []),
        ]
        named = {objects.predictor_name(name_of(self._isvc), predictor.get("name")) for predictor in predictors}
        for kind in ("Deployment", "Service"):
            for name, found in self._there[kind].items():
                if self._is_ours(found) and name not in named:
                    self._controller.remove(kind, found)

    def _stable(self, ready: Mapping[str, bool]) -> None:
        predictor = self._isvc["spec"]["predictor"]
        replicas = objects.stable_replicas(self._isvc, ready)
        try:
            self._put_workload(predictor, replicas)
        except _NoKedaError as error:
            self._conditions.set("PredictorReady", False, "ReconcileFailed", str(error))
            raise RefusedError(str(error)) from None
        name = objects.predictor_name(name_of(self._isvc), predictor.get("name"))
        deployment = self._deployment(predictor.get("name")) or {}
        self._conditions.set("PredictorReady", *predictor_condition(deployment))
        # Not this service's generation, though it is called so.
        self._status["observedGeneration"] = (deployment.get("status") or {}).get("observedGeneration", 0)
        url = f"http://{objects.host(name, self._isvc['metadata']['namespace'])}"
        self._status["components"] = {"predictor": {"url": url} if self._conditions.true("PredictorReady") else {}}
        pods = [p for p in self._there["Pod"].values() if p["metadata"]["labels"].get("app") == f"isvc.{name}"]
        self._model = model_status(self._model, pods, ready=self._conditions.true("Ready"))

    def _routes(self, ready: Mapping[str, bool]) -> None:
        labels = self._isvc["metadata"].get("labels") or {}
        if not self._release.routes or labels.get("networking.kserve.io/visibility") == "cluster-local":
            self._conditions.set("IngressReady", True)
            return self._addresses()
        if not self._conditions.true("PredictorReady"):
            there = self._there["HTTPRoute"].get(objects.predictor_name(name_of(self._isvc)))
            if there is None:
                said = ("Predictor Deployment NotReady", "Predictor HTTPRoute not created")
                return self._conditions.set("IngressReady", False, *said)
        else:
            for route in objects.routes(self._isvc, ready):
                self._controller.put(route, self._there["HTTPRoute"].get(name_of(route)))
        for name, component in (
            (objects.predictor_name(name_of(self._isvc)), "Predictor"),
            (name_of(self._isvc), "InferenceService"),
        ):
            route = self._there["HTTPRoute"].get(name)
            if not (route or {}).get("status", {}).get("parents"):
                reason, message = "ParentStatusNotAvailable", f"{component} HTTPRoute not ready"
                return self._conditions.set("IngressReady", False, reason, message)
        self._conditions.set("IngressReady", True)
        return self._addresses()

    def _addresses(self) -> None:
        namespace = self._isvc["metadata"]["namespace"]
        stable = objects.predictor_name(name_of(self._isvc), self._isvc["spec"]["predictor"].get("name"))
        self._status["url"] = f"http://{objects.host(name_of(self._isvc), namespace)}"
        self._status["address"] = {"url": f"http://{stable}.{namespace}.svc.cluster.local"}

    def _stop(self) -> None:
        for kind in ("Deployment", "Service", "HTTPRoute", "HorizontalPodAutoscaler"):
            for found in self._there[kind].values():
                if self._is_ours(found):
                    self._controller.remove(kind, found)
        self._status = {k: None for k in self._status if k != "conditions"}
        self._model = {}
        for kind in ("PredictorReady", "IngressReady"):
            self._conditions.set(kind, False, "Stopped")
        self._conditions.set("Stopped", True)

    def _write(self) -> None:
        status = {
            **self._status,
            "deploymentMode": self._mode if self._release.knative else self._release.mode,
            "conditions": self._conditions.list(),
            "modelStatus": self._model or None,
        }
        self._controller.write_status(self._isvc, status)

    def _put_workload(self, predictor: Object, replicas: int | None, *, canary: bool = False) -> None:
        secrets = self._controller.secrets_of(self._isvc, predictor)
        options = {"canary": canary, "unscaled": self._release.unscaled}
        made = objects.workload(self._isvc, predictor, replicas, self._runtimes, secrets, **options)
        for wanted in made:
            self._controller.put(wanted, self._there[wanted["kind"]].get(name_of(wanted)))
        annotations = made[1]["metadata"]["annotations"]
        if annotations.get(AUTOSCALER) == "keda":
            raise _NoKedaError("fails to reconcile predictor: ScaledObject CRD is not available")
        stale = self._there["HorizontalPodAutoscaler"].get(name_of(made[1]))
        if annotations.get(AUTOSCALER, "hpa") != "hpa" and stale:
            self._controller.remove("HorizontalPodAutoscaler", stale)

    def _deployment(self, version: str | None) -> Object | None:
        return self._there["Deployment"].get(objects.predictor_name(name_of(self._isvc), version))

    def _is_ours(self, found: Object) -> bool:
        owners: list[dict[str, Any]] = found["metadata"].get("ownerReferences") or []
        labelled = (found["metadata"].get("labels") or {}).get(OWNER) == name_of(self._isvc)
        return labelled or any(owner["uid"] == self._isvc["metadata"]["uid"] for owner in owners)


class _NoKedaError(Exception):
    pass
