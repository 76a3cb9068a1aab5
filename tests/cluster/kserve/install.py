"""What must be in the cluster before the stand-in can work: KServe's and the Gateway API's kinds."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.cluster.kserve.address import own_address
from tests.cluster.kserve.api import Api, Object, head
from tests.cluster.kserve.gateway import NGINX_PATH
from tests.cluster.kserve.objects import DOMAIN, GATEWAY
from tests.cluster.kserve.webhook import NAME
from tests.cluster.kube import Kube

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.4.0"
KSERVE_KINDS = ("inferenceservices", "servingruntimes", "clusterservingruntimes")
KNATIVE = "knative.dev/serving@v0.51.0"
GATEWAY_KINDS = ("gatewayclasses", "gateways", "httproutes")


def missing(kubeconfig: str | None, schemas: Path) -> str | None:
    """Why the stand-in cannot work here, or None."""
    if kubeconfig is None:
        return "KUBECONFIG is not set"
    if own_address(kubeconfig).startswith("127."):
        return "the cluster runs behind this machine's loopback and cannot reach it"
    if not schemas.is_dir():
        return "KServe's schemas are not beside the checkout"
    if shutil.which("go") is None:
        return "there is no Go to fetch the Gateway API's schemas"
    return None if shutil.which("nginx", path=NGINX_PATH) else "there is no nginx"


def foreign(api: Api) -> str | None:
    """Why the stand-in must not work here: the cluster has a KServe of its own, whose settings it would overwrite."""
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        found = api.get(kind, None, NAME)
        if found and any("service" in each["clientConfig"] for each in found["webhooks"]):
            return "the cluster has a KServe of its own; set HEADWAY_GATEWAY to the address of its gateway"
    if api.get("Deployment", GATEWAY[0], "kserve-controller-manager"):
        return "the cluster has a controller of KServe; set HEADWAY_GATEWAY to the address of its gateway"
    return None


def install(api: Api, schemas: Path) -> None:
    """Makes the kinds, KServe's namespace and what its configuration says; waits until the kinds are served."""
    kinds = [json.loads((schemas / f"kserve_{kind}.json").read_text()) for kind in KSERVE_KINDS]
    kinds += [yaml.safe_load(path.read_text()) for path in _gateway_api()]
    for kind in kinds:
        kind.pop("status", None)
        if api.get("CustomResourceDefinition", None, kind["metadata"]["name"]) is None:
            api.apply(kind)
    for kind in kinds:
        _wait_until_served(api, kind["metadata"]["name"])
    api.apply({**head("Namespace"), "metadata": {"name": GATEWAY[0]}})
    settings = {
        "deploy": {"defaultDeploymentMode": "Standard"},
        "ingress": {"enableGatewayApi": True, "kserveIngressGateway": "/".join(GATEWAY), "ingressDomain": DOMAIN},
    }
    api.apply(
        {
            **head("ConfigMap"),
            "metadata": {"name": "inferenceservice-config", "namespace": GATEWAY[0]},
            "data": {key: json.dumps(value) for key, value in settings.items()},
        }
    )


@contextmanager
def knative_kind(kube: Kube) -> Iterator[None]:
    """Lets the cluster know Knative's services, as one that has Knative Serving does; unless this one has it."""
    api = Api(kube.kubeconfig)
    kind = yaml.safe_load(_module(KNATIVE, "config/core/300-resources/service.yaml").read_text())
    if api.get("CustomResourceDefinition", None, kind["metadata"]["name"]):
        yield
        return
    api.apply(kind)
    _wait_until_served(api, kind["metadata"]["name"])
    yield
    kube.kubectl("delete", "crd", kind["metadata"]["name"], "--wait=true")


def _gateway_api() -> list[Path]:
    folder = _module(GATEWAY_API, "config/crd/standard")
    return [folder / f"gateway.networking.k8s.io_{kind}.yaml" for kind in GATEWAY_KINDS]


def _module(name: str, path: str) -> Path:
    """A file of a Go module."""
    told = subprocess.run(["go", "mod", "download", "-json", name], capture_output=True, text=True, check=True)
    return Path(json.loads(told.stdout)["Dir"], path)


def _wait_until_served(api: Api, name: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found: Object = api.get("CustomResourceDefinition", None, name) or {}
        conditions = found.get("status", {}).get("conditions") or []
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{name} is not established")
