"""The Kubernetes API as the stand-in uses it: plain dicts of any kind, in every namespace."""

from __future__ import annotations

from functools import cache
from typing import Any

from httpx2 import HTTPStatusError
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import CascadeType, PatchType

Object = dict[str, Any]

NAMESPACED = {
    "ConfigMap": ("", "v1", "configmaps"),
    "Deployment": ("apps", "v1", "deployments"),
    "EndpointSlice": ("discovery.k8s.io", "v1", "endpointslices"),
    "Event": ("", "v1", "events"),
    "Gateway": ("gateway.networking.k8s.io", "v1", "gateways"),
    "HTTPRoute": ("gateway.networking.k8s.io", "v1", "httproutes"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "InferenceService": ("serving.kserve.io", "v1beta1", "inferenceservices"),
    "Pod": ("", "v1", "pods"),
    "Secret": ("", "v1", "secrets"),
    "Service": ("", "v1", "services"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
    "ServingRuntime": ("serving.kserve.io", "v1alpha1", "servingruntimes"),
}
CLUSTER_WIDE = {
    "ClusterServingRuntime": ("serving.kserve.io", "v1alpha1", "clusterservingruntimes"),
    "CustomResourceDefinition": ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    "MutatingWebhookConfiguration": ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
    "Namespace": ("", "v1", "namespaces"),
    "ValidatingWebhookConfiguration": ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
}


class Api:
    """A connection as an administrator.

    Args:
        kubeconfig: Path of the file that kubectl uses.
    """

    def __init__(self, kubeconfig: str) -> None:
        self._client = Client(KubeConfig.from_file(kubeconfig).get(), field_manager="kserve-stand-in")

    def list(self, kind: str, **labels: str) -> list[Object]:
        """Every object of a kind, in all namespaces, by name."""
        found = self._client.list(_resource(kind), namespace="*" if kind in NAMESPACED else None, labels=labels or None)
        return sorted((o.to_dict() for o in found), key=lambda o: (o["metadata"].get("namespace", ""), name_of(o)))

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """One object, or None, also where the cluster does not know the kind: that 404 comes without a Status."""
        try:
            return dict(self._client.get(_resource(kind), name, namespace=namespace).to_dict())
        except HTTPStatusError as error:
            if error.response.status_code == 404:
                return None
            raise

    def apply(self, manifest: Object) -> Object:
        """Makes an object what the manifest says, whoever wrote it."""
        kind, namespace = manifest["kind"], manifest["metadata"].get("namespace")
        resource = _resource(kind)
        applied = self._client.patch(
            resource, name_of(manifest), manifest, namespace=namespace, patch_type=PatchType.APPLY, force=True
        )
        return dict(applied.to_dict())

    def create(self, manifest: Object) -> None:
        """Creates an object."""
        self._client.create(_resource(manifest["kind"])(manifest))

    def delete(self, kind: str, namespace: str | None, name: str) -> None:
        """Deletes an object and, in the background, what it owns."""
        try:
            self._client.delete(_resource(kind), name, namespace=namespace, cascade=CascadeType.BACKGROUND)
        except ApiError as error:
            if error.status.code != 404:
                raise

    def merge(self, kind: str, namespace: str, name: str, change: Object) -> None:
        """Changes some fields of an object."""
        self._client.patch(_resource(kind), name, change, namespace=namespace, patch_type=PatchType.MERGE)

    def write_status(self, kind: str, namespace: str, name: str, status: Object) -> None:
        """Writes fields of the status; those that are None go."""
        patch = {"status": status}
        resource = _resource(kind).Status
        try:
            self._client.patch(resource, name, patch, namespace=namespace, patch_type=PatchType.MERGE)
        except ApiError as error:
            if error.status.code != 404:  # it was deleted meanwhile
                raise


def name_of(found: Object) -> str:
    """Its name."""
    return str(found["metadata"]["name"])


def head(kind: str) -> Object:
    """The first two fields of a manifest."""
    group, version, _ = {**NAMESPACED, **CLUSTER_WIDE}[kind]
    return {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}


@cache
def _resource(kind: str) -> Any:
    if kind in NAMESPACED:
        group, version, plural = NAMESPACED[kind]
        return create_namespaced_resource(group, version, kind, plural)
    group, version, plural = CLUSTER_WIDE[kind]
    return create_global_resource(group, version, kind, plural)
