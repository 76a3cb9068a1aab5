"""`headway schema` writes a contract that a parameter file takes; `headway pipelines` explains parameters."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Schema
from headway.pipelines.cli import headway
from headway.pipelines.cli.check import check_parameters
from headway.pipelines.cli.parameters import read_parameters
from headway.pipelines.cli.schema import _text

ROLES = {"id": "order", "target": "returned", "personal": "email"}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A parameter file beside its data, which holds words that YAML 1.1 takes for booleans."""
    with (tmp_path / "orders.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["order", "email", "land", "price", "returned"])
        writer.writerows([f"o{n}", f"a{n}@x.org", ("no", "DE", "on")[n % 3], n / 7, n % 4 == 0] for n in range(300))
    return parameters(tmp_path / "mine.yaml", {"roles": ROLES})


def parameters(path: Path, contract: object) -> Path:
    source = {"uris": ["./orders.csv"], "id_column": "order"}
    given = {"model_name": "returns", "source": source, "split": {"target": "returned"}, "contract": contract}
    path.write_text(yaml.safe_dump({"pipeline": "training", "parameters": given}))
    return path


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headway.pipelines.cli", "schema", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_the_line_that_it_tells_makes_the_file_the_contract(mine, tmp_path):
    ran = run("--params", "mine.yaml", "-o", "contracts/schema.yaml", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("  contract: ")]
    changed = parameters(tmp_path / "changed.yaml", yaml.safe_load(line)["contract"])
    given = read_parameters(changed, tmp_path).parameters
    check_parameters("training", {"state_uri": str(tmp_path), **given})
    schema = parse(Schema, given["contract"], parameter="contract")
    assert [(c.name, c.type, c.roles) for c in schema.columns] == [
        ("order", "string", ("id",)),
        ("email", "string", ("personal",)),
        ("land", "string", ()),
        ("price", "number", ()),
        ("returned", "boolean", ("target",)),
    ]
    assert schema.columns[2].domain == ("DE", "no", "on")
    assert Path(ran.stdout.partition("the report is ")[2].splitlines()[0]).is_file()


def test_a_file_that_is_there_stays(mine, tmp_path):
    (tmp_path / "schema.yaml").write_text("mine")
    ran = run("--params", mine, folder=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error [schema.exists] There is such a file")
    assert (tmp_path / "schema.yaml").read_text() == "mine"


def test_a_contract_that_is_there_keeps_its_expectations_and_data_is_not_read_again(mine, tmp_path):
    run("--params", mine, "-o", "first.yaml", folder=tmp_path)
    text = (tmp_path / "first.yaml").read_text().replace("# curated_by: your team", "curated_by: us")
    (tmp_path / "first.yaml").write_text(text.replace("maximum: 65.0", "maximum: 99.0"))
    ran = run("--params", parameters(tmp_path / "next.yaml", "@first.yaml"), "-o", "next-schema.yaml", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "adopted, the sources did not change" in ran.stderr
    assert "maximum: 99.0" in (tmp_path / "next-schema.yaml").read_text()
    assert "\ncurated_by: us\n" in (tmp_path / "next-schema.yaml").read_text()


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"roles": {"target": "returnd"}}, "error [data.column_missing] The data lacks the column 'returnd'"),
        ({"roles": {"label": "returned"}}, "contract.roles.label: there is no such field"),
        (["a"], "Parameter 'contract' is not valid: contract: must be a mapping"),
    ],
)
def test_roles_that_do_not_fit_are_told_without_a_traceback(mine, tmp_path, contract, message):
    ran = run("--params", parameters(mine, contract), folder=tmp_path)
    assert ran.returncode == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "schema.yaml").exists()


def test_odd_names_and_values_survive_the_yaml(tmp_path):
    names = ["no", "1", "null", "a: b", "#", "2013-01-01", "ü", "", "1e3", "yes, {no}", "- a", "@x", "true"]
    columns = [{"name": name, "type": "string", "domain": [name, "off"]} for name in names]
    schema = Schema.model_validate({"columns": columns, "curated_by": "no: body"})
    (tmp_path / "schema.yaml").write_text(_text(schema, "x"))
    (tmp_path / "p.yaml").write_text('parameters: {contract: "@schema.yaml"}')
    assert Schema.model_validate(read_parameters(tmp_path / "p.yaml", tmp_path).parameters["contract"]) == schema


def test_pipelines_are_listed_and_one_is_explained():
    listed = CliRunner().invoke(headway, ["pipelines"]).output
    assert "delivery           Trains, judges and registers a model, and brings it to traffic" in listed
    shown = CliRunner().invoke(headway, ["pipelines", "training"]).output
    assert shown.startswith("training: Ingests, validates")
    assert "\nparameters\n  model_name (String)\n      The model's name everywhere" in shown
    assert "  seed (Integer = 0)\n      Seed of everything random." in shown
    assert "JSON Schema: compiled/schemas/gates.json" in shown
    error = CliRunner().invoke(headway, ["pipelines", "train"]).exception
    assert isinstance(error, HeadwayError)
    assert "[pipeline.unknown]" in str(error)


@pytest.mark.parametrize("command", ["pipelines", "check"])
def test_the_references_of_parameter_files_stand_in_the_help(command):
    said = " ".join(CliRunner().invoke(headway, [command, "--help"]).output.split())
    for reference in ("`@FILE`", "`./PATH`", "`package://PACKAGE/PATH`"):
        assert reference in said
