"""Rows that are read together say what each view would say of its own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_features.newest_rows import NewestRows
from stackwright_features.store import ComposedFeatureStore
from stackwright_features.whole_layout import WholeLayout
from stackwright_features.whole_rows import WholeRows
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Source
from stackwright_interfaces.feature_store import FeatureRows, Payloads
from stackwright_interfaces.online_rows import pack, payloads_of
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Field
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.online import MemoryOnlineStore
from stackwright_memory.plugin import MemoryConfig

HOUR = timedelta(hours=1)
HOME = Entity(name="home", keys=(Field("home_id", INT64),))
STREET = Entity(name="street", keys=(Field("street", STRING),))
SOURCE = Source(created_time="created")


def fields(prefix: str) -> tuple[Field, ...]:
    kinds = {"b": BOOL, "f": FLOAT64, "i": INT64, "t": TIMESTAMP, "z": FLOAT64}
    return tuple(Field(f"{prefix}_{name}", type_) for name, type_ in kinds.items())


def floats(prefix: str) -> tuple[Field, ...]:
    return tuple(Field(f"{prefix}_{name}", FLOAT64) for name in "ab")


FIRST = FeatureView(name="first", entity=HOME, fields=fields("first"), max_age=2 * HOUR, source=SOURCE)
SECOND = FeatureView(name="second", entity=HOME, fields=fields("second"))
NEAR = FeatureView(name="near", entity=HOME, fields=floats("near"), max_age=2 * HOUR, source=SOURCE)
FAR = FeatureView(name="far", entity=HOME, fields=floats("far"), max_age=4 * HOUR)
ODD = FeatureView(name="odd", entity=HOME, fields=(Field("odd_f", FLOAT64),), max_age=2 * HOUR)
TEXT = FeatureView(name="text", entity=HOME, fields=(Field("text_s", STRING), Field("text_f", FLOAT64)))
NAMED = FeatureView(name="named", entity=STREET, fields=fields("named"))
SERVICES = (
    FeatureService(name="two", selections=(FIRST.select(), SECOND.select())),
    FeatureService(name="some", selections=(SECOND.select("second_z", "second_b"), FIRST.select("first_i"))),
    FeatureService(name="floats", selections=(FAR.select(), NEAR.select("near_b", "near_a"))),
    FeatureService(name="woven", selections=(NEAR.select("near_b"), FAR.select(), NEAR.select("near_a"))),
    FeatureService(name="one", selections=(ODD.select(),)),
    FeatureService(name="sizes", selections=(FIRST.select(), ODD.select(), SECOND.select())),
    FeatureService(name="mixed", selections=(TEXT.select(), FIRST.select(), SECOND.select())),
    FeatureService(name="asked", selections=(FIRST.select(),), request=(Field("rooms", INT64),)),
    FeatureService(name="named", selections=(NAMED.select(),)),
)
DEFINITIONS = Definitions(views=(FIRST, SECOND, NEAR, FAR, ODD, TEXT, NAMED), services=SERVICES)
REQUESTS = {"asked": {"rooms": 3}}

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    BOOL: st.booleans(),
    FLOAT64: st.floats(),
    INT64: st.integers(-(2**62), 2**62),
    TIMESTAMP: st.integers(0, 10_000).map(lambda hours: NOON - hours * HOUR),
    STRING: st.text(max_size=3),
}


def rows_of(view: FeatureView, *, nulls: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    def value(field: Field) -> st.SearchStrategy[Any]:
        return st.one_of(st.none(), VALUES[field.type]) if nulls else VALUES[field.type]

    key = view.entity.keys[0]
    keys = st.sampled_from(range(3) if key.type == INT64 else "abc")
    row = {field.name: value(field) for field in view.fields} | {
        key.name: keys,
        "event_time": st.sampled_from([NOON - 3 * HOUR, NOON - HOUR, NOON, NOON]),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=3, max_size=6)


class StridedOnlineStore(MemoryOnlineStore):
    """Gives payloads in one piece of memory, between other bytes, wherever they are of one size."""

    def read(self, *asked: Any, timeout: float | None = None) -> Payloads:  # type: ignore[override]
        """Return payloads."""
        found = super().read(*asked, timeout=timeout)
        return [
            payloads_of([None if payload is None else pack(b"odd" * place, payload) for payload in payloads])
            for place, payloads in enumerate(found)
        ]


@contextmanager
def opened(
    history: dict[str, list[dict[str, Any]]], online_store: type[MemoryOnlineStore] = MemoryOnlineStore
) -> Iterator[tuple[ComposedFeatureStore, ComposedFeatureStore]]:
    """Two stores over one online half."""
    with TemporaryDirectory() as folder:
        clock = SettableClock()
        context = make_context(Path(folder), clock)
        offline, online = MemoryOfflineStore(MemoryConfig(), context), online_store(MemoryConfig(), context)
        store = ComposedFeatureStore(offline, online, clock=clock)
        store.apply(DEFINITIONS)
        for view in DEFINITIONS.views:
            schema = pa.schema(
                [(field.name, ARROW[field.type]) for field in (*view.entity.keys, *view.fields)]
                + [("event_time", ARROW[TIMESTAMP])]
                + [("created", ARROW[TIMESTAMP])] * (view.source == SOURCE)
            )
            rows = [{**row, "created": row["event_time"] + HOUR} for row in history[view.name]]
            store.ingest(view.ref, pa.Table.from_pylist(rows, schema))
        store.materialize()
        yield store, ComposedFeatureStore(None, online, definitions=DEFINITIONS, clock=clock)


ARROW = {
    BOOL: pa.bool_(),
    FLOAT64: pa.float64(),
    INT64: pa.int64(),
    STRING: pa.string(),
    TIMESTAMP: pa.timestamp("us", "UTC"),
}


def whole_history(count: int) -> dict[str, list[dict[str, Any]]]:
    """A row without a null of each view for so many homes."""
    whole = {BOOL: True, FLOAT64: 1.5, INT64: 7, TIMESTAMP: NOON, STRING: "x"}
    return {
        view.name: [
            {field.name: whole[field.type] for field in view.fields}
            | {view.entity.keys[0].name: key, "event_time": NOON}
            for key in (range(count) if view.entity == HOME else ["a"])
        ]
        for view in DEFINITIONS.views
    }


def said(rows: FeatureRows) -> Any:
    return (
        rows.names,
        {name: (column.dtype, column.tolist()) for name, column in rows.columns.items()},
        {name: (column.dtype, column.tolist()) for name, column in rows.statuses.items()},
        {ref: times.tolist() for ref, times in rows.events.items()},
        dict(rows.watermarks),
    )


@settings(max_examples=40, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([MemoryOnlineStore, StridedOnlineStore]))
def test_they_say_what_each_view_says_of_its_own(
    data: st.DataObject, nulls: bool, online_store: type[MemoryOnlineStore]
) -> None:
    history = {view.name: data.draw(rows_of(view, nulls=nulls)) for view in DEFINITIONS.views}
    a_key = st.sampled_from([0, 0, 1, 1, 2, 3])
    numbers = st.one_of(a_key.map(lambda key: [key]), st.lists(a_key, min_size=2, max_size=4))
    with opened(history, online_store) as (together, apart):
        for service in SERVICES:
            at = data.draw(st.sampled_from([NOON, NOON, NOON + HOUR, NOON + 2 * HOUR, NOON - HOUR]))
            asked = data.draw(numbers)
            key = service.request_keys[0]
            keys = {key.name: asked if key.type == INT64 else ["abcd"[number] for number in asked]}
            request = {name: [value] * len(asked) for name, value in REQUESTS.get(service.name, {}).items()}
            found = said(together.read(service.ref, keys, request, at=at))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(WholeRows, "among", lambda _readers: [])
                expected = said(apart.read(service.ref, keys, request, at=at))
            np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("service", ["two@1", "some@1", "floats@1", "one@1", "sizes@1"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("online_store", [MemoryOnlineStore, StridedOnlineStore])
def test_whole_rows_of_numbers_are_not_read_view_by_view(
    service: str, count: int, online_store: type[MemoryOnlineStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(NewestRows, "answer")
    with opened(whole_history(count), online_store) as (store, _):
        rows = store.read(service, {"home_id": list(range(count))})
    assert all((status == 0).all() for status in rows.statuses.values())
    assert {len(column) for column in rows.columns.values()} == {count}


def test_smaller_rows_of_an_older_definition_in_one_piece_of_memory_are_read_by_name(tmp_path: Path) -> None:
    context = make_context(tmp_path, SettableClock())
    offline, online = MemoryOfflineStore(MemoryConfig(), context), StridedOnlineStore(MemoryConfig(), context)
    older = ComposedFeatureStore(offline, online, clock=context.clock)
    older.apply(Definitions(views=(FAR,)))
    older.ingest(
        FAR.ref, pa.table({"home_id": [0, 1], "far_a": [1.0, 2.0], "far_b": [3.0, 4.0], "event_time": [NOON] * 2})
    )
    older.materialize()
    added = tuple(Field(f"far_{letter}", FLOAT64) for letter in "cdefghijk")
    grown = replace(FAR, fields=(*FAR.fields, *added))
    service = FeatureService(name="grown", selections=(grown.select(),))
    definitions = Definitions(views=(grown,), services=(service,))
    newer = ComposedFeatureStore(None, online, definitions=definitions, clock=context.clock)
    rows = newer.read("grown@1", {"home_id": [0, 1]})
    found = {name: column.tolist() for name, column in rows.columns.items()}
    nothing = {field.name: [np.nan] * 2 for field in added}
    np.testing.assert_equal(found, {"far_a": [1.0, 2.0], "far_b": [3.0, 4.0], **nothing})


@pytest.mark.parametrize("service", ["two@1", "floats@1"])
def test_payloads_in_one_piece_of_memory_are_not_joined(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(WholeLayout, "join")
    with opened(whole_history(3), StridedOnlineStore) as (store, _):
        rows = store.read(service, {"home_id": [0, 1, 2]})
    assert all((status == 0).all() for status in rows.statuses.values())


@pytest.mark.parametrize("service", ["two@1", "floats@1"])
@pytest.mark.parametrize("count", [1, 3])
def test_rows_whose_arrays_are_yet_to_be_made_are_copied_with_them(service: str, count: int) -> None:
    with opened(whole_history(count)) as (store, _):
        rows, again = (store.read(service, {"home_id": list(range(count))}) for _ in range(2))
    for copied in (pickle.loads(pickle.dumps(rows)), copy.deepcopy(rows), copy.copy(rows), replace(rows)):
        assert isinstance(copied, FeatureRows)
        np.testing.assert_equal(said(copied), said(again))
    assert repr(rows) == repr(again)


@pytest.mark.parametrize("count", [1, 3])
def test_columns_can_be_written_to_and_are_no_other_reads(count: int) -> None:
    with opened(whole_history(count)) as (store, _):
        rows, again = (store.read("two@1", {"home_id": list(range(count))}) for _ in range(2))
    for column in rows.columns.values():
        column[:] = np.zeros(1, column.dtype)
    rows.statuses.clear()  # type: ignore[attr-defined]  # a dictionary, but not by contract
    assert again.columns["first_f"].tolist() == [1.5] * count
    assert set(again.statuses) == set(again.names)


def test_a_state_that_knows_less_than_the_rows_is_not_taken_for_theirs() -> None:
    """The rows of one view were written since the state was read."""
    with opened(whole_history(1)) as (store, reader):
        before = reader.read("floats@1", {"home_id": [0]}).watermarks
        rows = {"home_id": [0], "near_a": [2.0], "near_b": [3.0], "event_time": [NOON], "created": [NOON + 2 * HOUR]}
        store.ingest("near@1", pa.table(rows))
        store.materialize()
        after = reader.read("floats@1", {"home_id": [0]})
        assert after.columns["near_b"].tolist() == [3.0]
    assert after.watermarks["far@1"] == before["far@1"]
    assert after.watermarks["near@1"] > before["near@1"]
    assert set(before) == {"far@1", "near@1"}
