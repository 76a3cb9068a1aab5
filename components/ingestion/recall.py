"""Remembers which dataset was made of which sources, so that unchanged ones are not parsed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headway.components._shared import datasets
from headway.components._shared.state import dump_json
from headway.components._shared.storage import open_storage
from headway.components.ingestion.config import Source
from headway.components.ingestion.sources import SourceFile


class Recall:
    """Records at `<uri>/by-source/`, one for each key that a dataset was made for.

    Args:
        uri: The folder or place where the datasets lie.
    """

    def __init__(self, uri: str) -> None:
        self._storage = open_storage(uri)

    def find(self, key: str) -> dict[str, Any] | None:
        """What was kept for a key, if anything."""
        name = f"by-source/{key}.json"
        if self._storage.stat(name) is None:
            return None
        record: dict[str, Any] = json.loads(self._storage.read(name))
        return record

    def keep(self, key: str, record: Mapping[str, object]) -> None:
        """Keeps a record for a key."""
        self._storage.write(f"by-source/{key}.json", dump_json({"schema_version": 1, **record}))


def source_key(files: Sequence[SourceFile], source: Source, seed: int) -> str:
    """sha256 over all that decides what is ingested: the files' content, the choices, our code and its libraries.

    When a file was last modified is left out: a copy with the same content gives the same rows.
    """
    parts = {
        "files": [[file.uri, file.size_bytes, file.generation, file.checksum] for file in files],
        "source": source.model_dump(mode="json"),
        "seed": seed,
        "code": _code_sha256(),
        "libraries": [version("polars"), version("pyarrow")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _code_sha256() -> str:
    code = [*sorted(Path(__file__).parent.glob("*.py")), Path(datasets.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()
