from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright_features.watermarks import VIEW
from stackwright_interfaces.definitions import (
    Aggregate,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Transform,
    Window,
)
from stackwright_interfaces.errors import DataError, FeatureStoreError, MissingColumn, StoreTimeout, WrongType
from stackwright_interfaces.feature_store import FeatureRows, OnlineRow, Status, Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field

LISTING = Entity(name="listing", keys=(Field("listing_id", INT64), Field("market", STRING)))
AREA = Entity(name="area", keys=(Field("code", STRING),))
DETAILS = FeatureView(
    name="details",
    entity=LISTING,
    fields=(Field("price", FLOAT64), Field("area", STRING), Field("rooms", INT64, default=2)),
)
VISITS = FeatureView(
    name="visits",
    entity=LISTING,
    fields=(Field("seconds", FLOAT64), Field("page", STRING)),
    max_age=HOUR,
    windows=(
        Window(name="n", aggregate=Aggregate.COUNT, length=3 * HOUR),
        Window(name="total", aggregate=Aggregate.SUM, column="seconds", length=3 * HOUR),
    ),
)
AREAS = FeatureView(name="areas", entity=AREA, fields=(Field("rate", FLOAT64),))
SERVICE = FeatureService(name="s", selections=(DETAILS.select(), VISITS.select()))
DERIVED = FeatureService(
    name="derived", selections=(AREAS.select(keys={"code": "details.area"}), DETAILS.select("price"))
)
ASKED = FeatureService(
    name="asked",
    selections=(DETAILS.select("price"),),
    request=(Field("discount", FLOAT64, default=0.5), Field("seen", TIMESTAMP), Field("channel", STRING)),
    transforms=(
        Transform(name="net", inputs=("price", "discount"), type=FLOAT64, call=lambda price, off: price * (1 - off)),
        Transform(name="hour", inputs=("at",), type=INT64, call=lambda at: at.astype("datetime64[h]").astype(int) % 24),
    ),
    outputs=("hour", "net", "channel", "price"),
)


@pytest.fixture
def store(halves: Any) -> Any:
    """Listing (1, "de") has two visits, and lies in the north; listing (2, "de") has no area."""
    store = halves.store
    store.apply(Definitions(views=(DETAILS, VISITS, AREAS), services=(SERVICE, DERIVED, ASKED)))
    keys = {"listing_id": [1, 2], "market": ["de", "de"]}
    details = {"price": [4.0, None], "area": ["north", None], "rooms": [3, None], "event_time": [NOON - HOUR] * 2}
    visits = {"seconds": [1.0, 2.0], "page": ["a", "b"], "event_time": [NOON - 2 * HOUR, NOON - HOUR]}
    store.ingest("details@1", pa.table(keys | details))
    store.ingest("visits@1", pa.table({"listing_id": [1, 1], "market": ["de", "de"]} | visits))
    store.ingest("areas@1", pa.table({"code": ["north"], "rate": [1.5], "event_time": [NOON - HOUR]}))
    store.materialize()
    return store


def keys(*numbers: int | None, market: str | None = "de") -> dict[str, list[Any]]:
    return {"listing_id": list(numbers), "market": [market] * len(numbers)}


def row(rows: FeatureRows, place: int = 0) -> dict[str, tuple[Any, str]]:
    return {name: (rows.columns[name][place], Status(rows.statuses[name][place]).name) for name in rows.names}


def test_a_row_that_is_known_is_present(store: Any) -> None:
    assert row(store.read("s@1", keys(1))) == {
        "price": (4.0, "PRESENT"),
        "area": ("north", "PRESENT"),
        "rooms": (3.0, "PRESENT"),
        "seconds": (2.0, "PRESENT"),
        "page": ("b", "PRESENT"),
        "n": (2.0, "PRESENT"),
        "total": (3.0, "PRESENT"),
    }


def test_nulls_defaults_and_keys_that_are_not_there_are_told_apart(store: Any) -> None:
    statuses = {
        name: [status for _, status in values] for name, values in zip_rows(store.read("s@1", keys(2, 9, None)))
    }
    assert statuses["price"] == ["NULL", "NOT_FOUND", "NOT_FOUND"]
    assert statuses["rooms"] == ["DEFAULTED", "DEFAULTED", "DEFAULTED"]
    assert statuses["n"] == ["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]


def zip_rows(rows: FeatureRows) -> list[tuple[str, list[tuple[Any, str]]]]:
    many = [row(rows, place) for place in range(len(rows.columns[rows.names[0]]))]
    return [(name, [one[name] for one in many]) for name in rows.names]


def test_windows_of_a_key_that_is_not_there_are_empty_and_of_a_null_key_null(store: Any) -> None:
    rows = store.read("s@1", keys(9, None))
    assert rows.columns["n"][0] == 0.0
    assert np.isnan(rows.columns["n"][1])
    assert np.isnan(rows.columns["total"]).all()


def test_a_key_with_one_null_part_is_a_null_key(store: Any) -> None:
    assert np.isnan(store.read("s@1", keys(1, market=None)).columns["n"]).all()
    assert row(store.read("s@1", keys(1, market=None)))["price"][1] == "NOT_FOUND"


def test_age_expires_stored_columns_of_events_and_leaves_windows_alone(store: Any) -> None:
    found = row(store.read("s@1", keys(1), at=NOON + timedelta(microseconds=1)))
    assert found["page"] == (None, "EXPIRED")
    assert found["n"] == (2.0, "PRESENT")
    assert row(store.read("s@1", keys(1), at=NOON))["page"] == ("b", "PRESENT")


def test_the_past_shows_the_newest_event_of_then_and_no_row_of_the_future(store: Any) -> None:
    rows = store.read("s@1", keys(1), at=NOON - HOUR - timedelta(microseconds=1))
    assert row(rows)["page"] == ("a", "PRESENT")
    assert row(rows)["n"] == (1.0, "PRESENT")
    assert row(rows)["price"][1] == "NOT_FOUND"
    assert np.isnat(rows.events["details@1"]).all()
    assert rows.events["visits@1"].tolist() == [(NOON - 2 * HOUR).replace(tzinfo=None)]


def test_doubles_and_the_order_of_the_keys_are_kept(store: Any) -> None:
    rows = store.read("s@1", keys(9, 1, None, 1, 2))
    assert rows.columns["n"].tolist()[:2] == [0.0, 2.0]
    assert [status for _, status in dict(zip_rows(rows))["price"]] == [
        "NOT_FOUND",
        "PRESENT",
        "NOT_FOUND",
        "PRESENT",
        "NULL",
    ]


def test_outputs_come_in_the_order_of_the_service(store: Any) -> None:
    rows = store.read("asked@1", keys(1), {"discount": [0.25], "seen": [NOON], "channel": ["web"]})
    assert rows.names == tuple(rows.columns) == tuple(rows.statuses) == ("hour", "net", "channel", "price")
    assert row(rows) == {
        "hour": (12.0, "PRESENT"),
        "net": (3.0, "PRESENT"),
        "channel": ("web", "PRESENT"),
        "price": (4.0, "PRESENT"),
    }


def test_request_fields_have_nulls_and_defaults_too(store: Any) -> None:
    rows = store.read("asked@1", keys(1, 2), {"discount": [None, 0.0], "seen": [None, NOON], "channel": [None, "web"]})
    assert row(rows)["net"] == (2.0, "PRESENT")
    assert row(rows)["channel"] == (None, "NULL")
    assert row(rows, 1)["net"][1] == "NULL"


def test_a_key_held_by_another_row_is_read_in_a_second_wave(store: Any) -> None:
    rows = store.read("derived@1", keys(1, 2, 9))
    assert rows.columns["rate"][0] == 1.5
    assert [status for _, status in dict(zip_rows(rows))["rate"]] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert list(rows.columns) == ["rate", "price"]


def test_a_service_without_views_needs_no_keys(halves: Any) -> None:
    service = FeatureService(
        name="plain",
        request=(Field("x", FLOAT64),),
        transforms=(Transform(name="double", inputs=("x",), type=FLOAT64, call=lambda x: x * 2),),
    )
    halves.store.apply(Definitions(services=(service,)))
    assert halves.store.read("plain@1", {}, {"x": [1.0, 2.0]}).columns["double"].tolist() == [2.0, 4.0]


def test_no_keys_give_typed_columns(store: Any) -> None:
    rows = store.read("s@1", keys())
    assert {name: (len(values), values.dtype) for name, values in rows.columns.items()} == {
        name: (0, np.dtype(object if name in ("area", "page") else float)) for name in rows.names
    }
    assert all(len(values) == 0 for values in rows.statuses.values())


WHOLE = {"discount": [0.5], "seen": [None], "channel": [None]}


@pytest.mark.parametrize(
    ("asked", "request_", "error", "message"),
    [
        ({"listing_id": [1]}, {}, MissingColumn, "read of asked@1: column 'market' is missing"),
        (keys(1), {"discount": [0.5], "seen": [None]}, MissingColumn, "column 'channel' is missing"),
        (
            {"listing_id": [1, 2], "market": ["de"]},
            WHOLE,
            DataError,
            "'listing_id' has 2 values, 'market' has 1 values",
        ),
        (keys(1), {"discount": [0.5] * 2, "seen": [None], "channel": [None]}, DataError, "'discount' has 2 values"),
        ({"listing_id": ["1"], "market": ["de"]}, {}, WrongType, r"'listing_id' holds '1' \(str\) in row 0"),
        (keys(1), {"discount": ["much"], "seen": [None], "channel": [None]}, WrongType, "'discount' holds 'much'"),
    ],
)
def test_what_is_wrong_with_a_request_is_told(store: Any, asked: Any, request_: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        store.read("asked@1", asked, request_)


class Watched:
    """Notes the reads of an online store, and may let time pass in them."""

    def __init__(self, online: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[list[str], float | None]] = []
        self.before: Any = lambda: None
        read = online.read

        def watched(views: Sequence[str], keys: Any, *, timeout: float | None = None) -> Any:
            self.asked.append((list(views), timeout))
            self.before()
            return read(views, keys, timeout=timeout)

        monkeypatch.setattr(online, "read", watched)


@pytest.fixture
def watched(halves: Any, store: Any, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(halves.online, monkeypatch)


def test_one_read_of_the_store_answers_all_views_and_asks_first_what_is_known(store: Any, watched: Watched) -> None:
    store.read("s@1", keys(1))
    assert [views for views, _ in watched.asked] == [[VIEW, "details@1", "visits@1"]]


def test_what_is_known_is_not_asked_again_within_a_second(
    store: Any, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("stackwright_features.watermarks.monotonic", lambda: now[0])
    for now[0] in (100.0, 100.9, 101.0, 101.5):
        store.read("s@1", keys(1))
    assert [VIEW in views for views, _ in watched.asked] == [True, False, True, False]


def test_a_second_wave_asks_once_more(store: Any, watched: Watched) -> None:
    store.read("derived@1", keys(1))
    assert [views for views, _ in watched.asked] == [[VIEW, "details@1"], ["areas@1"]]


def test_the_deadline_holds_for_both_waves(store: Any, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    for module in ("online_read", "wave"):
        monkeypatch.setattr(f"stackwright_features.{module}.monotonic", lambda: now[0])

    def pass_time() -> None:
        now[0] += 0.75

    watched.before = pass_time
    store.read("derived@1", keys(1), timeout=1.0)
    assert [timeout for _, timeout in watched.asked] == [1.0, 0.25]
    with pytest.raises(StoreTimeout, match="the deadline passed"):
        store.read("derived@1", keys(1), timeout=0.5)


def test_watermarks_tell_what_each_view_knows(store: Any) -> None:
    rows = store.read("derived@1", keys(1, 9))
    assert rows.watermarks == {"details@1": Watermark(1, NOON), "areas@1": Watermark(1, NOON)}
    assert rows.at == NOON


def test_a_row_that_was_written_since_knows_more_than_the_state_that_was_read(halves: Any, store: Any) -> None:
    store.read("s@1", keys(1))
    state = next(iter(halves.online.scan(VIEW)))
    halves.clock.advance(HOUR)
    columns = {"price": [5.0, 5.0], "area": ["x", "x"], "rooms": [1, 1], "event_time": [NOON] * 2}
    store.ingest("details@1", pa.table({"listing_id": [1, 3], "market": ["de", "de"]} | columns))
    store.materialize(["details@1"])
    halves.online.drop(VIEW)
    halves.online.write(VIEW, [OnlineRow(state.key, state.order, state.payload)])
    assert store.read("s@1", keys(1)).watermarks["details@1"] == Watermark(2, NOON + HOUR)


def test_a_view_that_was_never_materialised_knows_nothing(halves: Any) -> None:
    halves.store.apply(Definitions(views=(DETAILS, VISITS, AREAS), services=(SERVICE,)))
    rows = halves.store.read("s@1", keys(1))
    assert rows.watermarks == {}
    assert row(rows)["price"][1] == "NOT_FOUND"


def test_a_damaged_state_is_an_error_of_the_store(halves: Any, store: Any) -> None:
    for state in list(halves.online.scan(VIEW)):
        halves.online.write(VIEW, [OnlineRow(state.key, state.order + b"\xff", b"{}")])
    with pytest.raises(FeatureStoreError, match="stored watermark: it is damaged"):
        store.read("s@1", keys(1))


def test_a_view_read_by_two_keys_tells_the_older_event(halves: Any) -> None:
    person = Entity(name="person", keys=(Field("person_id", INT64),))
    people = FeatureView(name="people", entity=person, fields=(Field("deals", INT64),))
    roles = ("buyer", "seller")
    service = FeatureService(
        name="deal",
        selections=tuple(people.select(prefix=f"{role}_", keys={"person_id": f"{role}_id"}) for role in roles),
    )
    halves.store.apply(Definitions(views=(people,), services=(service,)))
    times = [NOON - HOUR, NOON]
    halves.store.ingest("people@1", pa.table({"person_id": [1, 2], "deals": [10, 20], "event_time": times}))
    halves.store.materialize()
    rows = halves.store.read("deal@1", {"buyer_id": [1, 2, 9], "seller_id": [2, 1, 1]})
    assert rows.columns["buyer_deals"].tolist()[:2] == [10.0, 20.0]
    assert rows.events["people@1"].tolist() == [(NOON - HOUR).replace(tzinfo=None)] * 3
    assert rows.watermarks == {"people@1": Watermark(1, NOON)}


def test_a_naive_present_is_utc(store: Any) -> None:
    rows = store.read("s@1", keys(1), at=NOON.replace(tzinfo=None))
    assert rows.at == NOON
    assert row(rows)["page"] == ("b", "PRESENT")


def test_arrays_that_come_with_a_request_stay_writeable(store: Any) -> None:
    discount = np.array([0.25])
    store.read("asked@1", keys(1), {"discount": discount, "seen": [None], "channel": [None]})
    assert discount.flags.writeable
