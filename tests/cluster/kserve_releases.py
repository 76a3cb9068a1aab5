"""What the tests of the engine kserve ask of a cluster: released models in a bucket, and an engine that serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.config import parse
from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.releases import write_release
from headway.components._shared.state import State
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Release
from headway.components.deployment.kserve.engine import KServeEngine
from headway.components.deployment.kserve.routes import until
from tests.cluster.kserve.releases import LABEL
from tests.cluster.kube import Kube
from tests.cluster.load import ask
from tests.cluster.s3 import S3
from tests.deployment_samples import Delivery

NAME = "flights"
ASK = f"/v2/models/{NAME}/ready"
WAYS = {"weights": "0.21", "two_services": "0.19", "knative": "0.19-knative"}
SMALL = {"cpu": "100m", "memory": "600Mi"}


def on_each_way(*, core: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Gives a test the fixture `place` once for each way that traffic can move; some of them are core tests."""
    each = [pytest.param(plays, id=way, marks=pytest.mark.core if way in core else ()) for way, plays in WAYS.items()]
    return pytest.mark.parametrize("place", each, indirect=True)


@dataclass(frozen=True)
class Place:
    """A namespace that may read the bucket.

    Attributes:
        kube: The cluster.
        namespace: The test's own.
        gateway: Where the gateway answers.
        state: The state folder.
        folder: For the test's files.
        plays: The release of KServe that the stand-in plays here.
    """

    kube: Kube
    namespace: str
    gateway: str
    state: str
    folder: Path
    plays: str = "0.21"

    @property
    def weights(self) -> tuple[int, ...]:
        """What a candidate can be given in a rollout."""
        return (10, 50, 100) if self.plays in ("0.21", "0.19-knative") else (100,)

    def caller(self) -> tuple[str, dict[str, str]]:
        """URL and headers of a caller: those of the endpoint's own Service where it has one, else the gateway's."""
        entrance = self.kube.get(self.namespace, "service", NAME)
        if entrance is None:
            return self.gateway + ASK, self.headers
        return f"http://{entrance['spec']['clusterIP']}{ASK}", {}

    def answering(self) -> str | None:
        """Digest of the model that a caller gets an answer from; None where there is no way in."""
        answer = ask(*self.caller())
        return answer.headers[DIGEST_HEADER] if answer.status == 200 else None

    @property
    def headers(self) -> dict[str, str]:
        """By which the gateway knows the endpoint."""
        route = f"{NAME}-predictor." if self.plays.endswith("knative") else f"{NAME}-"
        return {"Host": f"{route}{self.namespace}.example.com"}

    def serving(self, given: Mapping[str, Any] | None = None, **kserve: Any) -> dict[str, Any]:
        """The parameter `serving`."""
        pods = {"namespace": self.namespace, "service_account": "serving", "gateway": self.gateway, "resources": SMALL}
        if self.plays.endswith("knative"):  # else a cluster that has both takes weights
            pods["traffic"] = "knative"
        return {"start_timeout_s": 120, **(given or {}), "kserve": {**pods, "drain_s": 5, **kserve}}

    def engine(self, given: Mapping[str, Any] | None = None, **kserve: Any) -> KServeEngine:
        """An engine as a step has it."""
        return KServeEngine(self.state, NAME, parse(Serving, self.serving(given, **kserve), parameter="serving"))

    def release(self, model: Path, **changes: Any) -> Release:
        """Releases a model, as register_model does."""
        delivery = Delivery(self.folder / model.parent.name, self.folder, model)
        delivery.folder.mkdir(exist_ok=True)
        delivery.judge()
        uri, written = write_release(State(self.state), NAME, model, delivery.folder / "verdict.json")
        told = {"model_digest": written.model_digest, "manifest_sha256": written.manifest_sha256, "uri": uri}
        told |= {"model_name": NAME, "environment": "dev", "version": "1", "threshold": 0.3}
        return Release(**{**told, **changes})

    def play(self, release: str) -> None:
        """Lets the stand-in play a release of KServe here."""
        self.kube.kubectl("label", "--overwrite", "namespace", self.namespace, f"{LABEL}={release}")

    def left(self) -> list[str]:
        """Deployments and services that are there, and whether a candidate stands beside the stable version."""
        found = self.kube.get(self.namespace, "deployments,services,inferenceservices.serving.kserve.io") or []
        beside = [f"canary of {o['metadata']['name']}" for o in found if (o.get("spec") or {}).get("canary")]
        return sorted([f"{o['kind']} {o['metadata']['name']}" for o in found] + beside)

    def is_empty(self) -> bool:
        """Whether nothing is there, once what Kubernetes collects in the background is gone."""
        return until(lambda: self.left() == [], 20)


def prepare(kube: Kube, namespace: str, s3: S3) -> None:
    """Lets the pods of a namespace read the bucket."""
    kube.apply(namespace, s3.secret())
    kube.apply(namespace, s3.account())


def claim(kube: Kube, namespace: str, folder: Path) -> None:
    """A volume claim `state` on a folder of this machine; the volume is called like the namespace."""
    size = {"storage": "1Gi"}
    volume = {
        "hostPath": {"path": str(folder)},
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "claimRef": {"name": "state", "namespace": namespace},
    }
    kube.apply(
        namespace, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": volume}
    )
    asked = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": size},
        "storageClassName": "",
        "volumeName": namespace,
    }
    kube.apply(
        namespace, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "state"}, "spec": asked}
    )
