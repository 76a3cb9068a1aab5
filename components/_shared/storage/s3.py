"""S3 and what speaks its protocol (MinIO, SeaweedFS) behind the verbs of `storage`, through obstore."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import Stat, bucket_and_prefix, not_found, written_aside

RETRIES = 6
TIMEOUT_S = 60


class S3Storage:
    """Objects below `s3://bucket/prefix`; address and credentials come from the usual AWS variables.

    Every call is retried with backoff, `RETRIES` times within `TIMEOUT_S` at most, when the network or the server
    fails. Creation is conditional (`If-None-Match`), so the server must know that: AWS, MinIO and SeaweedFS do.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._bucket_name, self._prefix = bucket_and_prefix(uri)

    def read(self, key: str) -> bytes:
        with self._named_errors(key):
            return bytes(self._store.get(self._prefix + key).bytes())

    def write(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._store.put(self._prefix + key, data)

    def create(self, key: str, data: bytes) -> bool:
        return self._put_once(key, data)

    def stat(self, key: str) -> Stat | None:
        try:
            with self._named_errors(key):
                return self._stat(self._store.head(self._prefix + key))
        except HeadwayError as error:
            if error.code == "storage.not_found":
                return None
            raise

    def list(self, prefix: str = "") -> list[Stat]:
        start = (self._prefix + prefix).rstrip("/")
        with self._named_errors(prefix):
            found = [meta for page in self._store.list(start or None) for meta in page]
            if prefix and (exact := self.stat(prefix)) and all(meta["path"] != start for meta in found):
                return [exact, *sorted((self._stat(meta) for meta in found), key=lambda stat: stat.key)]
        return sorted((self._stat(meta) for meta in found), key=lambda stat: stat.key)

    def delete(self, key: str) -> None:
        with self._named_errors(key):
            self._store.delete(self._prefix + key)

    def download(self, key: str, path: Path) -> None:
        with written_aside(path) as aside, self._named_errors(key):
            with aside.open("wb") as file:
                for piece in self._store.get(self._prefix + key).stream():
                    file.write(piece)
            aside.replace(path)

    def upload(self, path: Path, key: str) -> bool:
        return self._put_once(key, path)

    @functools.cached_property
    def _store(self) -> Any:
        from obstore.store import S3Store

        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        return S3Store(
            self._bucket_name,
            client_options={"allow_http": plain},
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=TIMEOUT_S),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.2),
                    "max_backoff": timedelta(seconds=8),
                    "base": 2.0,
                },
            },
        )

    def _put_once(self, key: str, content: bytes | Path) -> bool:
        from obstore.exceptions import AlreadyExistsError

        with self._named_errors(key):
            try:
                self._store.put(self._prefix + key, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def _stat(self, meta: Any) -> Stat:
        key = str(meta["path"]).removeprefix(self._prefix)
        checksum = f"etag:{meta['e_tag']}" if meta.get("e_tag") else ""
        return Stat(key, int(meta["size"]), meta["last_modified"], str(meta.get("version") or ""), checksum)

    @contextlib.contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        from obstore import exceptions

        address = f"{self.uri}/{key}" if key else self.uri
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise HeadwayError(
                    "storage.bucket_not_found",
                    "There is no such bucket.",
                    value=f"s3://{self._bucket_name}",
                    remedy="Check the name, or create the bucket.",
                ) from None
            raise not_found(address) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError):
            raise HeadwayError(
                "storage.forbidden",
                "The account of this process may not do this here.",
                value=address,
                remedy=f"Grant it reading and writing of objects in the bucket {self._bucket_name}.",
            ) from None
        except exceptions.BaseError as error:
            raise HeadwayError(
                "storage.unreachable",
                f"The store did not answer well after {RETRIES} retries: {type(error).__name__}.",
                value=address,
                remedy="Run the step again; if it stays, check the network, AWS_ENDPOINT_URL and the store's status.",
            ) from error
