"""`headway compile`: every component and pipeline as YAML, the JSON Schemas of their parameters, and an index."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click


@click.command("compile")
@click.option("--out", type=click.Path(path_type=Path), default=Path("compiled"), show_default=True, help="Folder.")
def compile_command(out: Path) -> None:
    """Write every component and pipeline as YAML."""
    written = compile_all(out)
    click.echo(f"{len(written)} files in {out}")


def compile_all(out: Path) -> list[Path]:
    """Compiles the whole catalogue; the same sources give the same bytes.

    Args:
        out: Folder for `components/`, `pipelines/`, `schemas/` and `INDEX.json`.

    Returns:
        The files written.
    """
    from kfp.compiler import Compiler
    from pydantic import BaseModel

    from headway import components
    from headway.components._shared.schemas import Schema
    from headway.pipelines.catalogue import PIPELINES, load_pipeline
    from headway.pipelines.cli.check import MODELS, model_of

    entries, written = [], []
    models: dict[str, type[BaseModel]] = {**{name: model_of(name) for name in MODELS}, "schema": Schema}
    kinds = [("component", name, getattr(components, name)) for name in components.ROOMS]
    kinds += [("pipeline", name, load_pipeline(name)) for name in PIPELINES]
    for kind, name, compiled in kinds:
        path = out / f"{kind}s" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        Compiler().compile(compiled, str(path))
        written.append(path)
        entries.append(_entry(kind, name, compiled, path, out))
    for parameter, model in models.items():
        path = out / "schemas" / f"{parameter}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n")
        written.append(path)
    index = {"schema_version": 1, "suite": version("headway"), "entries": entries}
    (out / "INDEX.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    return [*written, out / "INDEX.json"]


def _entry(kind: str, name: str, compiled: Any, path: Path, out: Path) -> dict[str, Any]:
    spec = compiled.component_spec
    return {
        "kind": kind,
        "name": name,
        "path": path.relative_to(out).as_posix(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "description": (spec.description or "").partition("\n")[0].strip(),
        "inputs": {key: str(item.type) for key, item in (spec.inputs or {}).items()},
        "outputs": {key: str(item.type) for key, item in (spec.outputs or {}).items()},
    }
