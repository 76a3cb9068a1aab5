"""Every component of the catalogue keeps the contract; a new one is held to it without a test of its own."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

from headway import components
from headway.components import ROOMS
from headway.components._shared import images
from headway.pipelines.cli.components import interface
from tests.contract import interface_tables

ROOT = Path(__file__).resolve().parents[2]
LOGIC = sorted(p for p in (ROOT / "components").rglob("*.py") if p.name != "component.py")


@pytest.fixture(params=ROOMS)
def verb(request):
    return request.param


def test_every_input_and_output_is_explained_in_the_docstring(verb):
    shown = interface(verb)
    assert shown.summary.endswith(".")
    assert not [row.name for row in (*shown.inputs, *shown.outputs) if not row.description and row.name != "Output"]


def test_the_body_is_one_import_and_one_call(verb):
    source = textwrap.dedent(inspect.getsource(getattr(components, verb).python_func))
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    docstring, imported, called = function.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(imported, ast.ImportFrom)
    assert imported.module.startswith(f"headway.components.{ROOMS[verb]}.")
    assert isinstance(called, ast.Expr | ast.Return)
    assert isinstance(called.value, ast.Call)


def test_the_component_runs_in_an_image_of_ours_and_installs_nothing(verb):
    container = getattr(components, verb).component_spec.implementation.container
    assert container.image in {images.reference(family) for family in images.FAMILIES}
    assert "pip install" not in " ".join([*container.command, *container.args])


def test_the_component_takes_the_place_for_its_failure_record(verb):
    if verb != "check_verdict":
        assert "state_uri" in getattr(components, verb).component_spec.inputs


@pytest.mark.parametrize("path", LOGIC, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_behind_components_do_not_import_kfp(path):
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    allowed = path == ROOT / "components/_shared/component.py"
    assert allowed or not [name for name in imported if name.split(".")[0] == "kfp"]


@pytest.mark.parametrize("path", interface_tables.READMES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_generated_part_of_a_readme_is_current(path):
    written, wanted = interface_tables.current(path)
    assert interface_tables.SECTION.search(written)
    assert written == wanted, "run `make compile`"


def test_an_unknown_component_is_named_with_those_there_are():
    with pytest.raises(AttributeError, match=r"no component 'fit_model'.*train_model"):
        _ = components.fit_model
