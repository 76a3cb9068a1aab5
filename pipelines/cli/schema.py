"""`headway schema`: a first contract for data that has none yet, or what to change in the one that it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.pipelines.cli.options import home_option, params_option

if TYPE_CHECKING:
    from headway.components._shared.schemas import Schema


@click.command("schema")
@params_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("schema.yaml"),
    show_default=True,
    help="File to write; one that is there stays.",
)
@home_option
def schema_command(params: Path, out: Path, home: Path) -> None:
    """Write a first contract of the data that a parameter file names.

    Reads the file's `source` and infers types, domains and ranges; the roles are those of its `contract`. Where the
    contract is a schema already, its expectations are kept as far as the data meets them.
    """
    from headway.components._shared.errors import HeadwayError
    from headway.pipelines.cli.parameters import read_parameters

    if out.exists():
        raise HeadwayError(
            "schema.exists",
            "There is such a file, and somebody may have worked on it.",
            value=str(out),
            remedy="Name another file with -o, and compare the two.",
        )
    parameters = read_parameters(params, home / "data").parameters
    schema, report = _propose(parameters, home.absolute())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(_text(schema, parameters.get("model_name", params.stem)))
    reference = os.path.relpath(out, params.parent)
    click.echo(f"{out}: {len(schema.columns)} columns; the report is {report}")
    click.echo(f"Review it, name yourself in `curated_by`, and write in {params}:")
    click.echo(f'  contract: "@{reference}"')


def _propose(parameters: Mapping[str, Any], home: Path) -> tuple[Schema, Path]:
    """What the components make of the data: the proposed schema, and the report on it."""
    from headway.components import infer_schema, ingest_data
    from headway.components._shared.artifacts import LocalArtifact
    from headway.components._shared.config import parse
    from headway.components._shared.schemas import Schema, read_schema
    from headway.pipelines.cli.check import model_of

    parse(model_of("source"), parameters.get("source", {}), parameter="source")
    contract = parameters.get("contract", {})
    is_schema = isinstance(contract, Mapping) and "columns" in contract
    asked: Any = parse(Schema if is_schema else model_of("contract"), contract, parameter="contract")
    os.environ.setdefault("HEADWAY_ARTIFACTS", str(home / "artifacts"))  # the run after this one adopts what is read
    folder = home / "schema"
    data = LocalArtifact(str(folder / "data"))
    files = [LocalArtifact(str(folder / name)) for name in ("schema.json", "difference.json", "report.html")]
    ingest_data.python_func(data=data, source=parameters["source"], seed=parameters.get("seed", 0))
    roles = {} if is_schema else asked.roles.model_dump(exclude_defaults=True)
    infer_schema.python_func(data, *files, roles=roles, current=contract if is_schema else {})
    return read_schema(files[0].path), Path(files[2].path)


def _text(schema: Schema, name: str) -> str:
    """YAML with one line a column, as people write it."""
    import yaml

    # KFP passes no null, so what nobody has filled in yet is a comment.
    curator = yaml.safe_dump({"curated_by": schema.curated_by}) if schema.curated_by else "# curated_by: your team\n"
    columns = [
        yaml.safe_dump(column, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
        for column in schema.model_dump(mode="json", exclude_defaults=True)["columns"]
    ]
    return (
        f"# The contract of the data of {name}: what the columns are, what they may hold, and what each is for.\n"
        "# Proposed by `headway schema`. A column without a role is a feature; one with any role is not.\n"
        f"version: {schema.version}\n{curator}columns:\n{''.join(f'  - {column}' for column in columns)}"
    )
