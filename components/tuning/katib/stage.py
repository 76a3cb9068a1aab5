"""Puts what trials in pods of their own need where they can read it, and takes it away again."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from headway.components._shared.datasets import MANIFEST, open_dataset, publish
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import TrialSpec
from headway.components._shared.state import dump_json
from headway.components._shared.storage import Stat, Storage, open_storage
from headway.components._shared.times import format_time, now

log = logging.getLogger("headway")

SPEC, SCHEMA, DATA, BARS = "spec.json", "schema.json", "data", "bars.json"
_FOLDER, _ALIVE = "trials", "alive"
# A step writes there once a minute while it lives; stores' clocks and ours may differ, and a store may be away.
_LEFT_AFTER = timedelta(hours=1)


def stage_of(state_uri: str, search: str) -> str:
    """The folder of a search."""
    return f"{state_uri.rstrip('/')}/{_FOLDER}/{search}"


def sweep_stages(state_uri: str, living: Collection[str]) -> None:
    """Removes what searches have staged whose steps have vanished, in whatever namespace of this state they were.

    Args:
        state_uri: The state folder.
        living: Searches that are known to live.
    """
    storage, staged = open_storage(state_uri), defaultdict[str, list[Stat]](list)
    for stat in storage.list(_FOLDER):
        staged[stat.key.split("/")[1]].append(stat)
    for search, left in staged.items():
        if search not in living and now() - max(stat.modified for stat in left) > _LEFT_AFTER:
            log.info(f"tune_model: removes the data that the search {search} has staged, whose step has vanished")
            Stage(stage_of(state_uri, search)).remove()


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

    def beat(self) -> None:
        """Says that the search lives."""
        try:
            self._storage.write(_ALIVE, format_time(now()).encode())
        except HeadwayError as error:
            log.warning(f"tune_model: the staged data could not be marked as in use: {error.message}")

    def remove(self) -> None:
        """Takes everything away; what cannot be removed is left to the next search's sweep."""
        try:
            for stat in self._storage.list():
                self._storage.delete(stat.key)
        except HeadwayError:
            return
