"""`headway components`: the catalogue, and one component's inputs and outputs as its docstring explains them."""

from __future__ import annotations

import click


@click.command("components")
@click.argument("name", required=False)
def components_command(name: str | None) -> None:
    """List the catalogue, or show one component's inputs and outputs."""
    from headway import components
    from headway.components._shared.errors import HeadwayError

    if name is None:
        for verb, room in components.ROOMS.items():
            click.echo(f"{verb:<18} {room:<14} {interface(verb)['summary']}")
        return
    if name not in components.ROOMS:
        raise HeadwayError(
            "component.unknown",
            "There is no such component.",
            value=name,
            remedy=f"Use one of {', '.join(components.ROOMS)}.",
        )
    shown = interface(name)
    click.echo(f"{name}: {shown['summary']}")
    for part in ("inputs", "outputs"):
        click.echo(f"\n{part}")
        for row in shown[part]:
            default = "" if row["default"] is None else f" = {row['default']}"
            click.echo(f"  {row['name']} ({row['type']}{default})\n      {row['description']}")


def interface(name: str) -> dict:  # type: ignore[type-arg]
    """A component's summary, inputs and outputs, from its signature and docstring.

    Returns:
        `summary`, `inputs` and `outputs`; each input or output a dict of name, type, default, description.
    """
    import docstring_parser

    from headway import components

    component = getattr(components, name)
    spec, doc = component.component_spec, docstring_parser.parse(component.python_func.__doc__ or "")
    described = {p.arg_name: p.description or "" for p in doc.params}
    returned = _outputs(doc.returns.description or "") if doc.returns else {}
    return {
        "summary": doc.short_description or "",
        "inputs": [
            {
                "name": key,
                "type": _type(item),
                "default": repr(item.default)
                if item.optional and item.default is not None
                else ("none" if item.optional else None),
                "description": " ".join(described.get(key, "").split()),
            }
            for key, item in (spec.inputs or {}).items()
        ],
        "outputs": [
            {"name": key, "type": _type(item), "default": None, "description": returned.get(key, "")}
            for key, item in (spec.outputs or {}).items()
        ],
    }


def _type(item: object) -> str:
    return str(getattr(item, "type", "")).partition("@")[0].removeprefix("system.")


def _outputs(text: str) -> dict[str, str]:
    """Reads `name: text` paragraphs of a Returns section; deeper lines continue the one above."""
    found: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and not line.startswith(" ") and name.isidentifier():
            last = name
            found[last] = rest.strip()
        elif last:
            found[last] += f" {line.strip()}"
    return found
