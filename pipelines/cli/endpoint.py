"""`headway endpoint`: the endpoints of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.options import home_option


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say whose endpoints are meant; the command gets the state folder."""
    state = click.option("--state", metavar="FOLDER", help="Its state_uri, where that is not HOME/state.")
    return home_option(state(command))


@click.group("endpoint")
def endpoint_command() -> None:
    """List, stop or remove the endpoints of this machine.

    A delivery leaves an endpoint: a router at an address that stays, and a model server behind it. Both go on
    when the run has ended, until they are stopped or the machine is.
    """


@endpoint_command.command("list")
@_where
def list_command(home: Path, state: str | None) -> None:
    """Show the endpoints and how they are.

    \b
    serving  it answers
    stopped  somebody stopped it
    dead     its processes ended by themselves, or with the machine
    """
    from headway.components._shared.endpoints import list_endpoints

    folder = _state(home, state)
    found = list_endpoints(folder)
    if not found:
        click.echo(f"No endpoint in {folder}.")
        return
    rows = [("NAME", "STATE", "ADDRESS", "MODEL", "VERSION", "BEFORE")]
    for status in found:
        endpoint = status.endpoint
        now, before = endpoint.current, endpoint.previous
        version = f"{now.environment} {now.version or '-'}"
        last = before.model_digest[:12] if before else "-"
        rows.append((endpoint.model_name, status.state, endpoint.url, now.model_digest[:12], version, last))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for status in found:
        if status.log:
            click.echo(f"{status.endpoint.model_name} died; its log: {status.log}. Delivering again starts it.")


@endpoint_command.command("stop")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Stop every endpoint.")
@_where
def stop_command(name: str | None, everything: bool, home: Path, state: str | None) -> None:
    """Stop an endpoint.

    The endpoint NAME finishes the requests that it has. Its address stays on record, and delivering again starts it
    there. `headway endpoint remove` forgets it.
    """
    from headway.components._shared.endpoints import stop_endpoint

    said = {
        "serving": "stopped {name} at {url}",
        "stopped": "{name} was stopped already; `headway endpoint remove {name}` forgets it",
        "dead": "{name} at {url} had died; it is stopped now",
    }
    for status in _each(stop_endpoint, name, everything, _state(home, state)):
        click.echo(said[status.state].format(name=status.endpoint.model_name, url=status.endpoint.url))


@endpoint_command.command("remove")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove every endpoint.")
@_where
def remove_command(name: str | None, everything: bool, home: Path, state: str | None) -> None:
    """Stop an endpoint and forget it.

    The address of NAME, the record of what it served and its logs go. Releases, registry and audit trail stay;
    delivering again makes a new endpoint.
    """
    from headway.components._shared.endpoints import remove_endpoint

    for status in _each(remove_endpoint, name, everything, _state(home, state)):
        click.echo(f"removed {status.endpoint.model_name} at {status.endpoint.url}")


def _state(home: Path, state: str | None) -> str:
    return state or str(home / "state")


def _each(change: Callable[[str, str], Any], name: str | None, everything: bool, state: str) -> Iterator[Any]:
    """Changes the named endpoint or all of them."""
    from headway.components._shared.endpoints import list_endpoints

    if (name is None) == (not everything):
        raise click.UsageError("Give the name of an endpoint, or --all.")
    names = [status.endpoint.model_name for status in list_endpoints(state)] if name is None else [name]
    if not names:
        click.echo(f"No endpoint in {state}.")
    for each in names:
        yield change(state, each)
