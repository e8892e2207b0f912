from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from stackwright_features import materialisation
from stackwright_features.materialisation import EARLIER, reach
from stackwright_features.watermarks import VIEW
from stackwright_interfaces.definitions import (
    Aggregate,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    Window,
)
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow, Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, Field

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
DETAILS = FeatureView(name="details", entity=LISTING, fields=(Field("price", FLOAT64),))
VISITS = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64),),
    windows=(
        Window(name="total", aggregate=Aggregate.SUM, column="seconds", length=2 * HOUR),
        Window(name="slid", aggregate=Aggregate.SUM, column="seconds", length=2 * HOUR, slide=2 * HOUR),
    ),
)
SOURCE = Source(created_time="created_time")
SERVICE = FeatureService(name="s", selections=(DETAILS.select(), VISITS.select()))


@pytest.fixture
def store(halves: Any) -> Any:
    halves.store.apply(Definitions(views=(DETAILS, VISITS), services=(SERVICE,)))
    return halves.store


def ingest(store: Any, view: FeatureView, *rows: tuple[int, datetime, float]) -> None:
    keys, times, values = zip(*rows, strict=True)
    store.ingest(view.ref, pa.table({"listing_id": keys, "event_time": times, view.fields[0].name: values}))


def prices(store: Any, *keys: int) -> list[float]:
    return store.read("s@1", {"listing_id": list(keys)}).columns["price"].tolist()


def test_the_report_counts_rows_and_what_was_written(store: Any) -> None:
    ingest(store, DETAILS, (1, NOON - HOUR, 1.0), (1, NOON, 2.0), (2, NOON, 3.0), (3, NOON + HOUR, 4.0))
    (report,) = store.materialize(["details@1"])
    assert (report.view, report.rows, report.written) == ("details@1", 3, 2)
    assert report.watermark == Watermark(1, NOON)


def test_only_what_is_new_or_newly_due_is_brought_online(halves: Any, store: Any) -> None:
    ingest(store, DETAILS, (1, NOON, 1.0), (2, NOON, 2.0), (3, NOON + HOUR, 3.0))
    store.materialize()
    ingest(store, DETAILS, (1, NOON, 5.0), (2, NOON - HOUR, 6.0))
    (report,) = store.materialize(["details@1"])
    assert report.rows == 2
    assert store.materialize(["details@1"])[0].rows == 0
    halves.clock.advance(HOUR)
    assert store.materialize(["details@1"])[0].rows == 1
    assert prices(store, 2, 3) == [2.0, 3.0]


def test_doing_it_again_writes_nothing(halves: Any, store: Any) -> None:
    ingest(store, DETAILS, (1, NOON, 1.0))
    ingest(store, VISITS, (1, NOON, 1.0), (2, NOON, 1.0))
    first = store.materialize()
    halves.online.drop(VIEW)
    again = store.materialize()
    assert [report.written for report in first] == [1, 2]
    assert [(report.rows, report.written) for report in again] == [(1, 0), (2, 0)]


def test_going_back_in_time_takes_nothing_away(halves: Any, store: Any) -> None:
    ingest(store, VISITS, (1, NOON - HOUR, 1.0), (1, NOON, 2.0))
    store.materialize(at=NOON + HOUR)
    ingest(store, VISITS, (1, NOON - HOUR, 4.0))
    (_, report) = store.materialize(at=NOON - HOUR)
    assert report.watermark == Watermark(2, NOON + HOUR)
    rows = store.read("s@1", {"listing_id": [1]}, at=NOON + timedelta(microseconds=1))
    assert rows.columns["seconds"].tolist() == [2.0]


def test_a_view_with_windows_keeps_what_its_longest_window_reaches(store: Any) -> None:
    assert reach(VISITS) == 4 * HOUR + EARLIER
    assert reach(DETAILS) is None
    start = NOON - 4 * HOUR
    ingest(store, VISITS, *((1, start + number * HOUR, 2.0**number) for number in range(5)))
    store.materialize()
    rows = store.read("s@1", {"listing_id": [1]})
    assert rows.columns["total"].tolist() == [4.0 + 8.0]
    assert rows.columns["slid"].tolist() == [
        sum(2.0**number for number in range(4) if start + number * HOUR >= NOON - 2 * HOUR)
    ]


@pytest.mark.parametrize("earlier", [timedelta(0), HOUR, 3 * HOUR, EARLIER])
def test_a_window_is_whole_for_a_question_as_of_up_to_a_day_earlier(store: Any, earlier: timedelta) -> None:
    ingest(store, VISITS, *((1, NOON - number * HOUR, 2.0**number) for number in range(40)))
    store.materialize(at=NOON)
    asked = NOON - earlier
    joined = pa.table(store.join("s@1", pa.table({"listing_id": [1], "event_time": [asked]})))
    rows = store.read("s@1", {"listing_id": [1]}, at=asked)
    for name in ("total", "slid"):
        assert rows.columns[name].tolist() == joined[name].to_pylist()


def test_progress_is_told_up_to_the_last_row(store: Any) -> None:
    ingest(store, DETAILS, (1, NOON, 1.0), (2, NOON, 2.0))
    told: list[tuple[str, int, int]] = []
    store.materialize(progress=lambda *step: told.append(step))
    assert told == [("details@1", 2, 2), ("visits@1", 0, 0)]


def test_progress_is_told_after_each_chunk(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackwright_memory.offline._CHUNK", 2)
    ingest(store, DETAILS, *((key, NOON, 1.0) for key in range(5)))
    told: list[tuple[str, int, int]] = []
    store.materialize(["details@1"], progress=lambda *step: told.append(step))
    assert told == [("details@1", 2, 4), ("details@1", 4, 5), ("details@1", 5, 5)]


def test_rows_go_online_in_batches(store: Any, halves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialisation, "_BATCH", 2)
    sizes: list[int] = []
    write = halves.online.write

    def counting(view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        sizes.append(len(rows))
        return write(view, rows)

    monkeypatch.setattr(halves.online, "write", counting)
    ingest(store, DETAILS, *((key, NOON, 1.0) for key in range(5)))
    assert store.materialize(["details@1"])[0].written == 5
    assert sizes == [2, 2, 1, 1]


def test_after_a_crash_the_next_one_converges(store: Any, halves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialisation, "_BATCH", 1)
    ingest(store, DETAILS, *((key, NOON, float(key)) for key in range(3)))
    write, left = halves.online.write, [2]

    def failing(view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        if not left[0]:
            raise FeatureStoreError("online store", "the disk is full")
        left[0] -= 1
        return write(view, rows)

    with monkeypatch.context() as patch:
        patch.setattr(halves.online, "write", failing)
        with pytest.raises(FeatureStoreError, match="the disk is full"):
            store.materialize(["details@1"])
    assert store.read("s@1", {"listing_id": [0]}).watermarks == {"details@1": Watermark(1, NOON)}
    assert store.materialize(["details@1"])[0].written == 1
    assert prices(store, 0, 1, 2) == [0.0, 1.0, 2.0]


def test_revised_events_count_once_online(halves: Any) -> None:
    view = FeatureView(
        name="deals",
        entity=LISTING,
        fields=(Field("amount", FLOAT64), Field("deal", INT64)),
        event_id="deal",
        windows=(Window(name="total", aggregate=Aggregate.SUM, column="amount", length=2 * HOUR),),
        source=SOURCE,
    )
    service = FeatureService(name="d", selections=(view.select("total"),))
    halves.store.apply(Definitions(views=(view,), services=(service,)))
    table = {
        "listing_id": [1, 1, 1],
        "amount": [1.0, 10.0, 100.0],
        "deal": [7, 7, 8],
        "event_time": [NOON - HOUR] * 3,
        "created_time": [NOON - HOUR, NOON, NOON],
    }
    halves.store.ingest("deals@1", pa.table(table))
    halves.store.materialize()
    assert halves.store.read("d@1", {"listing_id": [1]}).columns["total"].tolist() == [110.0]
