"""What the suite remembers, under one `state_uri`: releases, history, audit events, and the records of each run."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import Storage, local_folder, open_storage

RUN_ID_VARIABLE = "HEADWAY_RUN_ID"
UNUSABLE = "state.unusable"


def run_id() -> str | None:
    """Id of the pipeline run this step belongs to, from the environment; None outside a run.

    In a cluster the variable is filled from the pod's label `pipeline/runid`, locally by `headway run`.
    """
    return os.environ.get(RUN_ID_VARIABLE) or None


class State:
    """Typed paths below a `state_uri`.

    Args:
        state_uri: A local folder, `gs://bucket/prefix` or `s3://bucket/prefix`.
    """

    def __init__(self, state_uri: str) -> None:
        self.uri = state_uri.rstrip("/")
        self.storage: Storage = open_storage(self.uri)

    def release_key(self, model_name: str, model_digest: str) -> str:
        """Folder of one released model: `releases/<model>/<digest>`."""
        return f"releases/{checked_model_name(model_name)}/{model_digest}"

    def history_key(self, model_name: str, entry: str) -> str:
        """One append-only history entry: `history/<model>/<entry>`."""
        return f"history/{checked_model_name(model_name)}/{entry}"

    def run_key(self, run: str, name: str) -> str:
        """A record of a run: `runs/<run>/<name>`, such as `steps/train_model.json` or `reports/train_model.html`."""
        return f"runs/{run}/{name}"

    def uri_of(self, key: str) -> str:
        """Absolute address of a key."""
        return f"{self.uri}/{key}"

    def write_json(self, key: str, record: Mapping[str, object]) -> str:
        """Writes a JSON record and returns its address."""
        self.storage.write(key, dump_json(record))
        return self.uri_of(key)

    def read_json(self, key: str) -> dict[str, object]:
        """Reads a JSON record; `storage.not_found` if there is none."""
        record: dict[str, object] = json.loads(self.storage.read(key))
        return record


def require_writable(state_uri: str) -> None:
    """Makes a local state folder and proves that it can be written; a bucket is taken as it is.

    Raises:
        HeadwayError: `state.unusable`.
    """
    folder = local_folder(state_uri)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(4096))
    except OSError as error:
        raise HeadwayError(
            UNUSABLE,
            f"The folder {folder} cannot be written: {error.strerror}.",
            value=state_uri,
            remedy="Give a folder on a disk with space that this user may write (--home, or state_uri of a pipeline).",
        ) from None


def checked_model_name(name: str) -> str:
    """A model's name, the same everywhere: registered model, InferenceService, endpoint, state folder."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}", name):
        raise HeadwayError(
            "model.name_invalid",
            "This cannot be a model's name.",
            value=name,
            remedy="Use 2 to 31 of a-z, 0-9 and -, beginning with a letter.",
        )
    return name


def dump_json(record: Mapping[str, object]) -> bytes:
    """Canonical JSON: sorted keys, no non-finite number, one newline at the end."""
    return (json.dumps(record, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
