"""A small Feast repository as its owner has it: hourly statistics of drivers in Parquet, SQLite online."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_feast.vendor import feast, types
from stackwright_interfaces.testing.context import NOON

CONFIGURATION = """\
project: drivers
provider: local
registry: data/registry.db
offline_store: {type: duckdb}
online_store: {type: sqlite, path: data/online.db}
entity_key_serialization_version: 3
"""

DRIVERS = [
    # driver, hours before noon, written down so many hours later, rate, trips, city
    (1, 5, 0, 0.5, 10, "north"),
    (1, 3, 4, 0.25, 20, "south"),
    (1, 1, 0, 0.75, None, None),
    (2, 30, 0, 0.125, 40, "east"),
    (2, -1, 0, 1.0, 50, "west"),
]


def drivers(rows: list[tuple[Any, ...]]) -> pa.Table:
    """The source of the statistics."""
    event = [NOON - hours * timedelta(hours=1) for _, hours, *_ in rows]
    created = [at + delay * timedelta(hours=1) for at, (_, _, delay, *_) in zip(event, rows, strict=True)]
    return pa.table(
        {
            "driver_id": pa.array([row[0] for row in rows], pa.int64()),
            "conv_rate": pa.array([row[3] for row in rows], pa.float32()),
            "trips": pa.array([row[4] for row in rows], pa.int32()),
            "city": pa.array([row[5] for row in rows], pa.string()),
            "profile": pa.array(["{}"] * len(rows), pa.string()),
            "event_timestamp": pa.array(event, pa.timestamp("us", "UTC")),
            "created": pa.array(created, pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture
def write_drivers() -> Callable[[Path, list[tuple[Any, ...]]], None]:
    """Write further rows behind those of the source."""

    def write(folder: Path, rows: list[tuple[Any, ...]]) -> None:
        pq.write_table(drivers([*DRIVERS, *rows]), folder / "data/drivers.parquet")

    return write


@pytest.fixture
def feast_repo(tmp_path: Path) -> Path:
    """The repository, applied by Feast."""
    folder = tmp_path / "their_repo"
    (folder / "data").mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(CONFIGURATION)
    pq.write_table(drivers(DRIVERS), folder / "data/drivers.parquet")
    driver = feast.Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)
    stats = feast.FeatureView(
        name="driver_stats",
        entities=[driver],
        ttl=timedelta(days=1),
        schema=[
            feast.Field(name="driver_id", dtype=types.Int64),
            feast.Field(name="conv_rate", dtype=types.Float32),
            feast.Field(name="trips", dtype=types.Int32, description="Trips of the day"),
            feast.Field(name="city", dtype=types.String),
            feast.Field(name="profile", dtype=types.Json),
        ],
        source=feast.FileSource(
            name="driver_source",
            path="data/drivers.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
        tags={"team": "fleet"},
        owner="fleet@example.org",
    )
    service = feast.FeatureService(name="driver_activity", features=[stats[["trips", "conv_rate"]]])
    store = feast.FeatureStore(repo_path=str(folder))
    store.apply([driver, stats, service], skip_feature_view_validation=True)
    return folder


@pytest.fixture
def noon() -> datetime:
    return NOON.astimezone(UTC)
