"""Ingestions into new views that are larger than what is held of them, or that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_feast.plugin import FeastConfig
from stackwright_feast.store import FeastFeatureStore
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.crashes import crashes
from stackwright_interfaces.types import FLOAT64, INT64, Field

pytestmark = pytest.mark.nightly

# The peak resident set of this program alone; `ru_maxrss` would start at that of its parent.
PEAK = """
import sys
from datetime import datetime
from pathlib import Path
import numpy as np
import pyarrow as pa
from stackwright_feast.plugin import FeastConfig
from stackwright_feast.store import FeastFeatureStore
from stackwright_interfaces.definitions import Definitions, Entity, FeatureView
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

fields = (*(Field(f"f{n}", FLOAT64) for n in range(8)), Field("city", STRING))
view = FeatureView(name="homes", entity=Entity(name="home", keys=(Field("home_id", INT64),)), fields=fields)
stamp = pa.timestamp("us", "UTC")
numbers = [(f"f{n}", pa.float64()) for n in range(8)]
schema = pa.schema([("home_id", pa.int64()), ("event_time", stamp), *numbers, ("city", pa.string())])

def batches(rows):
    random = np.random.default_rng(1)
    for _ in range(rows // 50_000):
        key = random.integers(0, 1_000_000, 50_000)
        at = pa.array(int(NOON.timestamp() * 1e6) - random.integers(0, 10**12, 50_000)).cast(stamp)
        city = pa.array(np.char.add("city ", (key % 1000).astype(str)))
        values = [pa.array(random.normal(size=50_000)) for _ in range(8)]
        yield pa.record_batch([pa.array(key), at, *values, city], schema=schema)

store = FeastFeatureStore(FeastConfig(sort_memory="100MB"), make_context(Path(sys.argv[1])))
store.apply(Definitions(entities=(view.entity,), views=(view,), services=()))
rows = int(sys.argv[2])
for half in range(2):
    given = rows // 2
    report = store.ingest(view.ref, pa.RecordBatchReader.from_batches(schema, batches(given)))
    assert (report.rows, report.added) == (given, 0 if half else given), report
store.close()
status = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        folder = tmp_path / str(rows)
        folder.mkdir()
        unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        command = [sys.executable, "-c", PEAK, str(folder), str(rows)]
        done = subprocess.run(command, env=unmeasured, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout) // 1024

    few, many = peak(600_000), peak(2_400_000)
    assert many - few < 80  # of 230 MB that the rows take as Arrow holds them


HOME = Entity(name="home", keys=(Field("home_id", INT64),))
HOMES = FeatureView(name="homes", entity=HOME, fields=(Field("price", FLOAT64),))
DEFINITIONS = Definitions(
    entities=(HOME,), views=(HOMES,), services=(FeatureService(name="pricing", selections=(HOMES.select(),)),)
)


def homes(**prices: float) -> pa.Table:
    at = pa.array([NOON] * len(prices), pa.timestamp("us", "UTC"))
    keys = pa.array([int(name.removeprefix("home_")) for name in prices], pa.int64())
    return pa.table({"home_id": keys, "price": list(prices.values()), "event_time": at})


def test_an_ingestion_that_is_killed_anywhere_is_whole_or_not_there_and_ends_the_same(tmp_path: Path) -> None:
    def opened(name: str) -> FeastFeatureStore:
        store = FeastFeatureStore(FeastConfig(repo=Path(name)), make_context(tmp_path))
        store.apply(DEFINITIONS)
        return store

    def asked(store: FeastFeatureStore) -> list[float | None]:
        """The answers by Feast, from its own source."""
        labels = homes(home_1=0.0, home_2=0.0, home_3=0.0).drop_columns(["price"])
        answers: list[float | None] = pa.table(store.join("pricing@1", labels))["price"].to_pylist()
        return answers

    def prepare(name: str) -> None:
        opened(name).ingest(HOMES.ref, homes(home_1=1.0))

    def work(name: str) -> None:
        opened(name).ingest(HOMES.ref, homes(home_2=2.0, home_3=3.0))

    killed = 0
    for name in crashes(work, prepare=prepare, at_most=24):
        killed += 1
        store = opened(name)
        assert asked(store) in ([1.0, None, None], [1.0, 2.0, 3.0])
        store.ingest(HOMES.ref, homes(home_2=2.0, home_3=3.0))
        assert asked(store) == [1.0, 2.0, 3.0]
        store.close()
        folder = tmp_path / name / "data/stackwright/homes__v1"
        assert pq.ParquetFile(folder / "history.parquet").metadata.num_rows == 3
        assert not list(folder.glob(".tmp-*"))
    assert killed > 5
