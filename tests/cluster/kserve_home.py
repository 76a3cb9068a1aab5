"""An endpoint in a cluster that has two models to serve, in a namespace of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving
from headway.components.deployment.kserve.engine import KServeEngine
from tests.cluster.kserve_releases import NAME, Place, claim
from tests.cluster.kube import Kube, new_namespace
from tests.cluster.load import Load, steady_load
from tests.deployment_samples import Delivery, prepare
from tests.rollout_cases import failed, plan

SERVICE = "inferenceservices.serving.kserve.io"
# Of no account here: how fast a machine is that does other things meanwhile.
PATIENT = {"latency": {"p50_ms": 10_000, "p99_ms": 60_000, "requests": 20, "warm_up": 1}}


@dataclass
class Home:
    """The endpoint.

    Attributes:
        place: Its namespace, with a volume for the state folder.
        models: Two model folders by name.
        folder: Of the test, for artifacts.
        first: The model that is to have the traffic first.
        second: The other one.
        drain_s: How long pods that are to end answer; with less than the gateway lags, what goes too soon is missed.
    """

    place: Place
    models: Mapping[str, Path]
    folder: Path
    first: str
    second: str
    drain_s: int = 3

    def register(self) -> None:
        """Releases every model."""
        for name, model in self.models.items():
            prepare(self.place.folder / name, Path(self.place.state), model, engine="kserve")
        # In a cluster step and server are one user.
        subprocess.run(["chmod", "-R", "a+rX", self.place.state], check=True)

    def begin(self) -> None:
        """Gives the first model the traffic."""
        first = self.delivery(self.first)
        assert first.deploy().outcome == "deployed"
        self.settled(first)

    def delivery(self, name: str, *steps: Mapping[str, Any], **given: Any) -> Delivery:
        """A model on its way here, with files of its own in the test's folder.

        Args:
            name: Which.
            steps: Of its rollout.
            given: More of the rollout; `serving` and `kserve` are more of these.
        """
        if not (self.folder / name).exists():
            shutil.copytree(self.place.folder / name, self.folder / name)
        pods = {"service_account": None, "storage_uri": "pvc://state", "drain_s": self.drain_s}
        pods |= given.pop("kserve", {})
        serving = self.place.serving({**PATIENT, **given.pop("serving", {})}, **pods)
        made = Delivery(self.folder / name, Path(self.place.state), self.models[name], serving=serving, engine="kserve")
        plan(made, *steps, **given)
        return made

    def engine(self) -> KServeEngine:
        """An engine to look with."""
        return self.place.engine()

    def load(self, **options: Any) -> AbstractContextManager[Load]:
        """20 requests a second."""
        return steady_load(*self.place.caller(), **options)

    def digest(self) -> str | None:
        """Who answers."""
        return self.place.answering()

    def service(self) -> dict[str, Any]:
        """The InferenceService."""
        found: dict[str, Any] = self.place.kube.get(self.place.namespace, SERVICE, NAME)
        return found

    def weight(self) -> int | None:
        """The candidate's, as the service says; None where there is no candidate."""
        canaries = self.service()["spec"].get("canary") or ()
        return next((canary.get("trafficPercent", 0) for canary in canaries), None)

    def pods(self, digest: str) -> list[str]:
        """Names of a model's pods that are not being deleted."""
        found = self.place.kube.get(self.place.namespace, "pods")
        ours = [pod["metadata"] for pod in found if f"-v{digest[:8]}-" in pod["metadata"]["name"]]
        return [pod["name"] for pod in ours if "deletionTimestamp" not in pod]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """In the namespace."""
        return self.place.kube.kubectl("-n", self.place.namespace, *arguments, stdin=stdin)

    def patch(self, kind: str, name: str, change: Mapping[str, Any], *more: str) -> None:
        """A merge patch, as by a human."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(change), "--field-manager=human", *more)

    def free_the_lease(self) -> None:
        """What 20 s without a sign of life would do for a step that was killed."""
        self.patch("lease", f"headway-{NAME}", {"spec": {"holderIdentity": ""}})

    def until(self, done: Callable[[], Any], timeout_s: float = 120) -> None:
        """Waits."""
        end = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < end, f"not within {timeout_s} s"
            time.sleep(0.1)

    def rolled_to(self, weight: int) -> bool:
        """Whether the rollout that is under way has the gateway at this weight, and goes on with its next step."""
        progress = self.engine().progress()
        return progress is not None and progress.weight == weight and progress.step > 0

    def settled(self, delivery: Delivery | None = None) -> None:
        """This model, or either, has the traffic, and nothing of any rollout is left: object, pod, record or lease."""
        record = self.engine().lease.read()
        assert (record.candidate, record.progress) == (None, None)
        assert record.stable is not None
        assert delivery is None or record.stable.model_digest == delivery.digest
        version = record.stable.named(NAME)
        if record.way == "weights":
            there = [f"Deployment {version}", f"InferenceService {NAME}", f"Service {version}"]
            assert self.service()["spec"]["predictor"]["name"] == record.stable.name
        else:
            own = f"InferenceService {record.stable.service(NAME)}"
            there = [f"Deployment {version}", own, f"Service {NAME}", f"Service {version}"]
        assert self.place.left() == there
        assert self.place.kube.get(self.place.namespace, "lease", f"headway-{NAME}")["spec"]["holderIdentity"] == ""
        assert self.digest() == record.stable.model_digest


@contextmanager
def new_home(cluster: Kube, gateway: str, models: Mapping[str, Path], folder: Path, release: str) -> Iterator[Home]:
    """An endpoint without a model, whose two are released, in a namespace of its own that plays a release of KServe."""
    state = folder / "state"
    state.mkdir()
    with new_namespace(cluster) as name:
        claim(cluster, name, state)
        home = Home(Place(cluster, name, gateway, str(state), folder, release), models, folder / "test", *models)
        home.place.play(release)
        home.register()
        yield home
        cluster.kubectl("delete", "pv", name, "--wait=false")


def lost(load: Load) -> dict[tuple[int, object], int]:
    """Requests that failed, by second and by what came of them."""
    return dict(Counter((int(answer.sent_s), answer.status or answer.body) for answer in load.errors))


def told(delivery: Delivery, code: str, *words: str) -> HeadwayError:
    """The step fails with this code, and its message and remedy hold these words."""
    error = failed(delivery)
    assert error.code == code, str(error)
    for word in words:
        assert word in str(error), str(error)
    assert error.remedy
    return error


def serving_of(delivery: Delivery) -> Serving:
    """The parameter as the step reads it."""
    return parse(Serving, delivery.serving, parameter="serving")
