"""Stands for the agent that KServe puts before a model server to log its requests to a bucket.

Passes requests on to the real server, and writes the records that `pkg/logger` of KServe 0.21 writes: the request
always, the answer only if its status is 200, in batches, under the name of the first record.
"""

import base64
import csv
import io
import json
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime

import polars as pl

_KIND = "org.kubeflow.serving.inference."
_COLUMNS = (
    "url",
    "bytes",
    "contentType",
    "reqType",
    "id",
    "sourceUri",
    "inferenceService",
    "namespace",
    "component",
    "endpoint",
    "metadata",
    "annotations",
    "certName",
    "tlsSkipVerify",
)


class Agent:
    """Logs what goes through it.

    Args:
        server: Address of the model server.
        folder: Where the objects are written.
        style: `json`, `csv` or `parquet`.
        batch: Records an object.
        headers: Names of the request's headers that are logged, in Go's canonical form.
        annotations: Of the predictor, that are logged.
        dated: Whether JSON has the time of a record, as from KServe 0.19 on.
    """

    def __init__(self, server, folder, style, *, batch=1, headers=(), annotations=None, dated=True):
        self.server, self.folder, self.style = server, folder, style
        self.batch, self.headers, self.annotations = batch, headers, annotations or {}
        self.dated = dated and style == "json"
        self.waiting = []

    def post(self, path, body, headers=None):
        """Passes a request on; gives the answer's status and body."""
        sent, given = json.dumps(body).encode(), headers or {}
        name = given.get("Ce-Id") or str(uuid.uuid4())
        self._log("request", name, sent, given)
        request = urllib.request.Request(self.server + path, sent, given)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        if status == 200:
            self._log("response", name, content, given)
        return status, json.loads(content)

    def close(self):
        """Writes what waits. The real one loses it."""
        self._write()

    def _log(self, kind, name, content, headers):
        self.waiting.append(
            {
                "url": "s3://logs",
                "bytes": base64.b64encode(content).decode(),
                "contentType": "application/json",
                "reqType": _KIND + kind,
                "id": name,
                "sourceUri": "http://localhost:9081/",
                "inferenceService": "flights",
                "namespace": "team",
                "component": "predictor",
                "endpoint": "",
                "metadata": {k: [v] for k, v in headers.items() if k in self.headers},
                "annotations": self.annotations,
                "certName": "",
                "tlsSkipVerify": False,
                "occurrenceTime": datetime.now(UTC).isoformat().replace("+00:00", "123Z"),  # Go gives nanoseconds
            }
        )
        if len(self.waiting) >= self.batch:
            self._write()

    def _write(self):
        if not self.waiting:
            return
        records, self.waiting = self.waiting, []
        first = records[0]
        name = f"{first['id']}-{first['reqType'].removeprefix(_KIND)}.{self.style}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(self._content(records))

    def _content(self, records):
        if self.style == "json":
            left = [] if self.dated else ["occurrenceTime"]
            kept = [{k: v for k, v in each.items() if v not in ("", {}, False) and k not in left} for each in records]
            return json.dumps(kept[0] if len(kept) == 1 else kept).encode()
        flat = [{name: self._text(each[name]) for name in _COLUMNS} for each in records]
        content = io.BytesIO()
        if self.style == "parquet":
            pl.DataFrame(flat).write_parquet(content)
            return content.getvalue()
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: str(v).lower() if isinstance(v, bool) else v for k, v in each.items()} for each in flat)
        return text.getvalue().encode()

    @staticmethod
    def _text(value):
        return json.dumps(value) if isinstance(value, dict) else value
