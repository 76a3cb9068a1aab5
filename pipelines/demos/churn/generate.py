"""Makes churn.csv.gz: customers of an invented phone company, drawn from known effects; always the same file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl

ROWS = 6000


def customers(rows: int = ROWS, seed: int = 7) -> pl.DataFrame:
    """Draws customers whose chance to leave follows a logistic model of contract, tenure, charge and calls.

    Returns:
        `rows` customers; `email` is personal, `days_since_login` is missing for one in twelve, and `churned` is
        unknown for customers of the last week, as it would be.
    """
    rng = np.random.default_rng(seed)
    contract = rng.choice(["monthly", "yearly", "two-year"], rows, p=[0.55, 0.28, 0.17])
    plan = rng.choice(["basic", "plus", "family", "business"], rows, p=[0.4, 0.3, 0.2, 0.1])
    region = rng.choice(["north", "east", "south", "west"], rows)
    tenure = np.minimum(rng.gamma(1.6, 16.0, rows).astype(int) + 1, 72)
    base = {"basic": 18.0, "plus": 34.0, "family": 52.0, "business": 71.0}
    charge = np.round(np.array([base[p] for p in plan]) * rng.normal(1.0, 0.12, rows), 2)
    calls = rng.poisson(1.1 + 0.8 * (contract == "monthly"), rows)
    days = rng.integers(0, 60, rows).astype(float)
    logit = (
        -2.4
        + 1.5 * (contract == "monthly")
        - 0.9 * (contract == "two-year")
        - 0.035 * tenure
        + 0.012 * (charge - 35.0)
        + 0.42 * calls
        + 0.018 * days
    )
    churned = rng.random(rows) < 1 / (1 + np.exp(-logit))
    day = np.datetime64("2026-01-01") + rng.integers(0, 180, rows).astype("timedelta64[D]")
    names = rng.permutation(rows)
    frame = pl.DataFrame(
        {
            "customer_id": [f"C{number:05d}" for number in range(rows)],
            "email": [f"customer.{number}@example.org" for number in names],
            "snapshot_date": day,
            "region": region,
            "plan": plan,
            "contract": contract,
            "tenure_months": tenure,
            "monthly_charge": charge,
            "support_calls": calls,
            "days_since_login": days,
            "churned": churned,
        }
    )
    missing = pl.Series(rng.random(rows) < 1 / 12)
    return frame.with_columns(
        pl.when(missing).then(None).otherwise(pl.col("days_since_login")).cast(pl.Int64).alias("days_since_login"),
        pl.when(pl.col("snapshot_date") < pl.date(2026, 6, 23)).then(pl.col("churned")).alias("churned"),
    ).sort("snapshot_date", "customer_id")


if __name__ == "__main__":
    target = Path(__file__).with_name("churn.csv.gz")
    with gzip.GzipFile(target, "wb", mtime=0) as file:
        file.write(customers().write_csv().encode())
