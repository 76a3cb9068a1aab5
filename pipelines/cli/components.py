"""`headway components`: the catalogue, and one component's inputs and outputs as its docstring explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click


@click.command("components")
@click.argument("name", required=False)
def components_command(name: str | None) -> None:
    """List the catalogue, or show one component's inputs and outputs."""
    from headway import components
    from headway.components._shared.errors import HeadwayError

    if name is None:
        for verb, room in components.ROOMS.items():
            click.echo(f"{verb:<18} {room:<14} {interface(verb).summary}")
        return
    if name not in components.ROOMS:
        raise HeadwayError(
            "component.unknown",
            "There is no such component.",
            value=name,
            remedy=f"Use one of {', '.join(components.ROOMS)}.",
        )
    shown = interface(name)
    click.echo(f"{name}: {shown.summary}")
    say_rows("inputs", shown.inputs)
    say_rows("outputs", shown.outputs)


def say_rows(title: str, rows: tuple[Row, ...]) -> None:
    """Tells name, type, default and meaning of each, and where the JSON Schema of a structured one lies."""
    from headway.components._shared.config import PUBLISHED

    click.echo(f"\n{title}")
    for row in rows:
        default = "" if row.default is None else f" = {row.default}"
        structured = row.type.startswith("Dict") and row.name in PUBLISHED
        schema = f" JSON Schema: compiled/schemas/{row.name}.json" if structured else ""
        click.echo(f"  {row.name} ({row.type}{default})\n      {row.description}{schema}")


@dataclass(frozen=True)
class Row:
    """One input or output: its type, default (None where one must be given) and meaning."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Interface:
    """What a component or pipeline takes and gives, as its signature and docstring say."""

    summary: str
    inputs: tuple[Row, ...]
    outputs: tuple[Row, ...]


def interface(name: str) -> Interface:
    """The interface of a component of the catalogue."""
    from headway import components

    return interface_of(getattr(components, name))


def interface_of(compiled: Any) -> Interface:
    """The interface of a component or pipeline."""
    spec = compiled.component_spec
    inputs, outputs = (spec.inputs or {}).items(), (spec.outputs or {}).items()
    return Interface(
        (spec.description or "").partition("\n")[0].strip(),
        tuple(Row(key, _type(item.type), _default(item), _text(item.description)) for key, item in inputs),
        tuple(Row(key, _type(item.type), None, _text(item.description)) for key, item in outputs),
    )


def _type(declared: object) -> str:
    return str(declared).partition("@")[0].removeprefix("system.")


def _default(item: Any) -> str | None:
    if not item.optional:
        return None
    return "none" if item.default is None else repr(item.default)


def _text(description: str | None) -> str:
    return " ".join((description or "").split())
