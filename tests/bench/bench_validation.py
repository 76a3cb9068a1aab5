"""CPU of every check over 1 million rows by 20 columns: ours, bare polars expressions, pandera.

Each contender runs in processes of its own and reports the CPU of its work alone, reading the file included, imports
and report rendering not. Ours also builds the mergeable profile and looks up example rows, which the others do not.
The bare script holds only the counts that the same checks need; both find the same, which is compared at the end.
Pandera checks what it knows: types, missing values, ranges, domains, patterns and uniqueness.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROWS = 1_000_000
AS_OF = datetime(2014, 1, 1, tzinfo=UTC)
FENCE = 6.0
NUMBERS = [*(f"x{n}" for n in range(10)), "latitude", "count", "visits"]
DOMAINS = {"kind": 4, "region": 20}
PATTERNS = {"id": "[0-9a-f]{16}", "shop": "s[0-9]+"}
STRINGS = ["kind", "region", "shop", "plan"]
FEW = ["visits", "label"]  # so few values that a shift is measured value by value, as for strings


def make(folder: Path) -> None:
    """Writes the data and, out of its first 200,000 rows, the reference: profile and plain edges alike."""
    from headway.components._shared.profiles import profile_of, write_profile

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"id": [f"{value:016x}" for value in rng.integers(0, 2**62, ROWS)]}
    columns |= {f"x{n}": rng.normal(n, 1 + n, ROWS) for n in range(10)}
    columns |= {"latitude": 40.7 + rng.random(ROWS) / 10, "count": rng.integers(0, 1000, ROWS)}
    columns |= {"visits": rng.poisson(5, ROWS)}
    for name, values, prefix in (("kind", 4, "k"), ("region", 20, "r"), ("shop", 2000, "s"), ("plan", 300, "p")):
        columns[name] = (prefix + pl.Series(rng.integers(0, values, ROWS)).cast(pl.String)).alias(name)
    start, end = pl.datetime(2013, 1, 1, time_zone="UTC"), pl.datetime(2013, 6, 30, time_zone="UTC")
    seconds = (end - start).dt.total_seconds() * pl.int_range(ROWS) // ROWS
    frame = pl.DataFrame(columns).with_columns(
        at=start + pl.duration(seconds=seconds), label=pl.Series(rng.random(ROWS) < 0.2)
    )
    every = pl.int_range(ROWS) % 100_000
    frame = frame.with_columns(
        x0=pl.when(pl.Series(rng.random(ROWS) < 0.05)).then(None).otherwise("x0"),
        x1=pl.when(every == 1).then(9e9).otherwise("x1"),
        region=pl.when(every < 2).then(pl.lit("nowhere")).otherwise("region"),
        shop=pl.when(every == 3).then(pl.lit("?")).otherwise("shop"),
    )
    (folder / "data").mkdir()
    frame.with_columns(customer=pl.col("x9").cast(pl.Float32).cast(pl.Float64)).write_parquet(
        folder / "data" / "part.parquet", compression="zstd"
    )
    head = pl.scan_parquet(folder / "data" / "part.parquet").head(200_000)
    write_profile(profile_of(head, contract()), folder / "reference.json")
    edges = {
        name: [float(head.select(pl.col(name).quantile(k / 10)).collect().item()) for k in range(1, 10)]
        for name in [*NUMBERS, "customer"]
    }
    del edges["visits"]
    (folder / "edges.json").write_text(json.dumps(edges))


def contract() -> Any:
    """The Schema of the data."""
    from headway.components._shared.schemas import Schema

    columns: list[dict[str, Any]] = []
    for name in ["id", *NUMBERS, *STRINGS, "at", "label", "customer"]:
        column: dict[str, Any] = {"name": name, "type": "string", "max_null_share": 0.1}
        if name in (*NUMBERS, "customer"):
            kind = "integer" if name in ("count", "visits") else "number"
            column |= {"type": kind, "minimum": -1000, "maximum": 1_000_000}
        if name in DOMAINS:
            column["domain"] = [f"{name[0]}{n}" for n in range(DOMAINS[name])]
        if name in PATTERNS:
            column["pattern"] = PATTERNS[name]
        roles = {"id": "id", "at": "time", "label": "target"}
        types = {"at": "datetime", "label": "boolean"}
        column |= {"roles": [roles[name]]} if name in roles else {}
        column |= {"type": types[name]} if name in types else {}
        columns.append({**column, "unique": name == "id"})
    return Schema.model_validate({"columns": columns})


def ours(folder: Path) -> Callable[[], dict[str, float]]:
    """All checks but leakage, whose sample the bare script does not have."""
    from headway.components._shared.datasets import open_dataset
    from headway.components._shared.profiles import read_profile
    from headway.components.validation.config import Check, Checks
    from headway.components.validation.judge import validate

    dataset, schema, reference = open_dataset(folder / "data"), contract(), read_profile(folder / "reference.json")
    checks = Checks.model_validate({"as_of": AS_OF.isoformat(), "leakage": "off", "outliers": {"fence": FENCE}})
    assert isinstance(checks.nulls, Check)

    def run() -> dict[str, float]:
        result = validate(dataset, schema, checks, reference=reference)
        found = {f"{f.check} {f.column}": float(f.count or 0) for f in result.findings}
        return found | {f"psi {shift.column}": round(shift.psi, 3) for shift in result.shifts}

    return run


def bare(folder: Path) -> Callable[[], dict[str, float]]:
    """The same checks as polars expressions: one fused streaming query, one for what depends on it, and counts."""
    edges: dict[str, list[float]] = json.loads((folder / "edges.json").read_text())
    scan = pl.scan_parquet(folder / "data" / "part.parquet")
    numbers = [*NUMBERS, "customer"]
    known = json.loads((folder / "reference.json").read_bytes())

    def run() -> dict[str, float]:
        exprs = [pl.len().alias("rows"), (pl.col("at") > AS_OF).sum().alias("future"), pl.col("label").sum()]
        exprs += [pl.all().null_count().name.prefix("null ")]
        exprs += [(pl.col("id").count() - pl.col("id").hash().n_unique()).alias("unique id")]
        places = pl.int_range(1, 4, 2)
        for name in numbers:
            value = pl.col(name)
            exprs += [value.min().alias(f"min {name}"), value.max().alias(f"max {name}")]
            exprs += [((value < -1000) | (value > 1_000_000)).sum().alias(f"range {name}")]
            # Both quartiles out of one sort: `quantile` twice sorts twice.
            exprs += [
                value.drop_nulls().sort().gather(places * value.count() // 4).implode().alias(f"quartiles {name}")
            ]
            exprs += [(value <= edge).sum().alias(f"below {name} {k}") for k, edge in enumerate(edges.get(name, []))]
            if name not in ("count", "visits"):
                exprs += [(value.is_nan() | value.is_infinite()).sum().alias(f"infinite {name}")]
        for name in STRINGS:
            reads = pl.col(name).cast(pl.Float64, strict=False).is_not_null().sum()
            exprs += [reads.alias(f"number {name}")]
        for name, size in DOMAINS.items():
            exprs += [(~pl.col(name).is_in([f"{name[0]}{n}" for n in range(size)])).sum().alias(f"domain {name}")]
        for name, pattern in PATTERNS.items():
            exprs += [(~pl.col(name).str.contains(f"^(?:{pattern})$")).sum().alias(f"pattern {name}")]
        counted = [scan.group_by(name).len() for name in (*STRINGS, *FEW)]
        days = scan.group_by(pl.col("at").dt.truncate("1d")).len()
        first, *groups, _ = pl.collect_all([scan.select(exprs), *counted, days], engine="streaming")
        seen = first.row(0, named=True)
        fences = {}
        for name in numbers:
            low, high = seen[f"quartiles {name}"]
            fences[name] = (low - FENCE * (high - low), high + FENCE * (high - low))
        outside = [
            ((pl.col(name) < low) | (pl.col(name) > high)).sum().alias(f"outliers {name}")
            for name, (low, high) in fences.items()
            if seen[f"min {name}"] < low or seen[f"max {name}"] > high
        ]
        found = {k: v for k, v in seen.items() if k.split()[0] in ("range", "infinite", "domain", "pattern", "unique")}
        found |= scan.select(outside).collect(engine="streaming").row(0, named=True) if outside else {}
        found = {name: float(count) for name, count in found.items() if count}
        return found | {f"psi {name}": value for name, value in _psis(seen, groups, edges, known).items()}

    return run


def _psis(seen: Any, groups: Any, edges: Any, known: Any) -> dict[str, float]:
    from headway.components._shared.statistics.homogeneity import psi

    values = {}
    reference = {column["name"]: column for column in known["columns"]}
    for name in edges:
        rows = seen["rows"] - seen[f"null {name}"]
        after = np.diff([0, *(seen[f"below {name} {k}"] for k in range(9)), rows]).astype(float)
        before = np.full(10, (200_000 - reference[name]["nulls"]) / 10)
        values[name] = round(psi(before, after), 3)
    for name, group in zip((*STRINGS, *FEW), groups, strict=True):
        old = dict(zip(reference[name]["keys"], reference[name]["counts"], strict=True))
        new = dict(group.iter_rows())
        common = sorted(old, key=lambda key: (-old[key], str(key)))
        sets = [*([key] for key in common[:30]), common[30:], [key for key in new if key not in old]]
        table = np.array([[sum(c.get(k, 0) for k in keys) for keys in sets] for c in (old, new)], dtype=float)
        table = table[:, table.sum(axis=0) > 0]
        values[name] = round(psi(table[0], table[1]), 3)
    return values


def pandera(folder: Path) -> Callable[[], dict[str, float]]:
    """What pandera's polars backend knows of these checks; it needs the rows in memory."""
    import pandera.polars as pa

    types = {"integer": pl.Int64, "number": pl.Float64, "string": pl.String, "boolean": pl.Boolean}
    columns = {}
    for column in contract().columns:
        checks = []
        if column.minimum is not None:
            checks.append(pa.Check.in_range(column.minimum, column.maximum))
        if column.domain is not None:
            checks.append(pa.Check.isin(list(column.domain)))
        if column.pattern is not None:
            checks.append(pa.Check.str_matches(f"^(?:{column.pattern})$"))
        dtype = types.get(column.type, pl.Datetime("us", "UTC"))
        columns[column.name] = pa.Column(dtype, checks, nullable=True, unique=column.unique)
    schema = pa.DataFrameSchema(columns)

    def run() -> dict[str, float]:
        try:
            schema.validate(pl.read_parquet(folder / "data" / "part.parquet"), lazy=True)
        except pa.errors.SchemaErrors as errors:
            return {"failure cases": float(errors.failure_cases.height)}
        return {}

    return run


CONTENDERS = {"ours": ours, "bare": bare, "pandera": pandera}


def child(name: str, folder: Path) -> None:
    """One run in this process: what it found, and what it cost."""
    run = CONTENDERS[name](folder)
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    cost = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"found": found, "peak_mib": peak, **cost}))


def main() -> None:
    """Prints the table."""
    from table import Measured, say

    with tempfile.TemporaryDirectory(prefix="bench") as root:
        # In a process of its own: a child's peak memory is never below what its parent had.
        subprocess.run([sys.executable, __file__, "make", root], check=True)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
        for _ in range(5):  # in turn, so that a busy moment hits all alike
            for name, results in runs.items():
                command = [sys.executable, __file__, name, root]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    medians = {
        name: Measured(
            *(statistics.median(result[key] for result in results) for key in ("wall_s", "cpu_s", "peak_mib"))
        )
        for name, results in runs.items()
    }
    mine, theirs = runs["ours"][0]["found"], runs["bare"][0]["found"]
    keys = sorted({*mine, *theirs})
    different = {key: (mine.get(key), theirs.get(key)) for key in keys if mine.get(key) != theirs.get(key)}
    print(f"findings of ours and of the bare script: {'the same' if not different else f'different: {different}'}")
    rows = [
        ("bare polars expressions (the peer)", medians["bare"]),
        ("Headway: same checks, profile and example rows", medians["ours"]),
        ("pandera: contract checks only", medians["pandera"]),
    ]
    ratio = medians["ours"].cpu_s / medians["bare"].cpu_s
    say("validation: 1 million rows x 20 columns", ["polars", "pandera"], rows, ("validation", ratio))


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
