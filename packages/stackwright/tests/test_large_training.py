"""A training set may be larger than memory: what the process that trains holds hardly grows with it."""

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

from stackwright.assembly.gate_options import GATE_OPTIONS

INPUTS = 30
BLUEPRINT = f"""
name = "large"

[feature_store]
offline = {{ adapter = "duckdb", path = "data", sort_memory = "64MB", threads = 1 }}

[models.valuation]
service = "valuation@1"
target = "price"
interval = 0.0
trainer = {{ adapter = "lightgbm", distributed = true, num_iterations = 3, num_leaves = 7 }}
gates = {{ {", ".join(f"{name} = false" for name in GATE_OPTIONS if name != "baseline")} }}

[registry]
adapter = "files"

[compute]
adapter = "dask"
workers = 2
"""
FEATURES = f"""
from stackwright import FLOAT64, INT64, Entity, FeatureService, FeatureView, Field, Source, Target
home = Entity(name="home", keys=(Field("home_id", INT64),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="changed_at"),
    fields=tuple(Field(f"x{{number}}", FLOAT64) for number in range({INPUTS})),
)
valuation = FeatureService(name="valuation", selections=(homes.select(),))
price = Target(
    name="price", entity=home, value=Field("price", FLOAT64), asked="asked_at", happened="sold_at", observed="known_at",
)
"""
FILL = """
import sys
from pathlib import Path

import stackwright

with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:
    stack.apply()
    for path in sorted(Path(sys.argv[1]).glob("homes-*.parquet")):
        stack.ingest("homes", path)
    for path in sorted(Path(sys.argv[1]).glob("sales-*.parquet")):
        stack.label(path)
"""
TRAIN = """
import json, sys
from pathlib import Path

import stackwright

if __name__ == "__main__":
    with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:
        stack.train()
        (version,), _ = stack.registry.history()
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"data": version.record["data"], "mb": int(held.split()[1]) / 1024}))
"""


def filled(folder: Path, rows: int) -> Path:
    """Make a project with so many homes, each sold once."""
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    first = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    for start in range(0, rows, 250_000):
        random, count = np.random.default_rng(start), min(250_000, rows - start)
        number = np.arange(start, start + count)
        times = first + number * 10_000_000
        values = {f"x{place}": random.normal(size=count) for place in range(INPUTS)}
        price = 100 + 10 * values["x0"] + 5 * values["x1"] + random.normal(size=count)
        homes = {"home_id": number, "changed_at": _times(times), **values}
        asked, told = _times(times + 1_000_000), _times(times + 2_000_000)
        sales = {"home_id": number, "asked_at": asked, "sold_at": told, "known_at": told, "price": price}
        pq.write_table(pa.table(homes), folder / f"homes-{start:08}.parquet")
        pq.write_table(pa.table(sales), folder / f"sales-{start:08}.parquet")
    subprocess.run([sys.executable, "-c", FILL, str(folder)], check=True)
    return folder


def _times(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.timestamp("us", "UTC"))


def trained(folder: Path, rows: int) -> float:
    """Train on so many rows in a process of its own; return the most memory that it held, in MB."""
    script = filled(folder, rows) / "train.py"
    script.write_text(TRAIN)
    done = subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    learned, newer = (found["data"][name]["rows"] for name in ("train", "holdout"))
    assert learned + newer == pytest.approx(rows, abs=2)
    assert found["data"].get("looked_at", {}) == {
        name: 200_000 for name, count in (("train", learned), ("holdout", newer)) if count > 200_000
    }
    return float(found["mb"])


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_a_training_of_four_times_the_rows_holds_a_fraction_of_them(tmp_path: Path) -> None:
    small, large = 500_000, 2_000_000
    few, many = trained(tmp_path / "small", small), trained(tmp_path / "large", large)
    matrix = (large - small) * INPUTS * 8 / 2**20
    assert many - few < 0.5 * matrix, f"{few:.0f} MB of {small:,} rows, {many:.0f} MB of {large:,}"
