"""A window that is profiled in parts gives the bytes of one pass, and the parts may be those of a loop."""

import random

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components.monitoring.drift.detect import detect_drift, merge_profiles, profile_shard
from headway.components.monitoring.drift.result import DriftResult
from tests.deployment_samples import flights, train_sample

OUTPUTS = ("findings.json", "profile.json", "metrics", "report.html")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return LocalArtifact(str(train_sample(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def parts(tmp_path, model):
    """The profiles of four parts, and the whole."""
    rows, made = flights(1000, seed=9), []
    write_dataset({"rows": rows}, tmp_path / "whole")
    for number in range(4):
        write_dataset({"rows": rows[250 * number : 250 * (number + 1)]}, tmp_path / f"part-{number}")
        made.append(LocalArtifact(str(tmp_path / f"profile-{number}.json")))
        profile_shard(LocalArtifact(str(tmp_path / f"part-{number}")), model, made[-1])
    return made


def found(folder, model, name, **given):
    outputs = [LocalArtifact(str(folder / f"{name}-{output}")) for output in OUTPUTS]
    detect_drift(given.pop("data", None), model, *outputs, drift={}, **given)
    return DriftResult.model_validate_json((folder / f"{name}-findings.json").read_bytes())


def test_parts_give_the_bytes_of_the_whole_and_the_same_findings(tmp_path, model, parts):
    merged = LocalArtifact(str(tmp_path / "merged.json"))
    random.Random(0).shuffle(parts)
    merge_profiles(parts, merged)
    whole = found(tmp_path, model, "whole", data=LocalArtifact(str(tmp_path / "whole")))
    assert (tmp_path / "merged.json").read_bytes() == (tmp_path / "whole-profile.json").read_bytes()
    together = found(tmp_path, model, "parts", window=merged)
    assert together == whole.model_copy(update={"fingerprint": ""})


def test_rows_and_profile_at_once_or_neither_are_refused(tmp_path, model, parts):
    for given in ({}, {"data": LocalArtifact(str(tmp_path / "whole")), "window": parts[0]}):
        with pytest.raises(HeadwayError, match=r"drift\.no_window"):
            found(tmp_path, model, "no", **given)


def test_the_parts_of_a_loop_compile_to_a_pipeline(tmp_path):
    from kfp import compiler, dsl

    from headway.components import detect_drift, ingest_data, merge_profiles, profile_shard, resolve_champion

    @dsl.pipeline(name="wide")
    def wide(state_uri: str) -> None:
        champion = resolve_champion(model_name="flights", state_uri=state_uri).outputs["champion"]
        shards = [{"uris": [f"gs://b/{n}.parquet"]} for n in range(2)]
        with dsl.ParallelFor(shards) as shard:
            part = profile_shard(data=ingest_data(source=shard).outputs["data"], reference=champion)
        merged = merge_profiles(profiles=dsl.Collected(part.outputs["profile"]))
        detect_drift(window=merged.outputs["profile"], reference=champion)

    compiler.Compiler().compile(wide, str(tmp_path / "wide.yaml"))
    assert "merge-profiles" in (tmp_path / "wide.yaml").read_text()
