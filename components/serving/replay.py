"""`python -m headway.components.serving.replay`: writes the log that a server would have written, had it been asked.

For what came before there was a log, and for tries of a monitoring policy on a known past.
"""

from __future__ import annotations

import argparse
import sys

import polars as pl

from headway.components._shared.datasets import open_dataset
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.inference_logs import id_column
from headway.components._shared.releases import fetch_release, release_verdict
from headway.components._shared.schemas import DTYPES, require_columns
from headway.components._shared.storage.folders import scratch_folder
from headway.components.serving.log import LogWriter

_PATIENCE_S = 3600.0


def replay(release: str, data: str, *, time_column: str, log_uri: str) -> int:
    """Has a model answer the rows of a dataset, and logs that at the times that they have; gives their number.

    Args:
        release: Address of a released model, `<state_uri>/releases/<model>/<digest>`.
        data: A dataset with the model's features, its column with the role `id`, and a time; other columns are ignored.
        time_column: When each row was asked for; rows of one time are one request.
        log_uri: Where the log is written.

    Raises:
        HeadwayError: `release.missing`, `release.changed`, `data.column_missing`, `log.name_taken`.
    """
    with scratch_folder() as scratch:
        manifest = fetch_release(release, scratch / "model")
        loaded, dataset = load_model(scratch / "model"), open_dataset(data)
    threshold = release_verdict(release).threshold
    by = id_column(manifest)
    names = [*([by.name] if by else []), *(feature.name for feature in manifest.features)]
    require_columns(dataset.columns, [*names, time_column], what="The dataset to replay")
    time = pl.col(time_column).cast(pl.Datetime("us", "UTC"))
    rows = dataset.read(list(dict.fromkeys([*names, time_column]))).with_columns(time.alias("_at")).sort("_at")
    answers = loaded.predict(rows.select(feature.name for feature in manifest.features))
    values = answers.decided(manifest.classes, threshold)
    writer = LogWriter(log_uri, manifest, flush_s=3600, max_rows=2 * rows.height + 1)
    types = pl.Schema({feature.name: DTYPES[feature.type] for feature in manifest.features})
    begin = 0
    for (at,), part in rows.group_by("_at", maintain_order=True):
        end = begin + part.height
        probabilities = None if answers.probabilities is None else answers.probabilities[begin:end]
        request = f"replayed-{at:%Y%m%dT%H%M%S}"
        frame = part.select(names).cast(types)
        writer.put(
            Served(time=at, request_id=request, frame=frame, values=values[begin:end], probabilities=probabilities)
        )
        begin = end
    writer.close(within_s=_PATIENCE_S)
    return begin


def main() -> int:
    """Gives 1 with the reason as the last line when the rows cannot be answered."""
    parser = argparse.ArgumentParser(prog="python -m headway.components.serving.replay", description=__doc__)
    parser.add_argument("--release", required=True, help="a released model, STATE_URI/releases/MODEL/DIGEST")
    parser.add_argument("--data", required=True, help="a dataset with features, ids and times")
    parser.add_argument("--time-column", required=True, help="when each row was asked for")
    parser.add_argument("--log-uri", required=True, help="folder, gs:// or s3:// prefix of the inference log")
    asked = parser.parse_args()
    try:
        rows = replay(asked.release, asked.data, time_column=asked.time_column, log_uri=asked.log_uri)
    except HeadwayError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{rows:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
