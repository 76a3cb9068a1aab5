"""Parameter files: a pipeline's name and its parameters, in YAML or JSON.

Three kinds of text in them are references: `@FILE` becomes the content of that YAML or JSON file, `./PATH` (or
`../PATH`) a path, both relative to the parameter file, and `package://PACKAGE/PATH` a file of an installed package.
A text that begins with `@` itself is written `@@`.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headway.components._shared.errors import HeadwayError
from headway.components._shared.yaml_files import load_yaml

PACKAGE = "package://"


@dataclass(frozen=True)
class ParameterFile:
    """What a parameter file asks for.

    Attributes:
        pipeline: Name of the pipeline, where the file gives one.
        parameters: Parameter to value, references resolved.
    """

    pipeline: str | None
    parameters: dict[str, Any]


def read_parameters(path: Path, staging: Path, *, pipeline: str | None = None) -> ParameterFile:
    """Reads a parameter file.

    Args:
        path: The file: `pipeline: NAME` and `parameters: {...}`.
        staging: Folder to which data from Python packages is copied: kfp.local rewrites the word `python3`
            in every argument, and installed packages lie below such a folder.
        pipeline: What the caller means to run; the file must not name another.

    Returns:
        The parameters, references resolved.

    Raises:
        HeadwayError: `parameters.missing`, `parameters.unreadable`, `parameters.package_missing`,
            `parameters.other_pipeline`.
    """
    content = _load(path)
    if problem := _misshapen(content):
        raise HeadwayError(
            "parameters.unreadable",
            problem,
            value=str(path),
            remedy="Write `pipeline: NAME`, then `parameters:`, and below it, indented, one line a parameter.",
        )
    named = content.get("pipeline")
    if pipeline is not None and named not in (None, pipeline):
        raise HeadwayError(
            "parameters.other_pipeline",
            f"The file is for the pipeline {named!r}, not for {pipeline!r}.",
            value=str(path),
            remedy=f"Ask for {named!r}, or change `pipeline:` in the file.",
        )
    return ParameterFile(named, _resolve(content["parameters"], path.parent, staging))


def _misshapen(content: Any) -> str | None:
    """What keeps the content from being that of a parameter file."""
    if not isinstance(content, dict):
        return f"The file holds {_KINDS.get(type(content), 'a value')}, where a mapping belongs."
    if unknown := sorted(str(key) for key in set(content) - {"pipeline", "parameters", "title"}):
        hint = "" if "parameters" in content else " and no `parameters:`, below which parameters belong"
        return f"The file has unknown keys: {', '.join(unknown)}{hint}."
    if "parameters" not in content:
        return "The file has no `parameters:`."
    if not isinstance(content["parameters"], dict):
        found = _KINDS.get(type(content["parameters"]), "a value")
        return f"`parameters:` holds {found}, where a mapping belongs."
    return None


_KINDS = {list: "a list", str: "text", type(None): "nothing"}


def _load(path: Path) -> Any:
    try:
        content = load_yaml(path.read_text())
    except FileNotFoundError:
        raise HeadwayError(
            "parameters.missing", "There is no such file.", value=str(path), remedy="Check the path."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HeadwayError(
            "parameters.unreadable",
            f"This cannot be read as a text file: {error.strerror if isinstance(error, OSError) else error}.",
            value=str(path),
            remedy="Give the path of a YAML or JSON file in UTF-8.",
        ) from None
    except yaml.YAMLError as error:
        raise HeadwayError(
            "parameters.unreadable",
            f"This is neither YAML nor JSON{_place(error)}.",
            value=str(path),
            remedy="Mend the file there: look for a missing bracket, quote, colon or space, and at the indentation.",
        ) from None
    if content is None:
        raise HeadwayError(
            "parameters.unreadable", "The file is empty.", value=str(path), remedy="Write YAML or JSON into it."
        )
    return content


def _place(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f", in line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return f": {str(error).splitlines()[0]}"


def _resolve(value: Any, folder: Path, staging: Path, *, included: bool = False) -> Any:
    """The value with its references resolved; in a file that was included, `@` is a sign like any other."""
    if isinstance(value, dict):
        return {key: _resolve(item, folder, staging, included=included) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, folder, staging, included=included) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("@") and not included:
        text = value[1:]
        return text if text.startswith("@") else _resolve(_load(folder / text), folder, staging, included=True)
    if value.startswith(PACKAGE):
        return str(_stage(value, staging))
    if value.startswith(("./", "../")):
        return str((folder / value).resolve())
    return value


def _stage(address: str, staging: Path) -> Path:
    """Copies a file of an installed package, found without importing that package."""
    package, _, inner = address.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    source = next((Path(folder) / inner for folder in folders if (Path(folder) / inner).is_file()), None)
    if source is None:
        raise HeadwayError(
            "parameters.package_missing",
            f"The file is not in an installed Python package {package!r}.",
            value=address,
            remedy=f"Install the package that has it: pip install {package}.",
        )
    target = staging / package / inner
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return target
