"""`headway pipelines`: the pipelines, and one pipeline's parameters as its docstring explains them."""

from __future__ import annotations

import click


@click.command("pipelines")
@click.argument("name", required=False)
def pipelines_command(name: str | None) -> None:
    """List the pipelines, or show one pipeline's parameters: type, default and meaning.

    Parameters stand in a YAML or JSON file: `pipeline: NAME`, and below `parameters:` one line a parameter. In it,
    `@FILE` stands for the content of that YAML or JSON file, `./PATH` for a path relative to the parameter file, and
    `package://PACKAGE/PATH` for a file of an installed Python package.
    """
    from headway.pipelines.catalogue import PIPELINES, load_pipeline
    from headway.pipelines.cli.components import interface_of, say_rows

    if name is None:
        for each in PIPELINES:
            click.echo(f"{each:<18} {interface_of(load_pipeline(each)).summary}")
        return
    shown = interface_of(load_pipeline(name))
    click.echo(f"{name}: {shown.summary}")
    say_rows("parameters", shown.inputs)
