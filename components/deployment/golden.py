"""Golden rows kept with the release that they are about, so that it can be verified again long after its run."""

from __future__ import annotations

import json

from headway.components._shared.datasets import Dataset, publish, read_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json
from headway.components._shared.storage import open_storage
from headway.components.deployment.engines import Release


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
