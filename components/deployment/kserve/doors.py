"""Ways through the gateway to single Services, for steps that a mesh lets ask nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.components._shared.kubernetes import Cluster
from headway.components._shared.kubernetes.kinds import HTTP_ROUTE, SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve.config import KServe
from headway.components.deployment.kserve.manifest import OURS


def gateway_address(settings: KServe, host: str) -> Address:
    """The gateway, asked for a host."""
    assert settings.gateway is not None
    return Address(settings.gateway.rstrip("/"), {"Host": host}, settings.token_file)


def door_to(
    cluster: Cluster, settings: KServe, service: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Address:
    """The address of a Service through the gateway; its route is made, unless it is there, and goes with it.

    Args:
        cluster: Where.
        settings: With `gateway` and `through_gateway`.
        service: The Service.
        headers: What the gateway is to tell who answers.
    """
    assert settings.through_gateway is not None
    name = service["metadata"]["name"]
    host = f"{name}-{cluster.namespace}.{settings.through_gateway.domain}"
    wanted = _route(settings.through_gateway.parent, host, service, headers or {})
    found = cluster.get(HTTP_ROUTE, name)
    if found is None or not _leads(found, wanted):
        cluster.apply(wanted)
    return gateway_address(settings, host)


def _leads(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a route that is there leads from the same host, at the same gateway; the server fills in the rest."""
    spec, asked = found["spec"], wanted["spec"]
    parents = [{key: parent.get(key) for key in ("namespace", "name")} for parent in spec.get("parentRefs") or ()]
    return (spec.get("hostnames"), parents) == (asked["hostnames"], asked["parentRefs"])


def _route(parent: str, host: str, service: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    namespace, _, gateway = parent.partition("/")
    name, uid = service["metadata"]["name"], service["metadata"]["uid"]
    told = [{"name": key, "value": value} for key, value in headers.items()]
    rule: dict[str, Any] = {"backendRefs": [{"name": name, "port": service["spec"]["ports"][0]["port"]}]}
    if told:
        rule["filters"] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": told}}]
    return {
        **HTTP_ROUTE.head,
        "metadata": {
            "name": name,
            "labels": OURS,
            "ownerReferences": [{**SERVICE.head, "name": name, "uid": uid}],
        },
        "spec": {
            "parentRefs": [{"namespace": namespace, "name": gateway}],
            "hostnames": [host],
            "rules": [rule],
        },
    }
