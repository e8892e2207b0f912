"""Views computed from others: what an interval sees, by SQL and by a function, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_features.code import collect
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import Computation, Definitions, Entity, FeatureView, Source, computed
from stackwright_interfaces.errors import DefinitionError, FeatureStoreError, VersionRequired
from stackwright_interfaces.feature_store import SupportsComputing
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
VISITS = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64), Field("visit", STRING)),
    event_id="visit",
    source=Source(created_time="created"),
)
TOTALS = """
    SELECT listing_id, sum(seconds) AS total, count(*) AS visits
    FROM visits GROUP BY listing_id ORDER BY listing_id
"""


def interest(computation: Computation, **changes: Any) -> FeatureView:
    fields = (Field("total", FLOAT64), Field("visits", INT64))
    return FeatureView(**{"name": "interest", "entity": LISTING, "fields": fields, "computed": computation, **changes})


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., ComposedFeatureStore]]:
    stores = []

    def open_one(*views: FeatureView, offline: Any = None) -> ComposedFeatureStore:
        context = make_context(tmp_path, lambda: NOON + 24 * HOUR)
        half = offline or DuckDBOfflineStore(DuckDBConfig(), context)
        stores.append(ComposedFeatureStore(half, None, project=tmp_path))
        stores[-1].apply(Definitions(views=(VISITS, *views)))
        rows = [
            (1, 10.0, "a", NOON, NOON),
            (1, 5.0, "b", NOON + HOUR / 2, NOON + HOUR / 2),
            (1, 7.0, "b", NOON + HOUR / 2, NOON + HOUR),
            (2, None, "c", NOON + HOUR / 2, NOON + HOUR),
            (2, 1.0, "d", NOON + HOUR, NOON + HOUR),
            (1, 100.0, "e", NOON - HOUR, NOON - HOUR),
        ]
        names = ["listing_id", "seconds", "visit", "event_time", "created"]
        stores[-1].ingest("visits@1", pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def rows_of(store: ComposedFeatureStore, view: str = "interest@1", start: datetime = NOON) -> list[dict[str, Any]]:
    return list(pa.table(store.compute(view, start, start + HOUR).rows).to_pylist())


RIGHT = [
    {"listing_id": 1, "total": 17.0, "visits": 2, "event_time": NOON + HOUR, "created_time": NOON + HOUR},
    {"listing_id": 2, "total": None, "visits": 1, "event_time": NOON + HOUR, "created_time": NOON + HOUR},
]


def test_sql_sees_the_interval_without_its_end_and_without_revised_rows(open_store: Any) -> None:
    store = open_store(interest(Computation(inputs=(VISITS,), sql=TOTALS)))
    assert rows_of(store) == RIGHT
    assert isinstance(store, SupportsComputing)
    assert store.compute("interest@1", NOON, NOON + HOUR).positions == {"visits@1": 1}


@pytest.mark.parametrize("frame", ["arrow", "pandas", "polars"])
def test_a_function_gives_the_same_over_any_frame(open_store: Any, frame: str) -> None:
    @computed(inputs=(VISITS,), frame=frame)
    def totals(visits: Any) -> Any:
        if frame == "arrow":
            found = visits.group_by("listing_id").aggregate([("seconds", "sum"), ([], "count_all")])
            return found.rename_columns(["listing_id", "total", "visits"])
        if frame == "pandas":
            groups = visits.groupby("listing_id")
            return groups.agg(total=("seconds", lambda s: s.sum(min_count=1)), visits=("visit", "size"))
        import polars as pl

        total = pl.when(pl.col("seconds").count() > 0).then(pl.col("seconds").sum())
        return visits.group_by("listing_id").agg(total=total, visits=pl.len().cast(pl.Int64))

    found = rows_of(open_store(interest(totals)))
    for row in found:
        row["total"] = None if row["total"] != row["total"] else row["total"]
    assert sorted(found, key=lambda row: row["listing_id"]) == RIGHT


def test_lookback_reaches_before_the_interval(open_store: Any) -> None:
    store = open_store(interest(Computation(inputs=(VISITS,), sql=TOTALS, lookback=HOUR)))
    assert [row["total"] for row in rows_of(store)] == [117.0, None]


def test_what_is_computed_can_be_ingested_and_computed_from(open_store: Any) -> None:
    first = interest(Computation(inputs=(VISITS,), sql=TOTALS))
    query = "SELECT listing_id, total * 2 AS total, visits FROM interest"
    second = interest(Computation(inputs=(first,), sql=query), name="double")
    store = open_store(first, second)
    store.ingest("interest@1", store.compute("interest@1", NOON, NOON + HOUR).rows)
    found = rows_of(store, "double@1", NOON + HOUR)
    assert [(row["total"], row["event_time"]) for row in found] == [(34.0, NOON + 2 * HOUR), (None, NOON + 2 * HOUR)]


def test_the_interval_is_told_to_sql_and_to_a_function_that_asks(open_store: Any) -> None:
    @computed(inputs=(VISITS,))
    def bounds(visits: Any, start: datetime, end: datetime) -> Any:
        return pa.table({"listing_id": [1], "total": [(end - start).total_seconds()], "visits": [len(visits)]})

    query = """
        SELECT 1 AS listing_id, epoch(end_time) - epoch(start_time) AS total, (SELECT count(*) FROM visits) AS visits
        FROM interval
    """
    by_sql = interest(Computation(inputs=(VISITS,), sql=query), name="by_sql")
    store = open_store(interest(bounds), by_sql)
    assert [row["total"] for row in rows_of(store)] == [3600.0]
    assert rows_of(store) == rows_of(store, "by_sql@1")


def test_rows_may_have_times_of_their_own_within_the_interval(open_store: Any) -> None:
    query = "SELECT listing_id, seconds AS total, 1 AS visits, event_time + INTERVAL 1 MINUTE AS event_time FROM visits"
    store = open_store(interest(Computation(inputs=(VISITS,), sql=query)))
    assert {row["event_time"] - NOON for row in rows_of(store)} == {timedelta(minutes=1), timedelta(minutes=31)}


@pytest.mark.parametrize("shift", ["0 HOUR", "2 HOUR"])
def test_a_time_outside_the_interval_is_refused(open_store: Any, shift: str) -> None:
    query = f"SELECT listing_id, 1.0 AS total, 1 AS visits, event_time + INTERVAL {shift} AS event_time FROM visits"
    store = open_store(interest(Computation(inputs=(VISITS,), sql=query)))
    with pytest.raises(DefinitionError, match="have an event time outside the interval"):
        rows_of(store)


def test_an_interval_without_rows_is_computed_over_empty_tables(open_store: Any) -> None:
    store = open_store(interest(Computation(inputs=(VISITS,), sql=TOTALS)))
    assert rows_of(store, start=NOON + 10 * HOUR) == []


def test_a_view_that_is_not_computed_and_a_store_without_sql_say_so(open_store: Any, tmp_path: Path) -> None:
    view = interest(Computation(inputs=(VISITS,), sql=TOTALS))
    with pytest.raises(DefinitionError, match=r"view 'visits@1': it is not computed\. Ingest its rows"):
        rows_of(open_store(view), "visits@1")
    memory = MemoryOfflineStore(MemoryConfig(), make_context(tmp_path))
    with pytest.raises(FeatureStoreError, match=r"it runs no SQL\. Choose an offline store that runs SQL"):
        rows_of(open_store(view, offline=memory))


def test_what_fails_is_named(open_store: Any) -> None:
    @computed(inputs=(VISITS,))
    def broken(visits: Any) -> Any:
        return visits["nothing"]

    store = open_store(interest(broken), interest(Computation(inputs=(VISITS,), sql="SELECT x FROM y"), name="sql"))
    with pytest.raises(DefinitionError, match=r"computation 'broken': it failed with KeyError"):
        rows_of(store)
    with pytest.raises(DefinitionError, match=r"(?s)computation 'sql': .*y.*Correct the SQL"):
        rows_of(store, "sql@1")


def test_a_change_of_the_computation_needs_a_version(open_store: Any) -> None:
    view = interest(Computation(inputs=(VISITS,), sql=TOTALS))
    store = open_store(view)
    spaced = interest(Computation(inputs=(VISITS,), sql=TOTALS.replace("\n", " \n ")))
    store.apply(Definitions(views=(VISITS, spaced)))
    other = interest(Computation(inputs=(VISITS,), sql=TOTALS.replace("sum", "max")))
    with pytest.raises(VersionRequired, match="how it is computed changed"):
        store.apply(Definitions(views=(VISITS, other)))
    store.apply(Definitions(views=(VISITS, view, replace(other, version=2))))


def test_what_a_view_is_computed_from_must_be_applied_with_it(open_store: Any) -> None:
    store = open_store()
    view = interest(Computation(inputs=(VISITS,), sql=TOTALS))
    with pytest.raises(DefinitionError, match=r"view 'interest@1': view 'visits@1', which it is computed from, is not"):
        store.apply(Definitions(views=(view,)))


FILE = """
from stackwright_interfaces.definitions import *
from stackwright_interfaces.types import FLOAT64, INT64, Field

listing = Entity(name="listing", keys=(Field("listing_id", INT64),))
visits = FeatureView(name="visits", entity=listing, fields=(Field("seconds", FLOAT64),))

@computed(inputs=(visits,), frame="arrow")
def totals(visits):
    found = visits.group_by("listing_id").aggregate([("seconds", "sum")])
    return found.rename_columns(["listing_id", "total"])

interest = FeatureView(name="interest", entity=listing, fields=(Field("total", FLOAT64),), computed=totals)
service = FeatureService(name="s", selections=(interest.select(),))
"""


def test_a_function_of_a_feature_file_is_applied_with_its_code_and_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "features.py"
    path.write_text(FILE)
    definitions = collect(path)
    assert [view.ref for view in definitions.views] == ["interest@1", "visits@1"]
    view = definitions.views[0]
    assert view.computed is not None
    assert (view.computed.function, len(view.computed.code)) == ("features.py:totals", 64)
    read = replace(definitions, views=tuple(_without_call(view) for view in definitions.views), services=())
    offline = MemoryOfflineStore(MemoryConfig(), make_context(tmp_path))
    store = ComposedFeatureStore(offline, None, project=tmp_path)
    store.apply(read)
    store.ingest("visits@1", pa.table({"listing_id": [1], "seconds": [3.0], "event_time": [NOON]}))
    assert [row["total"] for row in rows_of(store)] == [3.0]
    path.write_text(FILE.replace('"sum"', '"max"'))
    with pytest.raises(DefinitionError, match=r"computation 'totals': the code of .* is not the code that was applied"):
        rows_of(store)


def _without_call(view: FeatureView) -> FeatureView:
    return view if view.computed is None else replace(view, computed=replace(view.computed, call=None))
