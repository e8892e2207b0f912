"""What the contract of feature stores says beyond single answers, shown on the reference in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Aggregate, FeatureView, Window
from stackwright_interfaces.feature_store import EVENT, ROW, Asked, OfflineStore
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.testing.tables import column, normalised, rows_of
from stackwright_interfaces.types import INT64
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig

VISITS = replace(
    PLAIN,
    name="visits",
    max_age=HOUR,
    windows=(
        Window(name="visits_3h", aggregate=Aggregate.COUNT, length=timedelta(hours=3)),
        Window(name="newest_3h", aggregate=Aggregate.LAST, length=timedelta(hours=3), column="x"),
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OfflineStore]:
    """A store that knows the view."""
    opened = MemoryOfflineStore(MemoryConfig(), make_context(tmp_path))
    opened.apply([VISITS])
    yield opened
    opened.close()


def ingest(store: OfflineStore, view: FeatureView, *rows: Any) -> Any:
    return store.ingest(view, normalised(view, rows))


def ask(store: OfflineStore, *keys: Any) -> list[dict[str, Any]]:
    labels = {
        ROW: pa.array(range(len(keys)), pa.int64()),
        EVENT: pa.array([NOON] * len(keys), pa.timestamp("us", "UTC")),
        "place_id": column(keys, INT64),
    }
    features = {name: name for name in ("x", "visits_3h", "newest_3h")}
    answer = rows_of(
        store.join(pa.table(labels), [Asked(view=VISITS, keys={"place_id": "place_id"}, features=features)])
    )
    return [{name: row[name] for name in features} for row in answer]


def test_an_ingestion_that_adds_nothing_has_a_position_of_its_own(store: OfflineStore) -> None:
    row = fact(1, NOON, x=1.0)
    positions = [ingest(store, VISITS, *rows).position for rows in ([row], [row], [], [fact(2, NOON, x=1.0)])]
    assert positions == sorted(set(positions))
    assert store.watermark(VISITS).position == positions[-1]


@pytest.mark.parametrize("history", [None, HOUR])
def test_no_chunk_of_changes_is_empty(store: OfflineStore, history: timedelta | None) -> None:
    ingest(store, VISITS, fact(1, NOON + HOUR, x=1.0))
    assert list(store.changes(VISITS, None, store.watermark(VISITS), history=history)) == []
    ingest(store, VISITS, fact(1, NOON, x=1.0))
    assert [len(rows_of(chunk)) for chunk in store.changes(VISITS, None, store.watermark(VISITS))] == [1]


def test_windows_hold_expired_rows_count_none_of_an_unknown_key_and_are_null_of_a_null_key(
    store: OfflineStore,
) -> None:
    ingest(store, VISITS, fact(1, NOON - 2 * HOUR, x=1.5))
    assert ask(store, 1, 2, None) == [
        {"x": None, "visits_3h": 1, "newest_3h": 1.5},
        {"x": None, "visits_3h": 0, "newest_3h": None},
        {"x": None, "visits_3h": None, "newest_3h": None},
    ]


def test_a_deletion_holds_for_views_of_the_entity_that_are_applied_later(store: OfflineStore) -> None:
    store.delete([VISITS], pa.table({"place_id": column([1], INT64)}), NOON)
    later = replace(VISITS, name="calls")
    store.apply([later])
    report = ingest(store, later, fact(1, NOON, x=1.0), fact(2, NOON, x=1.0))
    assert (report.refused, report.added) == (1, 1)


def test_threads_may_read_while_others_write(store: OfflineStore) -> None:
    rows = [fact(1, NOON - HOUR * step / 10, x=float(step)) for step in range(20)]
    with ThreadPoolExecutor(4) as pool:
        reports = [pool.submit(ingest, store, VISITS, row) for row in rows]
        counts = [pool.submit(lambda: ask(store, 1)[0]["visits_3h"]) for _ in range(20)]
    assert sorted(report.result().position for report in reports) == list(range(1, 21))
    assert all(0 <= count.result() <= 19 for count in counts)
    assert ask(store, 1) == [{"x": 0.0, "visits_3h": 19, "newest_3h": 1.0}]
