"""What goes into an image, without building one."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from images import build, layers
from tests.cluster.compiled_step import compiled_step, names

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_component_has_an_image_that_is_built():
    families = {re.findall(r"/headway-(\w+):", compiled_step(name).image)[0] for name in names()}
    assert families <= set(build.FAMILIES)


def test_an_image_holds_the_rooms_of_its_components_and_no_other():
    tabular = layers.rooms_of(CHECKOUT, "tabular")
    assert {"ingestion", "training", "evaluation"} <= set(tabular)
    assert "serving" not in tabular
    assert layers.rooms_of(CHECKOUT, "serving") == ["serving"]
    assert layers.rooms_of(CHECKOUT, "base") == []


def test_a_change_in_a_room_leaves_the_images_that_do_not_use_it(tmp_path):
    changed = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "components", changed / "components", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", changed)
    before = {family: _layer(changed, family, tmp_path / f"before-{family}") for family in build.FAMILIES}
    with (changed / "components/training/fit.py").open("a") as stream:
        stream.write("# changed\n")
    (changed / "components/serving/README.md").write_text("pages do not matter")
    after = {family: _layer(changed, family, tmp_path / f"after-{family}") for family in build.FAMILIES}
    assert {family for family in build.FAMILIES if before[family] != after[family]} == {"tabular"}


def test_the_suite_in_an_image_says_its_version_and_what_it_needs(tmp_path):
    layers.lay_out_suite(CHECKOUT, "base", tmp_path)
    code = "from importlib.metadata import distribution as d; h = d('headway'); print(h.version, *h.requires)"
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; {code}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert re.match(r"\d+\.\d+\.\d+ .*polars", told)


def test_the_package_index_of_this_machine_reaches_the_build_and_its_folders_do_not(monkeypatch, tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text("a certificate")
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://other.example/simple\ntrusted-host = a\n  b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:100%secret@packages.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CERT", str(authority))
    with build.pip_secrets() as secrets:
        told = {path.name: path.read_text() for path in secrets}
        assert "index-url = https://user:100%secret@packages.example/simple" in told["pip.conf"]
        assert "trusted-host = a\n\tb" in told["pip.conf"]
        assert "cert = /run/secrets/ca.pem" in told["pip.conf"]
        assert str(tmp_path) not in told["pip.conf"]
        assert told["ca.pem"] == "a certificate"
    assert not any(path.exists() for path in secrets)


def test_without_a_tool_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeadwayError, match="Install docker, podman or buildah") as error:
        build.find_tool()
    assert error.value.code == "images.no_tool"


def test_a_tool_that_fails_is_quoted(monkeypatch, tmp_path):
    broken = tmp_path / "podman"
    broken.write_text("#!/bin/sh\necho no space left on device >&2\nexit 125\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(HeadwayError, match="no space left on device") as error:
        build.image_id("podman", "x")
    assert error.value.code == "images.failed"


def test_a_push_of_one_family_keeps_the_locks_of_the_others(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "LOCK", tmp_path / "lock.json")
    build.write_lock({"tabular": "r/headway-tabular@sha256:1", "serving": "r/headway-serving@sha256:1"})
    build.write_lock({"tabular": "r/headway-tabular@sha256:2"})
    assert '"serving": "r/headway-serving@sha256:1"' in build.LOCK.read_text()
    assert '"tabular": "r/headway-tabular@sha256:2"' in build.LOCK.read_text()


def _layer(checkout: Path, family: str, target: Path) -> dict[str, str]:
    layers.lay_out_suite(checkout, family, target)
    files = [path for path in target.rglob("*") if path.is_file()]
    return {str(path.relative_to(target)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
