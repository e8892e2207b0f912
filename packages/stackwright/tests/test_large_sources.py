"""A source may be larger than memory: what an ingestion holds does not grow with it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BLUEPRINT = """
name = "large"
[feature_store]
offline = { adapter = "duckdb", path = "data", sort_memory = "64MB", threads = 1 }
"""
FEATURES = """
from stackwright import FLOAT64, INT64, STRING, Entity, Expectation, FeatureView, Field, Source
home = Entity(name="home", keys=(Field("home_id", INT64),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="changed_at"),
    fields=(Field("area", FLOAT64), Field("kind", STRING)),
    expect=(Expectation(column="area", low=-3.0),),
)
"""
INGEST = """
import json, sys
from pathlib import Path

import stackwright

with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:
    stack.apply()
    done = stack.ingest("homes", sys.argv[2]).data
held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({**{name: done[name] for name in ("rows", "added", "set_aside")}, "mb": int(held.split()[1]) / 1024}))
"""


def ingested(folder: Path, rows: int) -> dict[str, float]:
    """Ingest so many rows in a process of its own; return what became of them, and the most memory it held."""
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    random = np.random.default_rng(rows)
    first = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    table = pa.table(
        {
            "home_id": random.integers(0, 1000, rows),
            "changed_at": pa.array(first + np.arange(rows) * 1_000_000).cast(pa.timestamp("us", "UTC")),
            "area": random.normal(size=rows),
            "kind": np.array(["flat", "house"])[random.integers(0, 2, rows)],
        }
    )
    pq.write_table(table, folder / "homes.parquet", row_group_size=50_000)
    command = [sys.executable, "-c", INGEST, str(folder), str(folder / "homes.parquet")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    assert found["rows"] == rows == found["added"] + found["set_aside"]
    assert found["set_aside"] == np.count_nonzero(table["area"].to_numpy() < -3.0)
    return found


@pytest.mark.nightly
def test_six_times_the_rows_take_hardly_more_memory(tmp_path: Path) -> None:
    few, many = ingested(tmp_path / "few", 200_000), ingested(tmp_path / "many", 1_200_000)
    assert many["mb"] - few["mb"] < 120  # held whole, a million rows more take 430
