"""Google Cloud Storage behind the verbs of `storage`: preconditions, verified checksums, bounded retries."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import Stat, bucket_and_prefix, not_found, written_aside

TIMEOUT_S = 60.0
UPLOAD_PIECE_BYTES = 8 * 2**20
_WRITER = "headway-writer"


class GcsStorage:
    """Objects below `gs://bucket/prefix`.

    Every call is retried with backoff for at most a minute when the network or the server fails; content is checked
    against its crc32c on the way up and down. Credentials come from the environment (workload identity, or
    `STORAGE_EMULATOR_HOST` in tests).
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._bucket_name, self._prefix = bucket_and_prefix(uri)

    def read(self, key: str) -> bytes:
        with self._named_errors(key):
            return bytes(self._blob(key).download_as_bytes(checksum="crc32c", retry=_retry()))

    def write(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._blob(key).upload_from_string(
                data, content_type="application/octet-stream", checksum="crc32c", retry=_retry()
            )

    def create(self, key: str, data: bytes) -> bool:
        blob = self._blob(key)
        with self._named_errors(key), self._created_once(blob) as options:
            blob.upload_from_string(data, content_type="application/octet-stream", **options)
        return self._is_ours(blob)

    def stat(self, key: str) -> Stat | None:
        with self._named_errors(key):
            blob = self._bucket.get_blob(self._prefix + key, retry=_retry())
        return None if blob is None else self._stat(blob)

    def list(self, prefix: str = "") -> list[Stat]:
        start = (self._prefix + prefix).rstrip("/")
        with self._named_errors(prefix):
            blobs = list(self._client.list_blobs(self._bucket, prefix=start, retry=_retry()))
        inside = [b for b in blobs if not start or b.name == start or b.name.startswith(f"{start}/")]
        return sorted((self._stat(blob) for blob in inside if not blob.name.endswith("/")), key=lambda stat: stat.key)

    def delete(self, key: str) -> None:
        from google.api_core.exceptions import NotFound

        with self._named_errors(key), contextlib.suppress(NotFound):
            self._blob(key).delete(retry=_retry())

    def download(self, key: str, path: Path) -> None:
        with written_aside(path) as aside, self._named_errors(key):
            self._blob(key).download_to_filename(str(aside), checksum="crc32c", retry=_retry())
            aside.replace(path)

    def upload(self, path: Path, key: str) -> bool:
        blob = self._blob(key, chunk_size=UPLOAD_PIECE_BYTES)
        with self._named_errors(key), self._created_once(blob) as options:
            blob.upload_from_filename(str(path), content_type="application/octet-stream", **options)
        return self._is_ours(blob)

    @functools.cached_property
    def _client(self) -> Any:
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage

        try:
            return storage.Client()
        except DefaultCredentialsError:
            raise HeadwayError(
                "storage.no_credentials",
                "There are no Google credentials in this environment.",
                value=self.uri,
                remedy="Use workload identity in a cluster, `gcloud auth application-default login` on a laptop.",
            ) from None

    @functools.cached_property
    def _bucket(self) -> Any:
        return self._client.bucket(self._bucket_name)

    def _blob(self, key: str, **options: object) -> Any:
        return self._bucket.blob(self._prefix + key, **options)

    def _stat(self, blob: Any) -> Stat:
        key = blob.name.removeprefix(self._prefix)
        return Stat(key, int(blob.size), blob.updated, str(blob.generation), f"crc32c:{blob.crc32c}")

    @contextlib.contextmanager
    def _created_once(self, blob: Any) -> Iterator[dict[str, object]]:
        """Upload options that refuse an object which is there; the refusal itself is no error.

        The writer's mark on the object tells a lost answer (the retry is refused by our own first try) from another
        writer's object.
        """
        from google.api_core.exceptions import PreconditionFailed

        blob.metadata = {_WRITER: uuid.uuid4().hex}
        with contextlib.suppress(PreconditionFailed):
            yield {"if_generation_match": 0, "checksum": "crc32c", "retry": _retry()}

    def _is_ours(self, blob: Any) -> bool:
        there = self._bucket.get_blob(blob.name, retry=_retry())
        return there is not None and (there.metadata or {}).get(_WRITER) == blob.metadata[_WRITER]

    @contextlib.contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError

        address = f"{self.uri}/{key}" if key else self.uri
        try:
            yield
        except exceptions.NotFound:
            if self._bucket_is_missing():
                raise HeadwayError(
                    "storage.bucket_not_found",
                    "There is no such bucket.",
                    value=f"gs://{self._bucket_name}",
                    remedy="Check the name, or create the bucket.",
                ) from None
            raise not_found(address) from None
        except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError):
            raise HeadwayError(
                "storage.forbidden",
                "The account of this process may not do this here.",
                value=address,
                remedy=f"Grant it roles/storage.objectUser on the bucket {self._bucket_name}.",
            ) from None
        except _transient_errors() as error:
            raise HeadwayError(
                "storage.unreachable",
                f"The store did not answer well within {TIMEOUT_S:.0f} s of retries: {type(error).__name__}.",
                value=address,
                remedy="Run the step again; if it stays, check the network and the store's status.",
            ) from error

    def _bucket_is_missing(self) -> bool:
        from google.api_core.exceptions import GoogleAPIError

        try:
            return not self._bucket.exists(retry=_retry())
        except GoogleAPIError:
            return False


def _retry() -> Any:
    """Backoff over what google-cloud-storage itself deems transient, for at most `TIMEOUT_S`."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=0.2, maximum=8.0, multiplier=2.0).with_timeout(TIMEOUT_S)


def _transient_errors() -> tuple[type[Exception], ...]:
    import requests
    from google.api_core.exceptions import GoogleAPIError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    return (GoogleAPIError, requests.exceptions.RequestException, InvalidResponse, DataCorruption)
