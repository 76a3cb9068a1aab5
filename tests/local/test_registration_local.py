"""The components of the room registration through kfp.local, in a pipeline that is not ours."""

import json
from pathlib import Path

import pytest
from kfp import dsl, local

from headway.components import check_verdict, register_model, resolve_champion
from headway.components._shared.artifacts import is_champion
from headway.components._shared.state import RUN_ID_VARIABLE
from headway.components.registration.champion import ARTIFACTS_VARIABLE
from tests.registry_samples import make_model, make_verdict, new_state


@dsl.pipeline(name="somebody-elses")
def somebody_elses(model_uri: str, verdict_uri: str, state_uri: str) -> None:
    """Asks the verdict first, although it need not."""
    model = dsl.importer(artifact_uri=model_uri, artifact_class=dsl.Model)
    verdict = dsl.importer(artifact_uri=verdict_uri, artifact_class=dsl.Artifact)
    resolve_champion(model_name="flights", state_uri=state_uri)
    blessed = check_verdict(verdict=verdict.output)
    with dsl.If(blessed.output == True):  # noqa: E712 - KFP's language
        register_model(model=model.output, verdict=verdict.output, model_name="flights", state_uri=state_uri)


@pytest.mark.parametrize("blessed", [True, False])
def test_a_pipeline_of_somebody_else_registers_what_is_blessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blessed: bool
) -> None:
    for name in (RUN_ID_VARIABLE, ARTIFACTS_VARIABLE, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    model = make_model(tmp_path / "model")
    verdict = make_verdict(tmp_path / "verdict.json", model, blessed=blessed)
    state = new_state(tmp_path / "state")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"), enable_caching=False)
    somebody_elses(model_uri=str(model), verdict_uri=str(verdict), state_uri=state)
    (champion,) = (tmp_path / "root").rglob("champion")
    assert not is_champion(champion)
    records = [json.loads(path.read_text()) for path in (tmp_path / "root").rglob("registration")]
    assert [record["outcome"] for record in records] == (["registered"] if blessed else [])
    assert len(list((tmp_path / "root").rglob("card"))) == len(records)
