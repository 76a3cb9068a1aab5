"""The inference log: what was asked and answered, as Parquet in folders by hour, written beside the request path."""

from __future__ import annotations

import io
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextvars import ContextVar

import polars as pl
from prometheus_client import Counter, Gauge

from headway.components._shared import inference_logs as layout
from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.endpoints.served import Served, log_rows
from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import open_storage

log = logging.getLogger("headway.serving")

_ROWS = Counter("headway_inference_log_rows", "Rows of the inference log by what became of them.", ["outcome"])
_WAITING = Gauge("headway_inference_log_waiting_rows", "Rows that are to be written.")
_FAILURES = Counter("headway_inference_log_failures", "Writes of the inference log that failed and are tried again.")
_FILE_ROWS = 50_000
_CLOSING_S = 20.0


CURRENT: ContextVar[Served | None] = ContextVar("served", default=None)


class LogWriter:
    """Takes requests without waiting, and writes them from a thread of its own.

    What does not fit is dropped and counted, in `headway_inference_log_rows_total{outcome="dropped"}`. A write that
    fails is tried again until it succeeds; meanwhile what waits fills the room.

    Args:
        uri: Folder, or `gs://` or `s3://` prefix.
        manifest: Of the model.
        flush_s: Longest time between arrival and writing, in seconds; so much is lost when the process is killed.
        max_rows: Most rows that wait.

    Raises:
        HeadwayError: `log.name_taken`, `storage.scheme_unknown`.
    """

    def __init__(self, uri: str, manifest: ModelManifest, *, flush_s: float, max_rows: int) -> None:
        layout.log_columns(manifest)  # refuses names that it cannot hold
        self._manifest = manifest
        self._storage = open_storage(uri)
        self._flush_s = flush_s
        self._max_rows = max_rows
        self._server = uuid.uuid4().hex[:16]
        self._files = 0
        self._waiting: list[Served] = []
        self._rows = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._end = threading.Event()
        self._last_try = float("inf")
        self._thread = threading.Thread(target=self._run, name="inference log", daemon=True)
        self._thread.start()

    def put(self, served: Served) -> None:
        """Takes in a request that was answered."""
        with self._lock:
            if self._rows + served.rows > self._max_rows:
                _ROWS.labels("dropped").inc(served.rows)
                return
            self._rows += served.rows
            self._waiting.append(served)
            full = self._rows >= min(_FILE_ROWS, self._max_rows // 2)
        _WAITING.inc(served.rows)
        if full:
            self._wake.set()

    def close(self, within_s: float = _CLOSING_S) -> None:
        """Writes what waits, for so many seconds at most; the rest is counted as dropped."""
        self._last_try = time.monotonic() + within_s
        self._end.set()
        self._wake.set()
        self._thread.join(within_s + 5)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            ending = self._end.is_set()
            with self._lock:
                batch, self._waiting = self._waiting, []
            by_hour: dict[str, list[Served]] = defaultdict(list)
            for served in batch:
                by_hour[layout.hour_folder(served.time)].append(served)
            for folder, requests in by_hour.items():
                self._files += 1
                key, rows = f"{folder}/{self._server}-{self._files:06}.parquet", sum(each.rows for each in requests)
                _ROWS.labels("written" if self._write(key, requests) else "dropped").inc(rows)
                _WAITING.dec(rows)
                with self._lock:
                    self._rows -= rows
            if ending:
                return

    def _write(self, key: str, requests: Sequence[Served]) -> bool:
        """Writes one file; a second try has the same name, so that a write whose answer was lost is no second one."""
        content, delay = _parquet(log_rows(requests, self._manifest)), 0.5
        while True:
            try:
                self._storage.create(key, content)
            except HeadwayError as error:
                _FAILURES.inc()
                log.error(f"the inference log could not be written to {self._storage.uri}: {error.code}")
            else:
                return True
            if time.monotonic() > self._last_try:
                log.error(f"{len(requests)} requests are missing in the inference log")
                return False
            if self._end.wait(delay):
                time.sleep(0.5)
            delay = min(2 * delay, 30.0)


def _parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()
