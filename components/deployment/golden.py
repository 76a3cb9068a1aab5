"""Golden rows: what they ask and expect, and how they are kept with the release that they are about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset, publish, read_manifest
from headway.components._shared.endpoints.inference import PREDICTION, PROBABILITY, request_of
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import require_columns
from headway.components._shared.state import State, dump_json
from headway.components._shared.storage import open_storage
from headway.components.deployment.engines import Release


@dataclass(frozen=True)
class Golden:
    """Rows whose predictions are known from the evaluation.

    Attributes:
        rows: Features and expected outputs.
        manifest: Of the model.
    """

    rows: pl.DataFrame
    manifest: ModelManifest

    def __post_init__(self) -> None:
        """Checks that features and predictions are there."""
        wanted = [*(f.name for f in self.manifest.features), PREDICTION]
        require_columns(self.rows.columns, wanted, what="The golden dataset")

    def part(self, start: int, count: int) -> Golden:
        """Some of the rows."""
        return Golden(self.rows[start : start + count], self.manifest)

    def request(self) -> bytes:
        """A v2 request for these rows."""
        return json.dumps(request_of(self.rows, self.manifest.features)).encode()

    def expected(self) -> Mapping[str, Sequence[object]]:
        """Output name to values."""
        names = [PREDICTION, *(c for c in self.rows.columns if c.startswith(PROBABILITY))]
        return {name: self.rows[name].to_list() for name in names}


def keep_golden(state: State, release: Release, golden: Dataset) -> str:
    """Copies golden rows to `<release>/golden/`, each shard only if absent, and gives the address of their manifest."""
    folder = state.uri_of(f"{state.release_key(release.model_name, release.model_digest)}/golden")
    name = f"{golden.fingerprint}.json"
    open_storage(folder).create(name, dump_json(publish(golden, folder)))
    return f"{folder}/{name}"


def kept_golden(uri: str) -> Dataset:
    """Golden rows that were kept.

    Raises:
        HeadwayError: `deployment.other_golden` when they are not those that were kept; `storage.not_found`.
    """
    folder, _, name = uri.rpartition("/")
    golden = read_manifest(json.loads(open_storage(folder).read(name)))
    if golden.fingerprint != name.removesuffix(".json"):
        raise HeadwayError(
            "deployment.other_golden",
            "The golden rows of a release are not those that were kept with it.",
            value=uri,
            remedy="Deploy that release again with the golden rows of its evaluation.",
        )
    return golden
