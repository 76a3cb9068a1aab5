"""Finds the contract that data is held against: given inline, at an address, or inferred."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Schema
from headway.components._shared.storage import open_storage
from headway.components._shared.yaml_files import load_yaml
from headway.components.validation.config import Contract
from headway.components.validation.infer import propose


def find_contract(given: Mapping[str, Any], dataset: Dataset) -> tuple[Schema, bool]:
    """The Schema, and whether it was inferred from the very data.

    Raises:
        HeadwayError: `contract.unreadable`, `contract.changed`, `storage.not_found`, or `config.invalid` that names
            the field.
    """
    if "columns" in given:
        return parse(Schema, given, parameter="contract"), False
    asked = parse(Contract, given, parameter="contract")
    if asked.uri is None:
        return propose(dataset, asked.roles), True
    folder, _, name = asked.uri.rpartition("/")
    content = open_storage(folder or ".").read(name)
    found = hashlib.sha256(content).hexdigest()
    if asked.sha256 is not None and found != asked.sha256:
        raise HeadwayError(
            "contract.changed",
            f"The contract at {asked.uri} hashes to {found}, not to what was asked for.",
            value=asked.sha256,
            remedy="Review the change, then give its new sha256.",
        )
    return parse(Schema, _loaded(content, asked.uri), parameter="contract"), False


def _loaded(content: bytes, uri: str) -> dict[str, object]:
    import yaml

    try:
        document = load_yaml(content)
    except yaml.YAMLError:
        document = None
    if not isinstance(document, dict):
        raise HeadwayError(
            "contract.unreadable",
            "The contract is neither JSON nor YAML of a schema.",
            value=uri,
            remedy="Give a file in the form of the schema that infer_schema writes.",
        )
    return document
