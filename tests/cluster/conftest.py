"""Images, built once for all tests, and the cluster that they run in; a test skips with one line without them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.components._shared import images
from headway.components._shared.errors import HeadwayError
from images import build
from tests.cluster.katib import kubeconfig_for
from tests.cluster.kserve.__main__ import NOT_HERE
from tests.cluster.kserve.address import own_address
from tests.cluster.kserve.api import Api
from tests.cluster.kserve.gateway import running
from tests.cluster.kserve.install import knative_kind
from tests.cluster.kserve_home import Home, new_home
from tests.cluster.kube import Kube, new_namespace
from tests.cluster.s3 import S3, running_s3
from tests.deployment_samples import train_sample

HERE = Path(__file__).parent
TEST_CLUSTER = Path(__file__).resolve().parents[3] / "shared" / "cluster"
HOME = Path(os.environ.get("CLUSTER_HOME", "/var/cache/headway-cluster"))
# Tests set the variable for what they try.
GIVEN = os.environ.get("KUBECONFIG")
# The families whose images these tests run steps and servers in.
LOADED = ("tabular", "serving")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The core ends here where there is no cluster; a test's time begins when it has images and a cluster."""
    if config.option.markexpr.startswith("core") and (why_not := _no_cluster()):
        pytest.exit(f"no test in a cluster: {why_not}", returncode=0)
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def tool() -> str:
    """docker, podman or buildah."""
    if TEST_CLUSTER.is_dir():
        _prepare_machine()
    try:
        return build.find_tool(os.environ.get("HEADWAY_IMAGE_TOOL"))
    except HeadwayError:
        pytest.skip("no docker, podman or buildah answers here")


@pytest.fixture(scope="session")
def base(tool: str) -> str | None:
    """HEADWAY_IMAGE_BASE; where images cannot be pulled, the test cluster's own; else the Dockerfile's."""
    given = os.environ.get("HEADWAY_IMAGE_BASE")
    if given or tool == "docker" or not TEST_CLUSTER.is_dir():
        return given
    return _local_base()


@pytest.fixture(scope="session")
def image(tool: str, base: str | None) -> Callable[[str], str]:
    """Family to the name of its image, which is built when first asked for."""
    built: dict[str, str] = {}

    def named(family: str) -> str:
        if family not in built:
            build.build(tool, family, base=base)
            built[family] = images.reference(family)
        return built[family]

    return named


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A cluster that holds our images: KUBECONFIG's, where they must be loaded already, or the test cluster."""
    if "KUBECONFIG" in os.environ:
        yield Kube("kubectl", os.environ["KUBECONFIG"])
        return
    if why_not := _no_cluster():
        pytest.skip(why_not)
    tool, image = request.getfixturevalue("tool"), request.getfixturevalue("image")
    kube = Kube(str(HOME / "bin/kubectl"), str(HOME / "run/admin.kubeconfig"))
    was_up = kube.answers()
    _run(str(TEST_CLUSTER / "up"))
    with ThreadPoolExecutor(2) as pool:  # a build is work for one core
        for family, name in zip(LOADED, pool.map(image, LOADED), strict=True):
            _load(tool, name, family, tmp_path_factory.mktemp("archives"))
    yield kube
    if not was_up:
        _run(str(TEST_CLUSTER / "down"))


@pytest.fixture(scope="session")
def kserve(cluster: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the gateway answers: HEADWAY_GATEWAY's of a real KServe, a stand-in's that runs, or one of our own."""
    given = os.environ.get("HEADWAY_GATEWAY") or running(Api(cluster.kubeconfig))
    if given:
        yield given
        return
    log = tmp_path_factory.mktemp("kserve") / "log"
    command = [sys.executable, "-m", "tests.cluster.kserve", f"--kubeconfig={cluster.kubeconfig}"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=build.CHECKOUT, stdout=subprocess.PIPE, stderr=stream, text=True)
    assert process.stdout
    address = process.stdout.readline().strip()
    if not address:
        assert process.wait(30) == NOT_HERE, log.read_text()[-3000:]
        pytest.skip(f"the stand-in for KServe cannot run here: {log.read_text().strip()}")
    yield address
    process.terminate()
    assert process.wait(30) == 0, log.read_text()[-3000:]


@pytest.fixture
def knative(cluster: Kube) -> Iterator[None]:
    """Knative's kind of service, for as long as a test needs it: other tests are about clusters without it."""
    with knative_kind(cluster):
        yield


@pytest.fixture(scope="session")
def katib(cluster: Kube) -> Kube:
    """A cluster with Katib; the test cluster gets one, and a Katib that was left there its database back."""
    if "KUBECONFIG" not in os.environ:
        _run(str(TEST_CLUSTER / "katib-up"))
    elif "experiments.kubeflow.org" not in cluster.kubectl("get", "crd", "-o", "name"):
        pytest.skip("no Katib: this cluster does not know the kind Experiment")
    return cluster


@pytest.fixture
def own_katib(katib: Kube) -> Kube:
    """A Katib that a test may stop and set up otherwise: the test cluster's, or one that is there for that."""
    if GIVEN and not os.environ.get("HEADWAY_KATIB_IS_OURS"):
        pytest.skip("somebody else may use this cluster's Katib; set HEADWAY_KATIB_IS_OURS where nobody does")
    return katib


@pytest.fixture
def katib_namespace(katib: Kube, namespace: str) -> str:
    """A namespace of the test's own, in which Katib collects metrics."""
    katib.kubectl("label", "namespace", namespace, "katib.kubeflow.org/metrics-collector-injection=enabled")
    return namespace


@pytest.fixture(scope="session")
def s3(cluster: Kube) -> Iterator[S3]:
    """An S3 server on this machine that pods reach."""
    address = own_address(cluster.kubeconfig)
    if address.startswith("127."):
        pytest.skip("the cluster runs behind this machine's loopback, so its pods cannot reach an S3 server here")
    with running_s3(address) as server:
        yield server


@pytest.fixture
def namespace(cluster: Kube) -> Iterator[str]:
    """A namespace of the test's own."""
    with new_namespace(cluster) as name:
        yield name


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two small models of one endpoint."""
    folder = tmp_path_factory.mktemp("models")
    return {name: train_sample(folder / name, depth=depth) for name, depth in (("first", 3), ("second", 2))}


@pytest.fixture
def endpoint(
    request: pytest.FixtureRequest,
    cluster: Kube,
    kserve: str,
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Home]:
    """An endpoint without a model and without a past, on KServe 0.21 if the test's class does not play another one."""
    with new_home(cluster, kserve, models, tmp_path, getattr(request.cls, "plays", "0.21")) as home:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(cluster, home.place.namespace, tmp_path)))
        yield home


@pytest.fixture
def home(endpoint: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An endpoint with one of its models; whatever a test does to it, nothing may be left half done."""
    endpoint.begin()
    yield endpoint
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig_for(endpoint.place.kube, endpoint.place.namespace, tmp_path)))
    endpoint.settled()


def _no_cluster() -> str | None:
    """Why there is none and none can be started."""
    if "KUBECONFIG" in os.environ:
        return None
    if not TEST_CLUSTER.is_dir():
        return "KUBECONFIG is not set, and no test cluster is beside the checkout"
    return None if os.geteuid() == 0 else "KUBECONFIG is not set, and the test cluster needs root"


def _prepare_machine() -> None:
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")  # a machine without the rights that runc asks for
    if os.geteuid() == 0:
        _run(str(TEST_CLUSTER / "setup"))


def _load(tool: str, name: str, family: str, folder: Path) -> None:
    """Imports an image into the test cluster, unless it is there: that takes as long as to build it."""
    known, wanted = HOME / f"run/headway-{family}.id", build.image_id(tool, name)
    if known.exists() and known.read_text() == wanted:
        return
    archive = folder / f"{family}.tar"
    build.save(tool, name, archive)
    _run(str(TEST_CLUSTER / "load"), str(archive))
    archive.unlink()
    known.write_text(wanted)


def _local_base() -> str:
    """The test cluster's Python, with a history, which buildah's cache of layers wants to see."""
    name = "localhost/python:3.11-base"
    if subprocess.run(["buildah", "inspect", "--type=image", name], capture_output=True, check=False).returncode:
        _run("buildah", "pull", "--quiet", f"docker-archive:{HOME / 'images/python.tar'}")
        container = _run("buildah", "from", "localhost/python:3.11").strip()
        _run("buildah", "commit", "--quiet", "--squash", f"--timestamp={build.EPOCH}", container, name)
        _run("buildah", "rm", container)
    return name


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr[-3000:]}"
    return done.stdout
