"""``online``: reads of features with statuses, against Feast and against the drivers alone; materialising and writing.

Three views of ten floats, 100,000 entities. Feast runs in an environment and a process of its own over the same files.
Feast installs hiredis, which is an extra of our adapter: it is put beside, so that both have it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import bench_data
import numpy as np
import pyarrow.parquet as pq
from harness import Measured, Row, in_turn, report
from peers import Child, feast, run_again_with
from raw_online import Raw, RawLMDB, RawPostgres, RawRedis, RawSQLite
from servers import NotInstalled, PostgresServer, RedisServer

from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Source
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_lmdb.plugin import LMDBConfig
from stackwright_postgres.online import PostgresOnlineStore
from stackwright_postgres.plugin import PostgresConfig
from stackwright_redis.online import RedisOnlineStore
from stackwright_redis.plugin import RedisConfig
from stackwright_sqlite.online import SQLiteOnlineStore
from stackwright_sqlite.plugin import SQLiteConfig

VIEWS: Final = 3
WIDTH: Final = 10
CANDIDATES: Final = 500
CALLS: Final = {1: 250, 100: 25, CANDIDATES: 10}
"""Keys of a call → calls a round; Feast has a fifth of them. Short rounds, so that a busy moment hits all alike."""

FEAST_BARS: Final = {("sqlite", 1): 1 / 25, ("redis", 1): 1 / 6, ("sqlite", 100): 1 / 70, ("redis", 100): 1 / 60}
RAW_BAR: Final = 3.0
CANDIDATE_BAR: Final = 1000.0
BLOB: Final = np.arange(WIDTH, dtype=np.float64).tobytes()
DRIVERS: Final = {"sqlite": "sqlite3", "redis": "redis", "lmdb": "lmdb", "postgres": "psycopg"}

Opener = Callable[[str], OnlineStore]


def names_of(view: int, width: int = WIDTH) -> list[str]:
    """Names of a view's fields."""
    return [f"v{view}_{number}" for number in range(width)]


ENTITY: Final = Entity(name="entity", keys=(Field("entity_id", INT64),))


def view_of(name: str, names: Sequence[str]) -> FeatureView:
    """Return a view of floats; its rows expire as Feast's do not."""
    source = Source(event_time="event_timestamp", created_time="created")
    fields = tuple(Field(name, FLOAT64) for name in names)
    return FeatureView(name=name, entity=ENTITY, source=source, fields=fields, max_age=timedelta(days=3650))


NARROW: Final = tuple(view_of(f"view{number}", names_of(number)) for number in range(VIEWS + 1))
WIDE: Final = view_of("wide", names_of(9, 40))
DEFINITIONS: Final = Definitions(
    views=(*NARROW, WIDE),
    services=(
        FeatureService(name="three", selections=tuple(view.select() for view in NARROW[:VIEWS])),
        FeatureService(name="four", selections=tuple(view.select() for view in NARROW)),
        FeatureService(name="wide", selections=(WIDE.select(),)),
    ),
)


class Stores:
    """Our stores over one history, and the drivers.

    Args:
        folder: where their files lie.
        entities: keys of each view.
        redis_port: of a server, if there is one.
        postgres_port: of a server, if there is one.
    """

    def __init__(self, folder: Path, entities: int, redis_port: int | None, postgres_port: int | None) -> None:
        self.entities = entities
        self._context = make_context(folder, lambda: datetime.now(UTC))
        self._folder = folder
        self._openers: dict[str, Opener] = {"sqlite": self._sqlite, "lmdb": self._lmdb}
        self.raw: dict[str, Raw] = {"sqlite": RawSQLite(folder / "raw.db"), "lmdb": RawLMDB(folder / "raw.mdb")}
        if redis_port is not None:
            self._redis_url = f"redis://127.0.0.1:{redis_port}/0"
            self._openers["redis"] = self._redis
            self.raw["redis"] = RawRedis(redis_port)
        if postgres_port is not None:
            self._postgres_url = f"postgresql://postgres@127.0.0.1:{postgres_port}/postgres"
            self._openers["postgres"] = self._postgres
            self.raw["postgres"] = RawPostgres(self._postgres_url)
        self._offline = DuckDBOfflineStore(DuckDBConfig(path=folder / "history"), self._context)
        self.files = self._ingest()
        self._made = 0

    @property
    def names(self) -> list[str]:
        """Names of the adapters that can be measured."""
        return list(self._openers)

    def fresh(self, name: str) -> tuple[ComposedFeatureStore, OnlineStore]:
        """Return a store whose online half is empty, and that half."""
        self._made += 1
        online = self._openers[name](f"made{self._made}")
        return ComposedFeatureStore(self._offline, online, definitions=DEFINITIONS), online

    def _ingest(self) -> list[str]:
        files = []
        self._offline.apply(DEFINITIONS.views)
        store = ComposedFeatureStore(self._offline, None, definitions=DEFINITIONS)
        for seed, view in enumerate(DEFINITIONS.views):
            names = [field.name for field in view.fields]
            path = bench_data.newest(f"online-{view.name}", self.entities, names, seed)
            store.ingest(view.ref, pq.read_table(path))
            files.append(str(path))
        return files

    def _sqlite(self, made: str) -> OnlineStore:
        return SQLiteOnlineStore(SQLiteConfig(path=self._folder / f"{made}.db"), self._context)

    def _lmdb(self, made: str) -> OnlineStore:
        return LMDBOnlineStore(LMDBConfig(path=self._folder / f"{made}.mdb"), self._context)

    def _redis(self, made: str) -> OnlineStore:
        return RedisOnlineStore(RedisConfig(url=self._redis_url, prefix=made), self._context)

    def _postgres(self, made: str) -> OnlineStore:
        return PostgresOnlineStore(PostgresConfig(url=self._postgres_url, table=made), self._context)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few entities and rounds, to try it out")
    quick = parser.parse_args().quick
    run_again_with("hiredis")
    entities, rounds, few = (5_000, 3, 1) if quick else (100_000, 30, 3)
    random.seed(7)
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as guest, ExitStack() as open_:
        folder = Path(place)
        redis_port = port_of(open_, lambda: RedisServer(folder))
        stores = Stores(folder, entities, redis_port, port_of(open_, lambda: PostgresServer(Path(guest))))
        python, number = feast()
        child = open_.enter_context(Child(python, "feast_online.py", [str(folder / "feast")], folder / "feast.log"))
        (folder / "feast").mkdir()
        notes = [f"{name} could not be run" for name in DRIVERS if name not in stores.names]
        loaded = load_feast(child, stores, redis_port)
        written, kept = writing(stores, few, loaded, f"Feast {number}")
        rows = reading(stores, kept, child, list(loaded), f"Feast {number}", rounds)
        rows += candidates(stores, rounds)
        notes += [
            f"Feast {number} reads by `get_online_features(...).to_dict()`; of ours, every column is made, and the "
            "statuses, unless it says `not looked at`",
            "CPU is the mean of a round, of the caller's process alone: that of a server is not in it",
        ]
        notes += dict.fromkeys(f"{row.metric}: {1e6 / row.ours.median:,.0f} rows/s" for row in written)
        report("online-quick" if quick else "online", [*rows, *written], notes)


def port_of(open_: ExitStack, start: Callable[[], RedisServer | PostgresServer]) -> int | None:
    """Start a server for as long as the stack is open; return its port, or ``None`` where it is not installed."""
    try:
        server = start()
    except NotInstalled:
        return None
    open_.callback(server.close)
    return server.port


def load_feast(child: Child, stores: Stores, redis_port: int | None) -> dict[str, float]:
    """Let Feast materialise the same files, for the kinds of store that both have; return seconds of each.

    Raises:
        SystemExit: it reads something else than we do.
    """
    kinds: dict[str, dict[str, Any]] = {"sqlite": {"type": "sqlite", "path": "online.db"}}
    if redis_port is not None:
        kinds["redis"] = {"type": "redis", "connection_string": f"127.0.0.1:{redis_port},db=1"}
    files = [path for path in stores.files if "online-view" in path][:VIEWS]
    expected = sum(np.asarray(table[name][:3]).sum() for table, names in read_files(files) for name in names)
    seconds = {}
    for name, online in kinds.items():
        fields = [names_of(number) for number in range(VIEWS)]
        answer = child.ask(work="load", name=name, online=online, files=files, names=fields)
        if abs(answer["sum"] - expected) > 1e-6:
            raise SystemExit(f"Feast reads {answer['sum']} from {name}, not {expected}")
        seconds[name] = answer["seconds"]
    return seconds


def read_files(files: Sequence[str]) -> list[tuple[Any, list[str]]]:
    """Return each file's table and the names of its fields."""
    return [(pq.read_table(path), names_of(number)) for number, path in enumerate(files)]


def writing(
    stores: Stores, rounds: int, loaded: dict[str, float], peer: str
) -> tuple[list[Row], dict[str, ComposedFeatureStore]]:
    """Measure materialising and writing; return the last store of each adapter, which holds all views."""
    kept: dict[str, ComposedFeatureStore] = {}
    works: dict[str, Callable[[], float]] = {}
    refs = [view.ref for view in NARROW[:VIEWS]]
    rows_in_all = VIEWS * stores.entities
    for name in stores.names:
        works[f"{name} materialise"] = lambda name=name: materialised(stores, name, refs, kept)
        works[f"{name} write"] = lambda name=name: written(stores, name)
        works[f"{name} raw"] = lambda name=name: raw_written(stores, name)
    found = in_turn(works, rounds, warm=0)
    table = []
    for name in stores.names:
        raw, driver = found[f"{name} raw"], f"{DRIVERS[name]} {driver_version(name)} alone"
        table.append(Row(f"{name}: materialise", "µs/row", found[f"{name} materialise"], driver, raw))
        if name in loaded:
            theirs = Measured.of([loaded[name] / rows_in_all * 1e6])
            table.append(Row(f"{name}: materialise", "µs/row", found[f"{name} materialise"], peer, theirs))
        table.append(Row(f"{name}: write", "µs/row", found[f"{name} write"], driver, raw))
    for store in kept.values():
        store.materialize([NARROW[VIEWS].ref, WIDE.ref])
    return table, kept


def materialised(stores: Stores, name: str, refs: Sequence[str], kept: dict[str, ComposedFeatureStore]) -> float:
    """Materialise into an empty store; return µs a row."""
    store, _ = stores.fresh(name)
    kept[name] = store
    started = time.perf_counter()
    reports = store.materialize(refs)
    took = time.perf_counter() - started
    assert [report.written for report in reports] == [stores.entities] * VIEWS
    return took / (VIEWS * stores.entities) * 1e6


def written(stores: Stores, name: str) -> float:
    """Write rows of one view through the contract, in calls of 5,000; return µs a row."""
    _, online = stores.fresh(name)
    count = stores.entities
    rows = [OnlineRow(b"\x02" + key.to_bytes(8, "big"), bytes(24), BLOB) for key in range(count)]
    started = time.perf_counter()
    for start in range(0, count, 5_000):
        online.write("view0@1", rows[start : start + 5_000])
    took = time.perf_counter() - started
    online.close()
    return took / count * 1e6


def raw_written(stores: Stores, name: str) -> float:
    """Write blobs of all views with the driver; return µs a row."""
    blobs = [BLOB] * stores.entities
    started = time.perf_counter()
    stores.raw[name].write(VIEWS, blobs)
    return (time.perf_counter() - started) / (VIEWS * stores.entities) * 1e6


def driver_version(name: str) -> str:
    """Return the version of a driver."""
    if name == "sqlite":
        import sqlite3

        return sqlite3.sqlite_version
    return version(DRIVERS[name])


def median_us(work: Callable[[list[int]], object], batches: Sequence[list[int]], cpu: list[float]) -> float:
    """Call once a batch; return the median in µs by the clock, and note the mean of the process's CPU time."""
    seconds = []
    cpu_before = time.process_time()
    for batch in batches:
        started = time.perf_counter()
        work(batch)
        seconds.append(time.perf_counter() - started)
    cpu.append((time.process_time() - cpu_before) / len(batches) * 1e6)
    return statistics.median(seconds) * 1e6


def reading(
    stores: Stores,
    kept: dict[str, ComposedFeatureStore],
    child: Child,
    peers: Sequence[str],
    peer: str,
    rounds: int,
) -> list[Row]:
    """Measure reads of one key and of 100 keys."""
    rows = []
    for count in (1, 100):
        cpu: dict[str, list[float]] = defaultdict(list)
        works = {f"{name} ours": reader(kept[name], "three@1", stores.entities, count) for name in stores.names}
        works |= {f"{name} raw": raw_reader(stores.raw[name], stores.entities, count) for name in stores.names}
        works |= {f"{name} peer": peer_reader(child, name, stores.entities, count) for name in peers}
        for name in peers:
            works[f"{name} unseen"] = reader(kept[name], "three@1", stores.entities, count, look=False)
        found = in_turn({name: partial(work, cpu[name]) for name, work in works.items()}, rounds)
        used = {name: Measured.of(values[-rounds:]) for name, values in cpu.items()}
        for name in stores.names:
            metric, ours = f"{name}: {count} key{'s' * (count > 1)}", found[f"{name} ours"]
            if name in peers:
                bar, theirs = FEAST_BARS[name, count], found[f"{name} peer"]
                rows.append(Row(metric, "µs", ours, peer, theirs, ratio_bar=bar))
                rows.append(Row(f"{metric}, not looked at", "µs", found[f"{name} unseen"], peer, theirs))
                rows.append(Row(f"{metric}, CPU", "µs", used[f"{name} ours"], peer, used[f"{name} peer"]))
            driver = f"{DRIVERS[name]} {driver_version(name)} alone"
            asked = RAW_BAR if count == 1 and name in peers else None
            rows.append(Row(metric, "µs", ours, driver, found[f"{name} raw"], ratio_bar=asked))
            rows.append(Row(f"{metric}, CPU", "µs", used[f"{name} ours"], driver, used[f"{name} raw"]))
    return rows


def drawn(entities: int, count: int, calls: int) -> list[list[int]]:
    """Draw keys."""
    return [[random.randrange(entities) for _ in range(count)] for _ in range(calls)]


def reader(
    store: ComposedFeatureStore, service: str, entities: int, count: int, *, look: bool = True
) -> Callable[[list[float]], float]:
    """Return what reads so many keys a call, notes CPU time, and gives the median in µs.

    With ``look`` columns and statuses are asked for, so that what is made late counts too.
    """

    def read(keys: list[int]) -> object:
        rows = store.read(service, {"entity_id": keys})
        return (rows.columns, rows.statuses) if look else rows

    return lambda cpu: median_us(read, drawn(entities, count, CALLS[count]), cpu)


def raw_reader(raw: Raw, entities: int, count: int) -> Callable[[list[float]], float]:
    """Return what lets a driver read."""
    return lambda cpu: median_us(lambda keys: raw.read(VIEWS, keys), drawn(entities, count, CALLS[count]), cpu)


def peer_reader(child: Child, name: str, entities: int, count: int) -> Callable[[list[float]], float]:
    """Return what lets Feast read."""

    def read(cpu: list[float]) -> float:
        answer = child.ask(work="read", name=name, batches=drawn(entities, count, CALLS[count] // 5))
        cpu.append(answer["cpu"] / len(answer["seconds"]) * 1e6)
        return statistics.median(answer["seconds"]) * 1e6

    return read


def candidates(stores: Stores, rounds: int) -> list[Row]:
    """Measure one read of 500 candidates with 40 features, of one view and of four."""
    kept = {}
    for name in ("lmdb", "sqlite"):
        kept[name], _ = stores.fresh(name)
        kept[name].materialize()
    works = {
        f"{name}: {CANDIDATES} keys, 40 features of {views} view{'s' * (views > 1)}": reader(
            kept[name], service, stores.entities, CANDIDATES
        )
        for name in kept
        for service, views in (("wide@1", 1), ("four@1", 4))
    }
    cpu: dict[str, list[float]] = defaultdict(list)
    found = in_turn({name: partial(work, cpu[name]) for name, work in works.items()}, rounds)
    rows = []
    for metric, value in found.items():
        asked = CANDIDATE_BAR if metric.startswith("lmdb") and "1 view" in metric else None
        rows.append(Row(metric, "µs", value, bar=asked))
        rows.append(Row(f"{metric}, CPU", "µs", Measured.of(cpu[metric][-rounds:])))
    return rows


if __name__ == "__main__":
    sys.exit(main())
