"""Ingestion of large CSV files: time and peak memory beside plain polars and pandas doing the same conversion.

Each contender reads the CSV once, parses numbers and times, makes a label and an id, leaves some rows out and writes
zstd Parquet, in a process of its own. Ours also hashes the source, checks every row's width and every value's type
over the whole file, and makes ids that stay the same for ever (the peers' hashes do not over versions).

    python tests/bench/bench_ingest.py [--gigabytes 1 10] [--runs 5]

Files above 2 GB are read once only.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from table import Measured, measure_command, say

TITLE = "CSV to Parquet with a filter, a label and an id (CPU seconds decide; see the file's first lines)"

OURS = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.ingestion.ingest import ingest
source = {"uris": [sys.argv[1]], "columns": COLUMNS, "row_filter": "status <> 'void'", IDS}
ingest(LocalArtifact(sys.argv[2] + "/data"), source=source)
"""
COLUMNS = "['day', 'status', 'shop', 'amount', 'price', 'weight', 'quantity', 'code', 'note', 'delay > 15 AS late']"

POLARS = """
import sys
import polars as pl
rows = pl.scan_csv(sys.argv[1], null_values=["", "NA"], try_parse_dates=True).filter(pl.col("status") != "void")
made = pl.concat_str("order", "shop", separator="|").hash().alias("id")
columns = ["day", "status", "shop", "amount", "price", "weight", "quantity", "code", "note"]
rows.select(made, *columns, (pl.col("delay") > 15).alias("late")).sink_parquet(
    sys.argv[2] + "/data.parquet", compression="zstd")
"""

PANDAS = """
import sys
import pandas as pd
pieces = pd.read_csv(sys.argv[1], na_values=["", "NA"], parse_dates=["day"], chunksize=250_000)
for number, rows in enumerate(pieces):
    rows = rows[rows["status"] != "void"]
    rows["id"] = pd.util.hash_pandas_object(rows[["order", "shop"]], index=False)
    rows["late"] = rows["delay"] > 15
    columns = ["id", "day", "status", "shop", "amount", "price", "weight", "quantity", "code", "note", "late"]
    rows[columns].to_parquet(f"{sys.argv[2]}/{number:05d}.parquet", compression="zstd")
"""

CONTENDERS = {
    "polars, scan to sink": POLARS,
    "pandas, in pieces": PANDAS,
    "headway, id of two columns": OURS.replace("COLUMNS", COLUMNS).replace("IDS", "'id_columns': ['order', 'shop']"),
    "headway, id of the whole row": OURS.replace("COLUMNS", COLUMNS).replace("IDS", "'id_columns': []"),
}


def main() -> None:
    """Prints the table and the ratio of CPU seconds at the first size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    rows: list[tuple[str, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as folder:
        raw, out = Path(folder) / "raw.csv", Path(folder) / "out"
        for gigabytes in arguments.gigabytes:
            write_csv(raw, int(gigabytes * 2**30))
            runs = 1 if gigabytes > 2 else arguments.runs
            for name, code in CONTENDERS.items():
                out.mkdir(exist_ok=True)
                command = [sys.executable, "-W", "ignore", "-c", code, str(raw), str(out)]
                rows.append((f"{name}, {gigabytes:g} GB x {runs}", measure_command(command, runs, OMP_NUM_THREADS="1")))
                shutil.rmtree(out)
    ratio = rows[2][1].cpu_s / rows[0][1].cpu_s
    say(TITLE, ["headway", "polars", "pyarrow", "pandas"], rows, ("ingest", ratio))


def write_csv(path: Path, size: int) -> None:
    """A file of orders, the same for the same size: 15 columns of numbers, texts and times, hardly any row twice."""
    draw = np.random.default_rng(7)
    with path.open("wb") as file:
        written, first = 0, True
        while written < size:
            piece = orders(draw, 200_000).write_csv(include_header=first, null_value="NA").encode()
            written, first = written + file.write(piece), False


def orders(draw: np.random.Generator, rows: int) -> pl.DataFrame:
    """Some random orders."""
    start = np.datetime64("2024-01-01T00:00:00", "ms")
    days = start + draw.integers(0, 366 * 86400, rows).astype("timedelta64[s]")
    return pl.DataFrame(
        {
            "order": draw.integers(0, 2**50, rows),
            "day": pl.Series(days).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "status": draw.choice(["paid", "open", "void"], rows, p=[0.8, 0.15, 0.05]),
            "shop": draw.choice([f"shop-{n:03d}" for n in range(300)], rows),
            "amount": draw.gamma(2, 50, rows).round(2),
            "price": draw.gamma(2, 5, rows).round(3),
            "weight": pl.Series(draw.normal(size=rows).round(4)).set(pl.Series(draw.random(rows) < 0.05), None),
            "quantity": draw.integers(1, 100, rows),
            "delay": pl.Series(draw.integers(-30, 120, rows)).set(pl.Series(draw.random(rows) < 0.02), None),
            "code": draw.choice([f"{n:04x}" for n in range(5000)], rows),
            "note": draw.choice(["", "call first", "leave at the door", "gift, wrapped"], rows),
            "x1": draw.normal(size=rows).round(4),
            "x2": draw.normal(size=rows).round(4),
            "x3": draw.integers(0, 1000, rows),
            "flag": draw.random(rows) < 0.5,
        }
    )


if __name__ == "__main__":
    main()
