from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from stackwright_features.normalise import AssumedUtcWarning
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import Aggregate, Definitions, Entity, FeatureService, FeatureView, Window
from stackwright_interfaces.errors import DataError, DefinitionError, FeatureStoreError, UnknownName, VersionRequired
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
AREA = Entity(name="area", keys=(Field("code", STRING),))
DETAILS = FeatureView(name="details", entity=LISTING, fields=(Field("price", FLOAT64),))
VISITS = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64),),
    windows=(Window(name="n", aggregate=Aggregate.COUNT, length=HOUR),),
)
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64),))
SERVICE = FeatureService(name="s", selections=(DETAILS.select(), VISITS.select("n")))
DEFINITIONS = Definitions(entities=(LISTING,), views=(DETAILS, VISITS, AREAS), services=(SERVICE,))


def details(*rows: tuple[int | None, float], at: Any = NOON) -> pa.Table:
    return pa.table(
        {"listing_id": [key for key, _ in rows], "price": [x for _, x in rows], "event_time": [at] * len(rows)}
    )


@pytest.fixture
def store(halves: Any) -> ComposedFeatureStore:
    halves.store.apply(DEFINITIONS)
    return halves.store


def price(store: ComposedFeatureStore, key: int) -> float | None:
    (value,) = store.join("s@1", pa.table({"listing_id": [key], "event_time": [NOON]}))["price"].to_pylist()
    return value


def test_the_report_of_an_ingestion_counts_what_was_refused_on_both_sides(store: Any, halves: Any) -> None:
    store.delete("listing", {"listing_id": [2]})
    report = store.ingest("details@1", details((1, 1.0), (None, 2.0), (2, 3.0)))
    assert (report.view, report.rows, report.added, report.refused) == ("details@1", 3, 1, 2)


def test_naive_times_are_counted_and_warned_of(store: Any) -> None:
    with pytest.warns(AssumedUtcWarning, match="view 'details@1': the times of 1 rows have no zone") as caught:
        report = store.ingest("details@1", details((1, 1.0), at=NOON.replace(tzinfo=None)))
    assert report.assumed_utc == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.ingest("detail@1", details()),
        lambda store: store.materialize(["detail@1"]),
        lambda store: store.join("t@1", details()),
        lambda store: store.read("t@1", {}),
        lambda store: store.delete("listings", {}),
    ],
)
def test_a_name_that_is_not_applied_is_refused(store: Any, call: Any) -> None:
    with pytest.raises(UnknownName, match="Applied: "):
        call(store)


def test_what_is_known_can_be_pinned_and_joined_again(store: Any) -> None:
    store.ingest("details@1", details((1, 1.0)))
    pinned = store.watermarks("s@1")
    assert {view: mark.position for view, mark in pinned.items()} == {"details@1": 1, "visits@1": 0}
    store.ingest("details@1", details((1, 2.0), at=NOON - HOUR / 2))
    store.ingest("details@1", details((2, 3.0)))
    labels = {"listing_id": [1, 2], "event_time": [NOON] * 2}
    assert store.join("s@1", pa.table(labels), as_of=pinned)["price"].to_pylist() == [1.0, None]
    assert store.join("s@1", pa.table(labels))["price"].to_pylist() == [1.0, 3.0]


def test_what_was_never_brought_online_is_told(store: Any) -> None:
    assert store.served("s@1") == {"details@1": None, "visits@1": None}
    store.materialize(["details@1"])
    served = store.served("s@1")
    assert (served["details@1"] is None, served["visits@1"]) == (False, None)
    with pytest.raises(UnknownName):
        store.served("s@2")


def test_views_are_materialised_all_or_by_name(store: Any) -> None:
    assert [report.view for report in store.materialize()] == ["areas@1", "details@1", "visits@1"]
    assert [report.view for report in store.materialize(["visits@1", "areas@1"])] == ["visits@1", "areas@1"]


def test_a_deleted_key_is_gone_from_history_and_online_and_stays_out(store: Any, halves: Any) -> None:
    old = details((1, 1.0), (2, 2.0))
    store.ingest("details@1", old)
    store.materialize()
    assert store.delete("listing", {"listing_id": [1, None]}) == 1
    store.ingest("details@1", old)
    store.materialize()
    assert price(store, 1) is None
    assert price(store, 2) == 2.0
    assert [row.key for row in halves.online.scan("details@1")] != []
    assert store.read("s@1", {"listing_id": [1, 2]}).columns["price"].tolist()[1] == 2.0
    assert store.read("s@1", {"listing_id": [1, 2]}).statuses["price"].tolist() == [2, 0]


def test_a_deletion_spares_other_entities(store: Any) -> None:
    store.ingest("areas@1", pa.table({"code": ["1"], "rate": [1.0], "event_time": [NOON]}))
    store.materialize()
    assert store.delete("listing", {"listing_id": [1]}) == 0


def test_a_deletion_needs_whole_keys_of_one_length(store: Any) -> None:
    with pytest.raises(DataError, match="entity 'listing': column 'listing_id' is missing"):
        store.delete("listing", {"id": [1]})


def test_definitions_that_are_refused_change_nothing(store: Any) -> None:
    changed = replace(DETAILS, fields=(Field("price", INT64),))
    with pytest.raises(VersionRequired):
        store.apply(Definitions(views=(changed,)))
    other = replace(DETAILS, version=2)
    service = FeatureService(name="b", selections=(other.select(),))
    with pytest.raises(DefinitionError, match="view 'details@2' is not among the definitions"):
        store.apply(Definitions(services=(service,)))
    assert store.definitions == DEFINITIONS


def test_what_another_process_applied_is_known_from_the_start(halves: Any) -> None:
    store = ComposedFeatureStore(halves.offline, halves.online, definitions=DEFINITIONS, clock=halves.clock)
    halves.offline.apply(DEFINITIONS.views)
    store.ingest("details@1", details((1, 1.0)))
    assert price(store, 1) == 1.0
    with pytest.raises(VersionRequired):
        store.apply(Definitions(views=(replace(DETAILS, max_age=HOUR),)))


def test_a_read_after_a_new_definition_gives_the_new_outputs(store: Any) -> None:
    store.read("s@1", {"listing_id": [1]})
    store.apply(replace(DEFINITIONS, services=(replace(SERVICE, version=2, selections=(DETAILS.select(),)),)))
    assert store.read("s@2", {"listing_id": [1]}).names == ("price",)
    with pytest.raises(UnknownName):
        store.read("s@1", {"listing_id": [1]})


def test_an_added_field_is_null_or_its_default_in_old_rows_on_both_paths(store: Any) -> None:
    store.ingest("details@1", details((1, 1.0)))
    store.materialize()
    wider = replace(DETAILS, fields=(*DETAILS.fields, Field("kind", STRING), Field("floor", INT64, default=0)))
    service = FeatureService(name="wide", selections=(wider.select("kind", "floor", "price"),))
    old = replace(SERVICE, selections=(wider.select("price"), VISITS.select("n")))
    store.apply(Definitions(views=(wider, VISITS, AREAS), services=(old, service)))
    joined = store.join("wide@1", pa.table({"listing_id": [1], "event_time": [NOON]}))
    assert joined.select(["kind", "floor", "price"]).to_pylist() == [{"kind": None, "floor": 0, "price": 1.0}]
    read = store.read("wide@1", {"listing_id": [1]})
    assert [read.columns[name][0] for name in read.names] == [None, 0.0, 1.0]


def test_a_half_that_is_not_there_is_named(halves: Any) -> None:
    online = ComposedFeatureStore(None, halves.online, definitions=DEFINITIONS)
    offline = ComposedFeatureStore(halves.offline, None, definitions=DEFINITIONS)
    for call in (lambda: online.ingest("details@1", details()), online.materialize):
        with pytest.raises(FeatureStoreError, match=r"feature_store.offline: this store has no offline half"):
            call()
    with pytest.raises(FeatureStoreError, match=r"feature_store.online: this store has no online half"):
        offline.read("s@1", {"listing_id": [1]})


def test_a_store_of_one_half_applies_deletes_and_closes(halves: Any, store: Any) -> None:
    store.ingest("details@1", details((1, 1.0)))
    store.materialize()
    online = ComposedFeatureStore(None, halves.online)
    online.apply(DEFINITIONS)
    assert online.delete("listing", {"listing_id": [1]}) == 1
    online.close()
    offline = ComposedFeatureStore(halves.offline, None)
    offline.apply(DEFINITIONS)
    assert offline.delete("listing", {"listing_id": [1]}) == 1
    offline.close()


def test_both_halves_are_closed_though_one_fails(halves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def fail() -> None:
        raise FeatureStoreError("offline store", "it is stuck")

    monkeypatch.setattr(halves.offline, "close", fail)
    monkeypatch.setattr(halves.online, "close", lambda: closed.append("online"))
    with pytest.raises(FeatureStoreError, match="it is stuck"):
        halves.store.close()
    assert closed == ["online"]


def test_reads_from_many_threads_see_whole_rows_while_rows_are_brought_online(store: Any) -> None:
    pair = FeatureView(name="pair", entity=LISTING, fields=(Field("a", FLOAT64), Field("b", FLOAT64)))
    service = FeatureService(name="p", selections=(pair.select(),))
    store.apply(Definitions(views=(*DEFINITIONS.views, pair), services=(SERVICE, service)))

    def bring(number: float) -> None:
        row = {"listing_id": [1], "a": [number], "b": [number], "event_time": [NOON - HOUR / (1 + number)]}
        store.ingest("pair@1", pa.table(row))
        store.materialize(["pair@1"])

    bring(0.0)

    def read(_: int) -> bool:
        columns = store.read("p@1", {"listing_id": [1]}).columns
        return columns["a"][0] == columns["b"][0]

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(read, range(200))
        for number in range(1, 10):
            bring(float(number))
        assert all(answers)
    assert store.read("p@1", {"listing_id": [1]}).columns["a"].tolist() == [9.0]
