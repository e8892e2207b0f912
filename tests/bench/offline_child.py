"""Our half of ``offline.py`` and the bare DuckDB one; a process a piece of work, so that memory can be told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from answering import answer, peak

WARM: Final = 100
BATCH: Final = 1_000_000


def ours(folder: str, names: list[str]) -> Any:
    """Return our store in a folder, with a view ``history`` and a service of each kind."""
    from stackwright_duckdb.offline import DuckDBOfflineStore
    from stackwright_duckdb.plugin import DuckDBConfig
    from stackwright_features.store import ComposedFeatureStore
    from stackwright_interfaces.definitions import (
        Aggregate,
        Definitions,
        Entity,
        FeatureService,
        FeatureView,
        Source,
        Window,
    )
    from stackwright_interfaces.testing.context import make_context
    from stackwright_interfaces.types import FLOAT64, INT64, Field

    asked = ((Aggregate.COUNT, 1), (Aggregate.SUM, 7), (Aggregate.MEAN, 30), (Aggregate.MIN, 7), (Aggregate.MAX, 30))
    windows = tuple(
        Window(
            name=f"{kind}_{days}d",
            aggregate=kind,
            column=None if kind is Aggregate.COUNT else names[0],
            length=timedelta(days=days),
        )
        for kind, days in asked
    )
    view = FeatureView(
        name="history",
        entity=Entity(name="entity", keys=(Field("entity_id", INT64),)),
        source=Source(event_time="event_timestamp", created_time="created"),
        fields=tuple(Field(name, FLOAT64) for name in names),
        windows=windows,
    )
    values = FeatureService(name="values", selections=(view.select(*names),))
    aggregates = FeatureService(name="aggregates", selections=(view.select(*(window.name for window in windows)),))
    context = make_context(Path(folder), lambda: datetime.now(UTC))
    offline = DuckDBOfflineStore(DuckDBConfig(path=Path(folder) / "data"), context)
    definitions = Definitions(views=(view,), services=(values, aggregates))
    store = ComposedFeatureStore(offline, None)
    store.apply(definitions)
    return store


def join_ours(folder: str, labels: str, names: list[str], service: str = "values@1") -> dict[str, Any]:
    """Join through our public interface."""
    store = ours(folder, names)
    return _joined(labels, lambda table: store.join(service, table, time="event_timestamp"))


def join_bare(history: str, labels: str, names: list[str]) -> dict[str, Any]:
    """Join by one statement of DuckDB over the Parquet file, without an order of the result or of ties."""
    connection = duckdb.connect()
    columns = ", ".join(f"h.{name}" for name in names)

    def join(table: Any) -> Any:
        connection.register("labels", table)
        return connection.sql(
            f"SELECT l.*, {columns} FROM labels l ASOF LEFT JOIN read_parquet('{history}') h "
            "ON l.entity_id = h.entity_id AND l.event_timestamp >= h.event_timestamp"
        ).to_arrow_table()

    return _joined(labels, join)


def _joined(labels: str, join: Callable[[Any], Any]) -> dict[str, Any]:
    table = pq.read_table(labels)
    join(table.slice(0, WARM))
    started, worked = time.perf_counter(), time.process_time()
    found = join(table)
    took, cpu = time.perf_counter() - started, time.process_time() - worked
    most = peak()
    features = found.select(found.column_names[len(table.column_names) :])
    total = sum(pa.compute.sum(column).as_py() or 0 for column in features.columns)
    return {"seconds": took, "cpu": cpu, "peak": most, "rows": len(found), "sum": total}


def ingest_ours(folder: str, history: str, names: list[str]) -> dict[str, Any]:
    """Ingest a file into an empty store, a million rows a call."""
    store = ours(folder, names)
    took, cpu, rows = 0.0, 0.0, 0
    for batch in pq.ParquetFile(history).iter_batches(BATCH):
        table = pa.table(batch)
        started, worked = time.perf_counter(), time.process_time()
        report = store.ingest("history@1", table)
        took, cpu = took + time.perf_counter() - started, cpu + time.process_time() - worked
        rows += report.added
    return {"seconds": took, "cpu": cpu, "peak": peak(), "rows": rows}


BLUEPRINT: Final = """
name = "bench"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
"""
FEATURES: Final = """
from stackwright import FLOAT64, INT64, STRING, Entity, FeatureView, Field, Source
home = Entity(name="home", keys=(Field("entity_id", INT64),))
fields = (Field("area", FLOAT64), Field("kind", STRING))
homes = FeatureView(name="homes", entity=home, source=Source(event_time="changed_at"), fields=fields)
"""


def ingest_file(folder: str, source: str) -> dict[str, Any]:
    """Ingest a file into an empty project by the verb, with all that it does beside."""
    import stackwright

    (Path(folder) / "blueprint.toml").write_text(BLUEPRINT)
    (Path(folder) / "features.py").write_text(FEATURES)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        before = peak()
        started, worked = time.perf_counter(), time.process_time()
        done = stack.ingest("homes", source)
        took, cpu = time.perf_counter() - started, time.process_time() - worked
    return {"seconds": took, "cpu": cpu, "peak": peak(), "before": before, "rows": done.data["added"]}


def copy_bare(file: str, history: str) -> dict[str, Any]:
    """Let DuckDB copy the same rows out of memory into a Parquet file, as they are."""
    connection = duckdb.connect()
    table = pq.read_table(history)
    connection.register("rows", table)
    started, worked = time.perf_counter(), time.process_time()
    connection.sql(f"COPY (SELECT * FROM rows) TO '{file}' (FORMAT PARQUET)")
    took, cpu = time.perf_counter() - started, time.process_time() - worked
    return {"seconds": took, "cpu": cpu, "peak": peak(), "rows": len(table)}


if __name__ == "__main__":
    works = (join_ours, join_bare, ingest_ours, ingest_file, copy_bare)
    answer({work.__name__: work for work in works})
