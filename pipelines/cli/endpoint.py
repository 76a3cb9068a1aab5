"""`headway endpoint`: the endpoints of this machine."""

from __future__ import annotations

import click

STATE = click.option(
    "--state", default=".headway/state", show_default=True, metavar="FOLDER", help="The state folder of the endpoints."
)


@click.group("endpoint")
def endpoint_command() -> None:
    """List or stop the endpoints of this machine."""


@endpoint_command.command("list")
@STATE
def list_command(state: str) -> None:
    """Show what each endpoint serves: `serving`, `stopped` on purpose, or `down`."""
    from headway.components._shared.endpoints import list_endpoints

    found = list_endpoints(state)
    if not found:
        click.echo(f"No endpoint in {state}.")
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


@endpoint_command.command("stop")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Stop every endpoint of the state folder.")
@STATE
def stop_command(name: str | None, everything: bool, state: str) -> None:
    """Stop the endpoint NAME. Its address and its releases stay on record, so deploying again brings it back."""
    from headway.components._shared.endpoints import list_endpoints, stop_endpoint

    if (name is None) == (not everything):
        raise click.UsageError("Give the name of an endpoint, or --all.")
    names = [status.endpoint.model_name for status in list_endpoints(state)] if name is None else [name]
    for each in names:
        click.echo(f"stopped {each} at {stop_endpoint(state, each).url}")
    if not names:
        click.echo(f"No endpoint in {state}.")
