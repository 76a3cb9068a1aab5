"""Nested values as people read them: YAML, in which the innermost stand on one line where they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LINE = 100
_DIGITS = 4


def yaml_text(value: Any) -> str:
    """A JSON value as YAML: a text as it is, the innermost lists and mappings on one line if they are short."""
    return value if isinstance(value, str) else "\n".join(_lines(value))


def rounded(value: Any) -> Any:
    """The same value with four significant digits in every number that is not whole."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if abs(value) < 10**_DIGITS else round(value)
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def _lines(value: Any) -> list[str]:
    whole = _flow(value)
    nested = isinstance(value, Mapping | Sequence) and not isinstance(value, str)
    inside = [] if not nested else value.values() if isinstance(value, Mapping) else value
    if not nested or (len(whole) <= _LINE and not any(isinstance(inner, Mapping) for inner in inside)):
        return [whole]
    lines = []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            first, *rest = _lines(inner)
            lines += [f"{_flow(key)}: {first}"] if not rest else [f"{_flow(key)}:", *_indented([first, *rest])]
    else:
        for inner in value:
            first, *rest = _lines(inner)
            lines += [f"- {first}", *_indented(rest)]
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _flow(value: Any) -> str:
    import yaml

    plain = dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**31)
    return text.removesuffix("...\n").strip()
