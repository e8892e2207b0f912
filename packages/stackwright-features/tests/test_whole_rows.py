"""Rows that are read together say what each view would say of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from stackwright_features.whole_rows import WholeRows
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_interfaces.testing.context import NOON, SettableClock, make_context
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Field
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.online import MemoryOnlineStore
from stackwright_memory.plugin import MemoryConfig

HOUR = timedelta(hours=1)
HOME = Entity(name="home", keys=(Field("home_id", INT64),))
STREET = Entity(name="street", keys=(Field("street", STRING),))


def fields(prefix: str) -> tuple[Field, ...]:
    kinds = {"b": BOOL, "f": FLOAT64, "i": INT64, "t": TIMESTAMP, "z": FLOAT64}
    return tuple(Field(f"{prefix}_{name}", type_) for name, type_ in kinds.items())


FIRST = FeatureView(name="first", entity=HOME, fields=fields("first"), max_age=2 * HOUR)
SECOND = FeatureView(name="second", entity=HOME, fields=fields("second"))
ODD = FeatureView(name="odd", entity=HOME, fields=(Field("odd_f", FLOAT64),), max_age=2 * HOUR)
TEXT = FeatureView(name="text", entity=HOME, fields=(Field("text_s", STRING), Field("text_f", FLOAT64)))
NAMED = FeatureView(name="named", entity=STREET, fields=fields("named"))
SERVICES = (
    FeatureService(name="two", selections=(FIRST.select(), SECOND.select())),
    FeatureService(name="some", selections=(SECOND.select("second_z", "second_b"), FIRST.select("first_i"))),
    FeatureService(name="one", selections=(ODD.select(),)),
    FeatureService(name="sizes", selections=(FIRST.select(), ODD.select(), SECOND.select())),
    FeatureService(name="mixed", selections=(TEXT.select(), FIRST.select(), SECOND.select())),
    FeatureService(name="asked", selections=(FIRST.select(),), request=(Field("rooms", INT64),)),
    FeatureService(name="named", selections=(NAMED.select(),)),
)
DEFINITIONS = Definitions(views=(FIRST, SECOND, ODD, TEXT, NAMED), services=SERVICES)
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
    keys = st.integers(0, 4) if key.type == INT64 else st.sampled_from("abcde")
    row = {field.name: value(field) for field in view.fields} | {
        key.name: keys,
        "event_time": st.sampled_from([NOON - 5 * HOUR, NOON - HOUR, NOON]),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=8)


@contextmanager
def opened(history: dict[str, list[dict[str, Any]]]) -> Iterator[ComposedFeatureStore]:
    with TemporaryDirectory() as folder:
        clock = SettableClock()
        context = make_context(Path(folder), clock)
        offline = MemoryOfflineStore(MemoryConfig(), context)
        store = ComposedFeatureStore(offline, MemoryOnlineStore(MemoryConfig(), context), clock=clock)
        store.apply(DEFINITIONS)
        for view in DEFINITIONS.views:
            schema = pa.schema(
                [(field.name, ARROW[field.type]) for field in (*view.entity.keys, *view.fields)]
                + [("event_time", ARROW[TIMESTAMP])]
            )
            store.ingest(view.ref, pa.Table.from_pylist(history[view.name], schema))
        store.materialize()
        yield store


ARROW = {
    BOOL: pa.bool_(),
    FLOAT64: pa.float64(),
    INT64: pa.int64(),
    STRING: pa.string(),
    TIMESTAMP: pa.timestamp("us", "UTC"),
}


def said(rows: FeatureRows) -> Any:
    return (
        rows.names,
        {name: (column.dtype, column.tolist()) for name, column in rows.columns.items()},
        {name: (column.dtype, column.tolist()) for name, column in rows.statuses.items()},
        {ref: times.tolist() for ref, times in rows.events.items()},
        dict(rows.watermarks),
    )


@settings(max_examples=20, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([NOON, NOON - HOUR, NOON + HOUR, NOON - 9 * HOUR]))
def test_they_say_what_each_view_says_of_its_own(data: st.DataObject, nulls: bool, at: Any) -> None:
    history = {view.name: data.draw(rows_of(view, nulls=nulls)) for view in DEFINITIONS.views}
    asked = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    for service in SERVICES:
        key = service.request_keys[0]
        keys = {key.name: asked if key.type == INT64 else ["abcdef"[number] for number in asked]}
        request = {name: [value] * len(asked) for name, value in REQUESTS.get(service.name, {}).items()}
        found = []
        for groups in (WholeRows.among, lambda _readers: []):
            with pytest.MonkeyPatch.context() as patch, opened(history) as store:
                patch.setattr(WholeRows, "among", groups)
                found.append(said(store.read(service.ref, keys, request, at=at)))
        np.testing.assert_equal(found[0], found[1])


@pytest.mark.parametrize("service", ["two@1", "some@1", "one@1", "sizes@1"])
@pytest.mark.parametrize("count", [1, 3])
def test_whole_rows_of_numbers_are_not_read_view_by_view(
    service: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(NewestRows, "answer")
    whole = {BOOL: True, FLOAT64: 1.5, INT64: 7, TIMESTAMP: NOON, STRING: "x"}
    history = {
        view.name: [
            {field.name: whole[field.type] for field in view.fields}
            | {view.entity.keys[0].name: key, "event_time": NOON}
            for key in (range(count) if view.entity == HOME else ["a"])
        ]
        for view in DEFINITIONS.views
    }
    with opened(history) as store:
        rows = store.read(service, {"home_id": list(range(count))})
    assert all((status == 0).all() for status in rows.statuses.values())
    assert {len(column) for column in rows.columns.values()} == {count}
