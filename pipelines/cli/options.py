"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

params_option = click.option(
    "--params", "params", type=click.Path(path_type=Path), required=True, help="Parameter file (YAML or JSON)."
)
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path(".headway"),
    show_default=True,
    help="Folder for state, artifacts, staged data and cache; the same for all commands about a model.",
)
