"""`headway endpoint`: the endpoints of this machine, or of the cluster that a parameter file names."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.options import home_option

_PLACE = ("namespace", "gateway", "token_file", "through_gateway")


@dataclass(frozen=True)
class Place:
    """Whose endpoints are meant.

    Attributes:
        arguments: `engine`, `serving`, `state_uri` and `tracking_uri` of the components of deployment.
        folder: For what components write.
    """

    arguments: dict[str, Any]
    folder: Path

    @property
    def told(self) -> str:
        """The state folder."""
        return str(self.arguments["state_uri"])

    def call(self, component: str, output: str, **arguments: Any) -> Any:
        """Runs a component here and now; gives the content of an output."""
        from headway import components
        from headway.components._shared.artifacts import LocalArtifact

        # The command says itself what came of it.
        logging.getLogger("headway").addHandler(logging.NullHandler())
        function = getattr(components, component).python_func
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        outputs = {name: LocalArtifact(str(self.folder / name)) for name in (output, "report") if name in names}
        place = {name: self.arguments[name] for name in self.arguments if name in names}
        function(**outputs, **place, **arguments)
        return json.loads((self.folder / output).read_bytes())

    def endpoints(self, name: str | None = None) -> list[dict[str, Any]]:
        """How one endpoint is, or every one."""
        found: list[dict[str, Any]] = self.call("deployment_status", "status", model_name=name)["endpoints"]
        return found


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say whose endpoints are meant."""
    state = click.option("--state", metavar="FOLDER", help="Its state_uri, where that is not HOME/state.")
    params = click.option(
        "--params",
        type=click.Path(path_type=Path),
        help="Parameter file of a delivery: its serving_engine, serving, state_uri and tracking_uri say the place.",
    )
    return home_option(state(params(command)))


@contextmanager
def _place(home: Path, state: str | None, params: Path | None) -> Iterator[Place]:
    from headway.pipelines.cli.parameters import read_parameters

    with tempfile.TemporaryDirectory(prefix="headway-endpoint-") as scratch:
        given = read_parameters(params, Path(scratch) / "staged").parameters if params else {}
        arguments = {
            "engine": given.get("serving_engine", "auto" if params else "local"),
            "serving": given.get("serving", {}),
            "state_uri": state or given.get("state_uri") or str(home / "state"),
            "tracking_uri": given.get("tracking_uri", "auto"),
        }
        yield Place(arguments, Path(scratch))


@click.group("endpoint")
def endpoint_command() -> None:
    """List, look at, roll back, stop or remove endpoints.

    A delivery leaves an endpoint. On this machine that is a router at an address that stays, and a model server behind
    it; both go on when the run has ended, until they are stopped or the machine is.
    """


@endpoint_command.command("list")
@_where
def list_command(home: Path, state: str | None, params: Path | None) -> None:
    """Show the endpoints and how they are.

    \b
    serving   it answers
    degraded  it answers, and something is wrong
    down      it does not answer as it should
    stopped   somebody stopped it
    """
    with _place(home, state, params) as place:
        found = place.endpoints()
    if not found:
        click.echo(f"No endpoint in {place.told}.")
        return
    rows = [("NAME", "STATE", "ADDRESS", "MODEL", "VERSION", "TRAFFIC", "BEFORE")]
    for endpoint in found:
        before = [served for served in endpoint["history"]["served"] if served["until"]]
        last = before[0]["release"]["model_digest"][:12] if before else "-"
        for version in (endpoint["stable"], endpoint["candidate"]):
            if version:
                first = version is endpoint["stable"]
                head = (endpoint["model_name"], endpoint["state"], endpoint["url"] or "-") if first else ("", "", "")
                label = f"{version['environment']} {version['version'] or '-'}"
                tail = (version["model_digest"][:12], label, f"{version['weight']} %", last if first else "")
                rows.append((*head, *tail))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for endpoint in found:
        if endpoint["state"] in ("down", "degraded"):
            click.echo(f"{endpoint['model_name']} is {endpoint['state']}: {endpoint['told']}")


@endpoint_command.command("status")
@click.argument("name")
@_where
def status_command(name: str, home: Path, state: str | None, params: Path | None) -> None:
    """Show one endpoint: what serves, what is under way, what had the traffic before."""
    with _place(home, state, params) as place:
        found = place.endpoints(name)[0]
    click.echo(f"{name} is {found['state']}: {found['told']}")
    if found["url"]:
        click.echo(f"address    {found['url']}{''.join(f'  {k}: {v}' for k, v in found['headers'].items())}")
    for role in ("stable", "candidate"):
        if version := found[role]:
            running = f"{version['ready']} of {version['wanted']} ready, {version['weight']} % of the traffic"
            problem = f"; {version['problem']}" if version["problem"] else ""
            label = f"{version['environment']} {version['version'] or '-'}"
            click.echo(f"{role:<10} {version['model_digest'][:12]}  {label}  {running}{problem}")
    if found["recommended"]:
        click.echo(f"recommends {', '.join(f'{name} {value}' for name, value in found['recommended'].items())}")
    if rollout := found["rollout"]:
        failing = f"; being rolled back: {rollout['failure']}" if rollout["failure"] else ""
        told = f"step {rollout['step']} of {rollout['steps']}, begun {rollout['begun']}, until {rollout['deadline']}"
        click.echo(f"rollout    {rollout['model_digest'][:12]}  {told}{failing}")
    for served in found["history"]["served"]:
        release, end = served["release"], served["until"] or "now"
        why = f"  rolled back: {served['rolled_back']}" if served["rolled_back"] else ""
        click.echo(f"served     {release['model_digest'][:12]}  {served['since']} to {end}{why}")


@endpoint_command.command("rollback")
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept in the history and the audit trail.")
@click.option("--to", "digest", metavar="DIGEST", help="First characters of a model digest that `status` shows.")
@_where
def rollback_command(
    name: str, reason: str, digest: str | None, home: Path, state: str | None, params: Path | None
) -> None:
    """Give the traffic back to the release before.

    NAME goes back to the newest release that nobody rolled back, checked as any candidate is; no request is lost. What
    has to go is marked, and is not deployed again by itself.
    """
    with _place(home, state, params) as place:
        # It runs as it ran then: of what the file says of serving, only where the endpoint is counts.
        kserve = place.arguments["serving"].get("kserve", {})
        place.arguments["serving"] = {"kserve": {key: kserve[key] for key in _PLACE if key in kserve}} if kserve else {}
        done = place.call("rollback_deployment", "deployment", model_name=name, reason=reason, to_digest=digest)
    click.echo(f"{name} is at {done['endpoint']} with {done['model_digest'][:12]}: {done['outcome']}, {done['reason']}")


@endpoint_command.command("stop")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Stop every endpoint.")
@_where
def stop_command(name: str | None, everything: bool, home: Path, state: str | None, params: Path | None) -> None:
    """Stop an endpoint of this machine.

    The endpoint NAME finishes the requests that it has. Its address stays on record, and delivering again starts it
    there. `headway endpoint remove` forgets it.
    """
    from headway.components._shared.endpoints import stop_endpoint

    said = {
        "serving": "stopped {name} at {url}",
        "stopped": "{name} was stopped already; `headway endpoint remove {name}` forgets it",
        "dead": "{name} at {url} had died; it is stopped now",
    }
    with _place(home, state, params) as place:
        for each in _named(place, name, everything):
            status = stop_endpoint(place.told, each)
            click.echo(said[status.state].format(name=each, url=status.endpoint.url))


@endpoint_command.command("remove")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove every endpoint.")
@_where
def remove_command(name: str | None, everything: bool, home: Path, state: str | None, params: Path | None) -> None:
    """End an endpoint and forget it.

    The address of NAME, the record of what it served and its logs go. Releases, registry and audit trail stay;
    delivering again makes a new endpoint.
    """
    with _place(home, state, params) as place:
        for each in _named(place, name, everything):
            before = place.call("undeploy_model", "before", model_name=each)["endpoints"][0]
            absent = before["state"] == "absent"
            click.echo(f"there was no endpoint {each}" if absent else f"removed {each} at {before['url']}")


def _named(place: Place, name: str | None, everything: bool) -> list[str]:
    """The named endpoint or all of them."""
    if (name is None) == (not everything):
        raise click.UsageError("Give the name of an endpoint, or --all.")
    names = [endpoint["model_name"] for endpoint in place.endpoints()] if name is None else [name]
    if not names:
        click.echo(f"No endpoint in {place.told}.")
    return names
