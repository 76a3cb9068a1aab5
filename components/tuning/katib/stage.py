"""Puts what trials in pods of their own need where they can read it, and takes it away again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from headway.components._shared.datasets import MANIFEST, open_dataset, publish
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import TrialSpec
from headway.components._shared.state import dump_json
from headway.components._shared.storage import Storage, open_storage

SPEC, SCHEMA, DATA, BARS = "spec.json", "schema.json", "data", "bars.json"


def stage_of(state_uri: str, run: str | None, search: str) -> str:
    """The folder of a search."""
    return f"{state_uri.rstrip('/')}/runs/{run or 'unnamed'}/trials/{search}"


class Stage:
    """A folder of the state: the trials' spec, their schema, and the manifest of their data.

    Data that lies in a store already (`data_uri` of ingest_data) stays there; a folder of shards is copied once.

    Args:
        uri: The folder's address.
    """

    def __init__(self, uri: str) -> None:
        self._storage: Storage = open_storage(uri)

    def put(self, spec: TrialSpec) -> None:
        """Writes everything, the spec last."""
        dataset = open_dataset(spec.data)
        if (Path(spec.data) / MANIFEST).is_file():
            manifest = json.loads((Path(spec.data) / MANIFEST).read_text())
        else:
            manifest = publish(dataset, f"{self._storage.uri}/{DATA}")
        self._storage.write(f"{DATA}/{MANIFEST}", dump_json(manifest))
        self._storage.write(SCHEMA, Path(spec.schema_path).read_bytes())
        staged = spec.model_copy(update={"data": DATA, "schema_path": SCHEMA})
        self._storage.write(SPEC, dump_json(staged.model_dump(mode="json")))

    def set_bars(self, bars: Sequence[float]) -> None:
        """Tells running trials what they must reach after each fold to go on."""
        self._storage.write(BARS, json.dumps(list(bars)).encode())

    def remove(self) -> None:
        """Takes everything away; what cannot be removed is left to the state's own housekeeping."""
        try:
            for stat in self._storage.list():
                self._storage.delete(stat.key)
        except HeadwayError:
            return
