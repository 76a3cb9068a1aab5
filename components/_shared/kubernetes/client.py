"""The connection: reads, server-side apply, deletion, with bounded retries and a named error for every refusal."""

from __future__ import annotations

import copy
import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes.faults import asked_to_wait_s, conflicts_of, fault_of, is_absence, is_passing
from headway.components._shared.kubernetes.kinds import ACCESS_REVIEW, EVENT, Kind

if TYPE_CHECKING:
    from lightkube import Client

Object = dict[str, Any]
Objects = list[Object]
T = TypeVar("T")

log = logging.getLogger("headway")

FIELD_MANAGER = "headway"
_PATIENCE_S = 30.0
_CLUSTER_WIDE = ("Namespace", "SelfSubjectAccessReview", "CustomResourceDefinition")


def in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


class Cluster:
    """One namespace, reached by the pod's service account or by a kubeconfig (`KUBECONFIG`, `~/.kube/config`).

    Every call is tried again for up to 30 s while the API server cannot be reached, asks for patience (Retry-After is
    kept to) or breaks down; what it refuses is raised at once.

    Args:
        namespace: The namespace; by default the pod's own, or that of the kubeconfig's context.
        patience_s: How long a failing call is tried again.

    Raises:
        HeadwayError: `kubernetes.no_cluster` when nothing says where one is; from every call, `kubernetes.unreachable`,
            `kubernetes.certificate`, `kubernetes.unauthorised`, `kubernetes.forbidden`, `kubernetes.refused`,
            `kubernetes.quota`, `kubernetes.conflict`, `kubernetes.kind_missing`, `kubernetes.webhook_down`,
            `kubernetes.failing`.
    """

    def __init__(self, namespace: str | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        self._client = _connect(namespace)
        self._patience_s = patience_s
        self.namespace: str = self._client.namespace
        self.server: str = self._client.config.cluster.server

    def get(self, kind: Kind, name: str) -> Object | None:
        """The object, or None where there is none of that name."""
        return self._call("get", kind, lambda: _plain(self._client.get(_resource(kind), name)), absent=None)

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> Objects:
        """The objects with these labels, in the API's order."""
        asked: dict[str, Any] = dict(labels or {})
        return self._call("list", kind, lambda: [_plain(o) for o in self._client.list(_resource(kind), labels=asked)])

    def events_of(self, name: str) -> Objects:
        """Events about the object of that name, the newest first."""
        about: dict[str, Any] = {"involvedObject.name": name}

        def call() -> Objects:
            return [_plain(event) for event in self._client.list(_resource(EVENT), fields=about)]

        return _newest_first(self._call("list", EVENT, call))

    def events_below(self, name: str) -> Objects:
        """Events about the object of that name and about those whose names begin with it, the newest first."""
        found = self._call("list", EVENT, lambda: [_plain(event) for event in self._client.list(_resource(EVENT))])
        about = [event for event in found if f"{event['involvedObject'].get('name')}-".startswith(f"{name}-")]
        return _newest_first(about)

    def apply(
        self, manifest: Object, *, force: bool = False, dry_run: bool = False, yielding: str = "", taking: str = ""
    ) -> Object:
        """Server-side apply as `headway`: fields that are no longer sent go, those of others stay.

        Args:
            manifest: The object.
            force: Take fields that somebody else has changed, instead of `kubernetes.conflict`.
            dry_run: Only ask whether the server would take it, webhooks included.
            yielding: Leave others' changes below this path (such as `.spec.predictor`) as they are, with a warning.
            taking: Take fields at or below this path that somebody else has changed, with a warning.
        """
        from lightkube import ApiError
        from lightkube.types import PatchType

        kind, name = kind_of(manifest), manifest["metadata"]["name"]

        def call() -> Object:
            sent, forced = copy.deepcopy(manifest), force
            while True:
                try:
                    return _plain(
                        self._client.patch(
                            _resource(kind), name, sent, patch_type=PatchType.APPLY, force=forced, dry_run=dry_run
                        )
                    )
                except ApiError as error:
                    fields = conflicts_of(error)
                    left = [field for field in fields if _is_below(field, yielding)]
                    taken = [field for field in fields if _is_below(field, taking)]
                    known = bool(fields) and not forced and {*left, *taken} == {*fields}
                    if not (known and all(_dropped(sent, field.removeprefix(".")) for field in left)):
                        raise
                    if left:
                        log.warning(f"{name}: somebody else has changed {', '.join(left)}, which is left as it is")
                    if taken:
                        log.warning(f"{name}: somebody else has changed {', '.join(taken)}, which is taken back")
                    forced = bool(taken)

        return self._call("patch", kind, call)

    def create(self, manifest: Object) -> Object:
        """Creates an object; `kubernetes.exists` where there is one of that name."""
        kind = kind_of(manifest)
        return self._call("create", kind, lambda: _plain(self._client.create(_resource(kind)(manifest))))

    def replace(self, manifest: Object) -> Object:
        """Writes an object as it was read but changed; `kubernetes.conflict` if somebody else has written meanwhile."""
        kind = kind_of(manifest)
        return self._call("update", kind, lambda: _plain(self._client.replace(_resource(kind)(manifest))))

    def annotate(self, kind: Kind, name: str, annotations: Mapping[str, str]) -> None:
        """Sets annotations of an object and nothing else; no error if it is gone."""
        from lightkube.types import PatchType

        change = {"metadata": {"annotations": dict(annotations)}}

        def call() -> None:
            self._client.patch(_resource(kind), name, change, patch_type=PatchType.MERGE)

        self._call("patch", kind, call, absent=None)

    def delete(self, kind: Kind, name: str) -> bool:
        """Deletes in the background what it owns too; returns whether there was anything to delete."""
        from lightkube.types import CascadeType

        def call() -> bool:
            self._client.delete(_resource(kind), name, cascade=CascadeType.BACKGROUND)
            return True

        return self._call("delete", kind, call, absent=False)

    def log(self, pod: str, container: str | None = None, lines: int = 50) -> str:
        """The last lines of a container's log; empty if it has none yet."""
        from lightkube.resources.core_v1 import Pod

        def call() -> str:
            return "".join(self._client.log(pod, container=container, tail_lines=lines))

        try:
            return self._call("get", Kind("", "v1", Pod.__name__, "pods/log"), call, absent="")
        except HeadwayError as error:
            if error.code in ("kubernetes.refused", "kubernetes.failing"):
                return ""  # the container has not started, or its node has lost the log
            raise

    def fields(self, kind: Kind) -> frozenset[str]:
        """Names of the fields below `spec` by the API's own description, which accounts may read unless told otherwise.

        Empty where it does not have the kind, says nothing of its fields, or may not be read.
        """
        from lightkube.core.generic_client import BasicRequest

        client = self._client._client
        path = f"openapi/v3/apis/{kind.group}/{kind.version}"

        def call() -> Object:
            answer = client.send(client.build_adapter_request(BasicRequest("GET", path, None, {})))
            if answer.status_code == 404:
                return {}
            client.raise_for_status(answer)  # type: ignore[no-untyped-call]
            return dict(answer.json())

        try:
            said = self._call("get", kind, call)
        except HeadwayError as error:
            if error.code != "kubernetes.forbidden":
                raise
            said = {}
        for name, schema in said.get("components", {}).get("schemas", {}).items():
            if name.endswith(f".{kind.name}"):
                return frozenset(schema.get("properties", {}).get("spec", {}).get("properties", {}))
        return frozenset()

    def may(self, verb: str, kind: Kind) -> bool:
        """Whether this step's account has a right in this namespace."""
        resource, _, subresource = kind.plural.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "group": kind.group, "resource": resource}
        if subresource:
            attributes["subresource"] = subresource
        review = self.create(
            {**ACCESS_REVIEW.head, "metadata": {}, "spec": {"resourceAttributes": attributes}},
        )
        return bool(review["status"].get("allowed"))

    def _call(self, verb: str, kind: Kind, call: Callable[[], T], **absent: T) -> T:
        from httpx2 import HTTPError
        from lightkube import ApiError

        end, pause = time.monotonic() + self._patience_s, 0.1
        while True:
            try:
                return call()
            except HTTPError as error:
                if "absent" in absent and isinstance(error, ApiError) and is_absence(error):
                    return absent["absent"]
                wait = max(pause * (0.5 + random.random()), asked_to_wait_s(error))
                if not is_passing(error) or time.monotonic() + wait > end:
                    raise fault_of(error, verb, kind, self.namespace, self.server) from error
                time.sleep(wait)
                pause = min(2 * pause, 5.0)


def _connect(namespace: str | None) -> Client:
    from lightkube import Client
    from lightkube.core.exceptions import ConfigError

    # KFP's executor shows what any library says; a line a request would drown the step's own.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        return Client(namespace=namespace, field_manager=FIELD_MANAGER)
    except (ConfigError, OSError, KeyError) as error:
        raise HeadwayError(
            "kubernetes.no_cluster",
            f"There is no Kubernetes cluster to talk to: {error}",
            remedy="Run this step in a cluster, or set KUBECONFIG to the file that kubectl uses.",
        ) from error


@cache
def _resource(kind: Kind) -> Any:
    from lightkube.generic_resource import create_global_resource, create_namespaced_resource

    make = create_global_resource if kind.name in _CLUSTER_WIDE else create_namespaced_resource
    return make(kind.group, kind.version, kind.name, kind.plural)


def _is_below(field: str, path: str) -> bool:
    return bool(path) and (field == path or field.startswith((f"{path}.", f"{path}[")))


def _dropped(place: Object, field: str) -> bool:
    """Takes a field such as `spec.predictor.maxReplicas` out of an object; False if it is not found by its name.

    Keys may have dots themselves, as those of node selectors and annotations do.
    """
    if field in place:
        del place[field]
        return True
    inner = [key for key, value in place.items() if isinstance(value, dict) and field.startswith(f"{key}.")]
    return any(_dropped(place[key], field[len(key) + 1 :]) for key in sorted(inner, key=len, reverse=True))


def _plain(found: Any) -> Object:
    return dict(found.to_dict())


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a manifest."""
    from headway.components._shared.kubernetes import kinds

    for kind in vars(kinds).values():
        if isinstance(kind, Kind) and (kind.api_version, kind.name) == (manifest["apiVersion"], manifest["kind"]):
            return kind
    raise LookupError(f"kinds.py does not know {manifest['apiVersion']} {manifest['kind']}")


def _newest_first(events: Objects) -> Objects:
    return sorted(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "", reverse=True)
