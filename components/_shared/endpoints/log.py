"""The inference log of an endpoint as a setting; its layout stands in `_shared/inference_logs.py`."""

from __future__ import annotations

from pydantic import Field

from headway.components._shared.config import Config


class InferenceLog(Config):
    """Whether and where a model server keeps what it was asked and what it answered.

    Attributes:
        uri: Folder, or `gs://` or `s3://` prefix; by default `logs/ENDPOINT` below `state_uri`.
        flush_s: Longest time until a request is in the log, in seconds; so much is lost when a server is killed.
        max_rows: Most rows that wait to be written; what does not fit is dropped and counted.
    """

    uri: str | None = None
    flush_s: float = Field(default=60, gt=0, le=3600)
    max_rows: int = Field(default=200_000, ge=1)

    def arguments(self) -> list[str]:
        """What the model server is told."""
        where = ["--log-uri", self.uri or ""]
        return [*where, "--log-flush-s", f"{self.flush_s:g}", "--log-max-rows", str(self.max_rows)]


def log_key(endpoint: str) -> str:
    """Where an endpoint's log is below a state folder, unless another place was said."""
    return f"logs/{endpoint}"
