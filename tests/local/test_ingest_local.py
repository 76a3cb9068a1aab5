"""Ingestion through kfp.local: every later step is served from cache when the sources did not change."""

from pathlib import Path

import pytest
from kfp import compiler, components, dsl, local
from kfp.dsl import Dataset, Input

from headway.components._shared.component import component
from headway.components._shared.datasets import open_dataset
from headway.components.ingestion.component import ingest_data

CSV = "a,b\n1,x\n2,y\n3,z\n"


@component(image="tabular")
def count_rows(data: Input[Dataset], log: str) -> int:
    """Counts rows and leaves a mark each time it really runs.

    Args:
        data: Any dataset.
        log: File to append to.
    """
    from pathlib import Path

    from headway.components._shared.datasets import open_dataset

    with Path(log).open("a") as file:
        file.write(f"{data.path}\n")
    return open_dataset(data.path).rows


def runs(folder: Path, raw: Path, source: dict[str, object] | None = None) -> tuple[list[str], Path]:
    """Runs a pipeline once; gives the dataset's paths of all real runs of the second step, and where the data lies."""
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "root"),
        enable_caching=True,
        cache_root=str(folder / "cache"),
    )

    @dsl.pipeline(name="ingest-and-count")
    def pipeline(source: dict, log: str) -> int:  # type: ignore[type-arg]
        ingested = ingest_data(source=source)
        ingested.set_caching_options(False)
        return count_rows(data=ingested.outputs["data"], log=log).output

    task = pipeline(source={"uris": [str(raw)], **(source or {})}, log=str(folder / "log"))
    lines = (folder / "log").read_text().split()
    assert task.output == raw.read_text().count("\n") - 1
    return lines, Path(lines[-1])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "x.csv").write_text(CSV)
    return tmp_path / "x.csv"


def test_unchanged_sources_keep_their_address_and_the_next_step_comes_from_cache(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_ARTIFACTS", str(tmp_path / "home"))
    first, data = runs(tmp_path, raw)
    assert data.parent == tmp_path / "home" / "datasets"
    assert data.name == open_dataset(data).fingerprint
    assert runs(tmp_path, raw)[0] == first, "the second step did not run again"
    raw.write_text(CSV + "4,q\n")
    changed, _ = runs(tmp_path, raw)
    assert len(changed) == 2
    assert changed[0] != changed[1]
    raw.write_text(CSV)
    assert runs(tmp_path, raw)[0] == changed, "back to the first content: back to the first result"


def test_a_manifest_keeps_its_address_too(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_ARTIFACTS", str(tmp_path / "home"))
    source = {"data_uri": str(tmp_path / "sets")}
    first, data = runs(tmp_path, raw, source)
    assert [path.name for path in data.iterdir()] == ["manifest.json"]
    assert runs(tmp_path, raw, source)[0] == first


def test_without_a_home_the_data_lies_in_the_artifact(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADWAY_ARTIFACTS", raising=False)
    lines, data = runs(tmp_path, raw)
    assert data.is_relative_to(tmp_path / "root")
    assert len(runs(tmp_path, raw)[0]) == len(lines) + 1


def test_the_compiled_component_works_in_a_foreign_pipeline(tmp_path: Path, raw: Path) -> None:
    compiler.Compiler().compile(ingest_data, str(tmp_path / "ingest_data.yaml"))
    foreign = components.load_component_from_file(str(tmp_path / "ingest_data.yaml"))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    task = foreign(source={"uris": [str(raw)]})
    data = task.outputs["data"]
    assert open_dataset(data.path).rows == 3
    assert data.metadata["rows"] == 3


def test_a_failing_ingestion_ends_with_its_message(
    tmp_path: Path, raw: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw.write_text("a,b\n1\n")
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    with pytest.raises(RuntimeError, match="FAILURE"):
        ingest_data(source={"uris": [str(raw)]})
    lines = [line for line in capfd.readouterr().out.splitlines() if line.strip()]
    said = [line for line in lines if "data.broken_row" in line]
    assert "Line 2 of" in said[-1]
    assert not any("Traceback" in line for line in lines)
