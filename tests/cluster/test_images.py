"""The images as they are built: what they hold, what they don't, and that every component starts in its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headway.components._shared import images
from headway.components._shared.code import code_digest
from images import build
from tests.cluster.compiled_step import compiled_step, names

pytestmark = pytest.mark.timeout(1800)  # the first build fetches every dependency

# Megabytes that a family adds to its base. polars' engine alone is 178, the charts of reports 88, Arrow 100.
LIMITS_MB = {"base": 300, "tabular": 950, "serving": 800, "monitoring": 1200}


@pytest.mark.parametrize("family", build.FAMILIES)
def test_every_component_finds_what_it_imports_in_its_own_image(tool, image, family):
    lines = [step.import_line for step in map(compiled_step, names()) if step.image == images.reference(family)]
    program = "\n".join(["import kfp.dsl.executor_main", *lines, "print('all there')"])
    told = build.run(tool, image(family), ["env", "_KFP_RUNTIME=true", "python3", "-c", program])
    assert told.strip().endswith("all there")


def test_the_server_answers_in_its_image(tool, image):
    told = build.run(tool, image("serving"), ["python", "-m", "headway.components.serving", "--help"])
    assert "--manifest-sha256" in told
    build.run(
        tool,
        image("serving"),
        ["python", "-c", "import headway.components.serving.server, headway.components.serving.model"],
    )


@pytest.mark.parametrize("family", build.FAMILIES)
def test_a_container_runs_as_a_user_that_may_write_nothing_but_tmp(tool, image, family):
    told = build.run(
        tool, image(family), ["sh", "-c", "id -u; whoami; echo $HOME $OMP_NUM_THREADS; touch /tmp/x && echo yes"]
    )
    assert told.split() == ["65532", "headway", "/tmp", "1", "yes"]
    nowhere = (
        "find / -xdev -path /tmp -prune -o -path /var/tmp -prune -o -path /proc -prune -o -type d -writable -print"
    )
    assert build.run(tool, image(family), ["sh", "-c", f"{nowhere} 2>/dev/null || true"]).split() in ([], ["/run/lock"])


@pytest.mark.parametrize("family", build.FAMILIES)
def test_no_compiler_and_no_cache_is_left_and_bytecode_is_there(tool, image, family):
    look = "command -v gcc cc make; find /root/.cache /tmp /build /run/secrets 2>/dev/null | grep -v '^/tmp$'; true"
    assert build.run(tool, image(family), ["sh", "-c", look], user="0") == ""
    bytecode = "import headway.components._shared.errors as errors, os; print(os.path.exists(errors.__cached__))"
    assert build.run(tool, image(family), ["python", "-c", bytecode]).strip() == "True"


@pytest.mark.parametrize("family", build.FAMILIES)
def test_an_image_is_no_larger_than_it_has_to_be(tool, image, family):
    added = int(build.run(tool, image(family), ["du", "-sk", "/opt/headway"], user="0").split()[0]) * 1024
    assert added < LIMITS_MB[family] * 1e6


def test_the_code_of_an_image_is_known_by_the_digest_that_a_checkout_computes(tool, image):
    ask = "from headway.components._shared.code import code_digest; print(code_digest())"
    assert build.run(tool, image("tabular"), ["python", "-c", ask]).strip() == code_digest()


def test_built_again_from_another_place_and_index_an_image_is_the_same(tool, base, image, monkeypatch, tmp_path):
    first = build.image_id(tool, image("base"))
    clone = _clone(tmp_path)
    with (clone / "components/training/fit.py").open("a") as stream:
        stream.write("# a change in a room that this family does not use\n")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "packages.example")
    monkeypatch.setenv("PIP_TIMEOUT", "77")
    assert build.build(tool, "base", base=base, cache=False, name="headway-again", checkout=clone) == first


def test_a_change_in_a_room_leaves_the_images_that_do_not_use_it(tool, base, image, tmp_path):
    first = {family: build.image_id(tool, image(family)) for family in ("serving", "tabular")}
    clone = _clone(tmp_path)
    with (clone / "components/training/fit.py").open("a") as stream:
        stream.write("# changed\n")
    again = {family: build.build(tool, family, base=base, name="headway-changed", checkout=clone) for family in first}
    assert again["serving"] == first["serving"]
    assert again["tabular"] != first["tabular"]


def _clone(folder: Path) -> Path:
    clone = folder / "checkout"
    clone.mkdir()
    for name in ("components", "images", "requirements"):
        shutil.copytree(build.CHECKOUT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".dockerignore"):
        shutil.copy(build.CHECKOUT / name, clone / name)
    return clone
