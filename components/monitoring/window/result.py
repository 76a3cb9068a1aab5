"""What collect_window finds out about a window."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config


class LabelCounts(Config):
    """What became of the labels.

    Attributes:
        given: In the dataset.
        later: Known after the cutoff.
        missing: Without a value.
        unknown_class: Of a class that the model does not have.
        repeated: The same label for the same id once more.
        conflicts: Ids with different labels.
        other_windows: For ids that the window does not have.
        before_prediction: Known before the model was asked: a clock is wrong, or an id is not unique.
        delay_s: Seconds from prediction to label at the 50th, 90th and 99th percentile; None where times are unknown.
    """

    given: int
    later: int
    missing: int
    unknown_class: int
    repeated: int
    conflicts: int
    other_windows: int
    before_prediction: int = 0
    delay_s: tuple[float, float, float] | None = None


class WindowResult(Config):
    """The document of the output `summary`.

    Attributes:
        model_name: The endpoint.
        model_digest: Whose rows the window has.
        start: Of the window, inclusive.
        end: Of the window, exclusive.
        label_cutoff: By when labels had to be known; None takes all.
        rows: That the model answered.
        requests: That they came in.
        fingerprint: Of rows and labels.
        labelled: Rows with a label.
        hourly: Hour to rows and rows with a label.
        refused: Status to requests that were refused.
        other_models: Version (first 12 characters of its digest) to rows that it answered.
        unregistered: Of those, the ones that the state folder has no release of.
        duplicates: Rows left out, since an earlier one has the same id.
        damaged: Files of the log that could not be read.
        foreign: Files of the log with other columns than the model's.
        labels: What became of them; None without any.
        changed: What is another than when this window was collected first; None where that is the first time.
    """

    schema_version: Literal[1] = 1
    kind: Literal["window"] = "window"
    model_name: str
    model_digest: str
    start: str
    end: str
    label_cutoff: str | None = None
    rows: int
    requests: int
    fingerprint: str
    labelled: int = 0
    hourly: dict[str, tuple[int, int]] = {}
    refused: dict[str, int] = {}
    other_models: dict[str, int] = {}
    unregistered: tuple[str, ...] = ()
    duplicates: int = 0
    damaged: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    labels: LabelCounts | None = None
    changed: dict[str, tuple[int, int]] | None = None

    @property
    def coverage(self) -> float | None:
        """Share of the rows that have a label; None where no labels were given, or there is no row."""
        return self.labelled / self.rows if self.labels and self.rows else None
