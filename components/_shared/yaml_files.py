"""YAML as people mean it: with the plain types of version 1.2, as they are in JSON."""

from __future__ import annotations

import re
from typing import Any

import yaml

_VERSION_1_1 = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")


class _Yaml12(yaml.SafeLoader):
    """`on`, `off`, `yes`, `no` and dates are text."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _VERSION_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:[tT]rue|TRUE|[fF]alse|FALSE)$"), list("tTfF"))


def load_yaml(content: str | bytes) -> Any:
    """The value that YAML or JSON holds; raises `yaml.YAMLError`."""
    return yaml.load(content, Loader=_Yaml12)
