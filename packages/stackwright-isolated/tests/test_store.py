"""An offline store apart: tables cross as streams, in both directions, and what breaks off breaks nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_duckdb import plugin
from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import EVENT, ROW, Asked, OfflineStore, SupportsSQL, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.testing.oracle import Fact
from stackwright_interfaces.testing.tables import CutOff, OneStream, normalised, rows_of, stamps
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_isolated import tables
from stackwright_isolated.lanes import Feed, Lane, pair
from stackwright_isolated.tables import Outgoing
from stackwright_isolated.testing import build_apart

HOME = Entity(name="home", keys=(Field("home_id", INT64),))
HOUR = timedelta(hours=1)
BATCH = 1 << 20


@pytest.fixture(scope="module")
def clock() -> SettableClock:
    return SettableClock(NOON)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, clock: SettableClock) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("apart")
    options = {"path": folder / "history", "chunk_rows": 2, "memory_limit": "256MB", "threads": 1}
    apart = build_apart(spec_of(plugin, OfflineStore), make_context(folder, clock), **options)
    yield apart
    apart.close()


def view(name: str) -> FeatureView:
    return FeatureView(name=name, entity=HOME, fields=(Field("x", FLOAT64),))


def rows(of: FeatureView, *values: float) -> pa.Table:
    facts = [Fact((place,), NOON - HOUR, NOON - HOUR, {"x": value}) for place, value in enumerate(values)]
    return normalised(of, facts)


def test_rows_labels_and_changes_cross(store: OfflineStore, clock: SettableClock) -> None:
    homes = view("homes")
    store.apply([homes])
    report = store.ingest(homes, OneStream(rows(homes, 1.5, 2.5, 3.5)))
    assert (report.view, report.added, report.position) == ("homes@1", 3, 1)
    labels = pa.table({ROW: [0, 1], EVENT: stamps([NOON, NOON - 2 * HOUR]), "home": [1, 1]})
    joined = store.join(OneStream(labels), [Asked(view=homes, keys={"home_id": "home"}, features={"x": "the x"})])
    assert [row["the x"] for row in rows_of(joined)] == [2.5, None]
    chunks = [rows_of(chunk) for chunk in store.changes(homes, None, Watermark(1, NOON))]
    assert len(chunks) > 1
    assert [row["x"] for chunk in chunks for row in chunk] == [1.5, 2.5, 3.5]
    assert store.watermark(homes) == Watermark(1, NOON)
    clock.advance(HOUR)
    assert store.watermark(homes) == Watermark(1, NOON + HOUR)


def test_rows_whose_stream_fails_are_not_added_and_the_store_goes_on(store: OfflineStore) -> None:
    cut = view("cut")
    store.apply([cut])
    with pytest.raises(ValueError, match="the source went away"):
        store.ingest(cut, CutOff(rows(cut, *range(8))))
    assert store.ingest(cut, rows(cut, *range(8))).added == 8


def test_an_error_of_the_store_comes_as_itself(store: SupportsSQL) -> None:
    with pytest.raises(FeatureStoreError) as told:
        pa.table(store.sql("SELECT nothing FROM t", {"t": pa.table({"x": [1]})}))
    assert "nothing" in told.value.found


def test_tables_may_be_read_in_any_order(store: SupportsSQL) -> None:
    given = {name: pa.table({"x": pa.array(range(BATCH), pa.int64())}) for name in "abc"}
    query = "SELECT c.x + a.x + b.x AS y FROM c JOIN a ON c.x = a.x JOIN b ON b.x = a.x WHERE c.x = 7"
    assert rows_of(store.sql(query, given)) == [{"y": 21}]


def test_a_result_that_is_not_read_to_its_end_is_let_go(store: SupportsSQL) -> None:
    table = pa.table({"x": pa.array(range(BATCH), pa.int64())})
    reader = pa.RecordBatchReader.from_stream(store.sql("SELECT x FROM t", {"t": table}))
    assert reader.read_next_batch().num_rows
    del reader
    assert rows_of(store.sql("SELECT 1 AS x", {})) == [{"x": 1}]


class Many:
    """More rows than either side may hold, made one batch at a time."""

    def __init__(self, batches: int) -> None:
        self.schema = pa.schema({"x": pa.int64()})
        self.batches = batches

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        batch = pa.record_batch([pa.array(range(BATCH), pa.int64())], schema=self.schema)
        made = (batch for _ in range(self.batches))
        return pa.RecordBatchReader.from_batches(self.schema, made).__arrow_c_stream__()


def most_held(number: int) -> int:
    """Bytes that a process held at its most."""
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_whoever_hands_over_holds_one_piece_of_what_it_makes() -> None:
    """Rows of 240 MB, of which the other side has read nothing yet when they are begun."""
    (here, there), (asking, asked) = pair(), pair()
    outgoing = Outgoing.of(Many(30))
    assert outgoing is not None
    lane = Lane(asking)
    lane.feeds = [Feed(outgoing, here)]

    def read() -> None:
        with there.makefile("rb") as file:
            rows = sum(batch.num_rows for batch in tables.read(file)[1])
        Lane(asked).send({"result": rows})

    before = most_held(os.getpid())
    reading = threading.Thread(target=read)
    reading.start()
    assert lane.receive() == {"result": 30 * BATCH}
    reading.join()
    assert most_held(os.getpid()) - before < 100 << 20
