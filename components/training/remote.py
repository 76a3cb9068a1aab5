"""What a trial in a pod of its own needs: its spec from an address, and the bars that others have set meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from headway.components._shared.config import parse
from headway.components._shared.datasets import MANIFEST
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import TrialSpec
from headway.components._shared.storage import local_folder, open_storage

BARS = "bars.json"


def read_spec(address: str, folder: Path) -> TrialSpec:
    """The spec at an address; what lies beside it is copied to a folder.

    Raises:
        HeadwayError: `storage.not_found`, `config.invalid`.
    """
    place, name = _parted(address)
    storage = open_storage(place)
    spec = parse(TrialSpec, json.loads(storage.read(name)), parameter="spec")
    if Path(spec.data).is_absolute():
        return spec
    storage.download(f"{spec.data}/{MANIFEST}", folder / spec.data / MANIFEST)
    storage.download(spec.schema_path, folder / spec.schema_path)
    return spec.model_copy(
        update={"data": str(folder / spec.data), "schema_path": str(folder / spec.schema_path)},
    )


def read_bars(address: str) -> list[float]:
    """After each fold, what a trial must reach to go on; empty while nobody says so."""
    try:
        return [float(bar) for bar in json.loads(open_storage(_parted(address)[0]).read(BARS))]
    except HeadwayError:
        return []  # a trial that goes on needlessly is better than one that fails for this


def _parted(address: str) -> tuple[str, str]:
    if local_folder(address) is not None:
        path = Path(address.removeprefix("file://")).absolute()
        return str(path.parent), path.name
    place, _, name = address.rpartition("/")
    return place, name
