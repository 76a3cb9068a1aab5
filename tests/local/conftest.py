"""What the local tests share."""

import shutil

import pytest

from headway.components._shared.endpoints import list_endpoints, stop_endpoint
from tests.deployment_samples import Delivery, prepare, train_sample

QUICK = {"latency": {"requests": 20, "warm_up": 1, "p50_ms": 10_000, "p99_ms": 60_000}}


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Two models, released and registered; tests work on copies."""
    folder = tmp_path_factory.mktemp("registered")
    models = {"first": train_sample(folder / "a"), "second": train_sample(folder / "b", depth=2)}
    for name, model in models.items():
        prepare(folder / name, folder / "state", model)
    return folder, models


@pytest.fixture
def state(registered, tmp_path):
    """A copy of the state of the module's fixture `registered` (folder, models); its endpoints end with the test."""
    shutil.copytree(registered[0] / "state", tmp_path / "state")
    yield tmp_path / "state"
    for status in list_endpoints(str(tmp_path / "state")):
        stop_endpoint(str(tmp_path / "state"), status.endpoint.model_name)


def delivery(registered, state, name):
    folder = state.parent / name
    shutil.copytree(registered[0] / name, folder)
    return Delivery(folder, state, registered[1][name], serving=QUICK)


@pytest.fixture
def first(registered, state):
    return delivery(registered, state, "first")


@pytest.fixture
def second(registered, state):
    return delivery(registered, state, "second")
