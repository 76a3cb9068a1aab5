"""The command `headway`. Every command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

import click

# Command to the module that holds it; the attribute has the command's name.
COMMANDS = {
    "demo": "demo",
    "run": "run",
    "check": "check",
    "schema": "schema",
    "compile": "compile",
    "pipelines": "pipelines",
    "components": "components",
    "endpoint": "endpoint",
}
HELP = {
    "demo": "Run a ready-made example from raw data to an endpoint that answers.",
    "run": "Run a pipeline on this machine with the parameters of a file.",
    "check": "Check a parameter file before anything runs.",
    "schema": "Write a first contract of the data that a parameter file names.",
    "compile": "Write every component and pipeline as YAML.",
    "pipelines": "List the pipelines, or show one pipeline's parameters.",
    "components": "List the catalogue, or show one component's inputs and outputs.",
    "endpoint": "List, stop or remove the endpoints of this machine.",
}


class LazyGroup(click.Group):
    """Loads a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's object, from its module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[cmd_name]}"), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(HELP.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("headway"), prog_name="headway")
def headway() -> None:
    """Headway takes a tabular model from raw data to guarded production traffic."""


def main() -> None:
    """Entry point: errors of ours end with their message and exit code 1, never with a traceback."""
    from headway.components._shared.errors import HeadwayError

    try:
        headway()
    except HeadwayError as error:
        click.secho(f"error {error}", err=True, fg="red")
        sys.exit(1)
