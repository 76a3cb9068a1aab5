"""What the local tests share."""

import shutil

import pytest

from headway.components._shared.endpoints import list_endpoints, stop_endpoint


@pytest.fixture
def state(registered, tmp_path):
    """A copy of the state of the module's fixture `registered` (folder, models); its endpoints end with the test."""
    shutil.copytree(registered[0] / "state", tmp_path / "state")
    yield tmp_path / "state"
    for status in list_endpoints(str(tmp_path / "state")):
        stop_endpoint(str(tmp_path / "state"), status.endpoint.model_name)
