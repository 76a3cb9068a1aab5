"""Images, built once for all tests, and the cluster that they run in; a test skips with one line without them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from headway.components._shared import images
from headway.components._shared.errors import HeadwayError
from images import build
from tests.cluster.kube import Kube

TEST_CLUSTER = Path(__file__).resolve().parents[3] / "shared" / "cluster"
HOME = Path(os.environ.get("CLUSTER_HOME", "/var/cache/headway-cluster"))


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
    if not TEST_CLUSTER.is_dir():
        pytest.skip("no cluster: KUBECONFIG is not set and no test cluster is there")
    tool, image = request.getfixturevalue("tool"), request.getfixturevalue("image")
    kube = Kube(str(HOME / "bin/kubectl"), str(HOME / "run/admin.kubeconfig"))
    was_up = kube.answers()
    _run(str(TEST_CLUSTER / "up"))
    for family in build.FAMILIES:
        archive = tmp_path_factory.mktemp("archives") / f"{family}.tar"
        build.save(tool, image(family), archive)
        _run(str(TEST_CLUSTER / "load"), str(archive))
        archive.unlink()
    yield kube
    if not was_up:
        _run(str(TEST_CLUSTER / "down"))


@pytest.fixture
def namespace(cluster: Kube) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _prepare_machine() -> None:
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")  # a machine without the rights that runc asks for
    if os.geteuid() == 0:
        _run(str(TEST_CLUSTER / "setup"))


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
