"""Made-up rows, the same for the same sizes, in Parquet files that stay for the next run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

FOLDER: Final = Path(__file__).parents[2] / ".nox" / "bench-data"
START_US: Final = 1_735_689_600_000_000
"""2025-01-01, in microseconds since 1970."""

YEAR_US: Final = 365 * 86_400_000_000
BATCH: Final = 1_000_000
KINDS: Final = ("flat", "house", "villa", "loft", "studio", "castle", "barn", "tent")


def rows(random: np.random.Generator, entities: Any, times_us: Any, names: list[str]) -> pa.Table:
    """Return rows: ``entity_id``, normal values of these names, ``event_timestamp`` and ``created``, a minute later."""
    stamp = pa.timestamp("us", "UTC")
    columns = {"entity_id": pa.array(entities)}
    columns |= {name: pa.array(random.normal(size=len(entities))) for name in names}
    columns["event_timestamp"] = pa.array(times_us).cast(stamp)
    columns["created"] = pa.array(times_us + 60_000_000).cast(stamp)
    return pa.table(columns)


def newest(name: str, entities: int, names: list[str], seed: int) -> Path:
    """Return a file with one row an entity."""
    path = FOLDER / f"{name}-{entities}.parquet"
    if not path.exists():
        random = np.random.default_rng(seed)
        times = START_US + random.integers(0, YEAR_US, entities)
        _written(path, [rows(random, np.arange(entities), times, names)])
    return path


def history(count: int, entities: int, names: list[str]) -> Path:
    """Return a file of rows of random entities, in the order of their times."""
    path = FOLDER / f"history-{count}-{entities}-{len(names)}.parquet"
    if not path.exists():
        sys.stderr.write(f"writing {path}\n")
        random = np.random.default_rng(count)
        times = np.sort(START_US + random.integers(0, YEAR_US, count))
        who = random.integers(0, entities, count)
        starts = range(0, count, BATCH)
        _written(path, (rows(random, who[at : at + BATCH], times[at : at + BATCH], names) for at in starts))
    return path


def labels(count: int, entities: int) -> Path:
    """Return a file of label rows: ``entity_id``, ``event_timestamp``, ``label``; in no order."""
    path = FOLDER / f"labels-{count}-{entities}.parquet"
    if not path.exists():
        random = np.random.default_rng(count + 1)
        times = START_US + random.integers(YEAR_US // 10, YEAR_US, count)
        table = rows(random, random.integers(0, entities, count), times, ["label"]).drop_columns(["created"])
        _written(path, [table])
    return path


def listings(count: int, entities: int, suffix: str) -> Path:
    """Return a Parquet or CSV file of ``entity_id``, ``changed_at``, ``area`` and ``kind``, in the order of times."""
    path = FOLDER / f"listings-{count}-{entities}{suffix}"
    if not path.exists():
        sys.stderr.write(f"writing {path}\n")
        random = np.random.default_rng(count + 2)
        times = np.sort(START_US + random.integers(0, YEAR_US, count))
        who = random.integers(0, entities, count)
        areas, kinds = random.normal(size=count), random.integers(0, len(KINDS), count)
        spans = [slice(at, at + BATCH) for at in range(0, count, BATCH)]
        tables = (
            pa.table(
                {
                    "entity_id": who[span],
                    "changed_at": pa.array(times[span]).cast(pa.timestamp("us", "UTC")),
                    "area": areas[span],
                    "kind": np.array(KINDS)[kinds[span]],
                }
            )
            for span in spans
        )
        _written(path, tables)
    return path


def _written(path: Path, tables: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    writer = None
    for table in tables:
        writer = writer or (csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter)(part, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    part.rename(path)
