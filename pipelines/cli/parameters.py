"""Parameter files: a pipeline's name and its parameters, with `@file` and `package://` references resolved."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headway.components._shared.errors import HeadwayError

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


def read_parameters(path: Path, staging: Path) -> ParameterFile:
    """Reads a YAML or JSON parameter file.

    Args:
        path: The file: `pipeline: NAME` and `parameters: {...}`.
        staging: Folder to which data from Python packages is copied: kfp.local rewrites the word `python3`
            in every argument, and installed packages lie below such a folder.

    Returns:
        The parameters. A value `@FILE` becomes the content of that YAML or JSON file, relative to the parameter
        file; `package://PACKAGE/PATH` becomes a local path to that file of an installed package.

    Raises:
        HeadwayError: `parameters.missing`, `parameters.unreadable`, `parameters.package_missing`.
    """
    content = _load(path)
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise HeadwayError(
            "parameters.unreadable",
            "The file has no mapping named `parameters`.",
            value=str(path),
            remedy="Write `pipeline: NAME` and below `parameters:` one line a parameter.",
        )
    unknown = sorted(set(content) - {"pipeline", "parameters", "title"})
    if unknown:
        raise HeadwayError(
            "parameters.unreadable",
            f"The file has unknown keys: {', '.join(unknown)}.",
            value=str(path),
            remedy="Put parameters below `parameters:`.",
        )
    return ParameterFile(content.get("pipeline"), _resolve(content["parameters"], path.parent, staging))


_VERSION_1_1 = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")


class _Yaml12(yaml.SafeLoader):
    """YAML with the plain types of version 1.2: `on`, `off`, `yes`, `no` and dates are text, as they are in JSON."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _VERSION_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:[tT]rue|TRUE|[fF]alse|FALSE)$"), list("tTfF"))


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), Loader=_Yaml12)
    except FileNotFoundError:
        raise HeadwayError(
            "parameters.missing", "There is no such file.", value=str(path), remedy="Check the path."
        ) from None
    except yaml.YAMLError as error:
        raise HeadwayError(
            "parameters.unreadable",
            f"This is neither YAML nor JSON: {str(error).splitlines()[0]}.",
            value=str(path),
            remedy="Mend the file at the line named.",
        ) from None


def _resolve(value: Any, folder: Path, staging: Path) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, folder, staging) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, folder, staging) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return _resolve(_load(folder / value[1:]), folder, staging)
    if isinstance(value, str) and value.startswith(PACKAGE):
        return str(_stage(value, staging))
    if isinstance(value, str) and value.startswith("./"):
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
