from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.arrow import to_columns
from stackwright_features.normalise import normalise
from stackwright_interfaces.definitions import Entity, FeatureView, Source
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.testing.histories import quick
from stackwright_interfaces.types import BYTES, FLOAT64, INT64, STRING, Field
from stackwright_numerics.order import content_hash, read_token

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
LISTING = Entity(name="listing", keys=(Field("listing_id", STRING), Field("market", INT64)))
VIEW = FeatureView(
    name="details",
    entity=LISTING,
    fields=(Field("price", FLOAT64), Field("area", STRING)),
    source=Source(created_time="created_time"),
)


def table(rows: int = 1, **columns: Any) -> pa.Table:
    plain = {
        "listing_id": ["007"],
        "market": [1],
        "price": [1.5],
        "area": ["north"],
        "event_time": [NOON],
        "created_time": [NOON + timedelta(hours=1)],
    }
    return pa.table({name: values * rows for name, values in plain.items() if name not in columns} | columns)


def test_rows_have_the_declared_columns_the_times_and_the_order_token() -> None:
    rows = normalise(table(other=[9]), VIEW).rows
    assert rows.column_names == ["listing_id", "market", "price", "area", EVENT, CREATED, ORDER]
    assert rows.schema.field(EVENT).type == rows.schema.field(CREATED).type == pa.timestamp("us", "UTC")
    assert rows.schema.field(ORDER).type == pa.binary(24)
    assert rows["listing_id"].to_pylist() == ["007"]


def test_the_token_holds_both_times() -> None:
    rows = normalise(table(), VIEW).rows
    event, created, _ = read_token(rows[ORDER][0].as_py())
    assert (event, created) == (rows[EVENT].cast(pa.int64())[0].as_py(), rows[CREATED].cast(pa.int64())[0].as_py())


def test_columns_are_renamed_as_the_source_says() -> None:
    view = replace(VIEW, source=Source(event_time="When", rename={"ID": "listing_id", "Price ($)": "price"}))
    given_ = pa.table({"ID": ["007"], "market": [1], "Price ($)": [2], "area": ["x"], "When": [NOON]})
    (row,) = normalise(given_, view).rows.drop_columns([ORDER]).to_pylist()
    assert row["listing_id"] == "007"
    assert row["price"] == 2.0
    assert row[EVENT] == row[CREATED] == NOON


def test_a_time_column_may_be_a_field_as_well() -> None:
    view = replace(VIEW, fields=(Field("sold", STRING),), source=Source(event_time="sold"))
    rows = normalise(table(sold=["2024-07-01T12:00:00Z"]), view).rows
    assert rows["sold"].to_pylist() == ["2024-07-01T12:00:00Z"]
    assert rows[EVENT].to_pylist() == [NOON]


def test_without_a_created_time_it_is_the_event_time() -> None:
    assert normalise(table(), replace(VIEW, source=Source())).rows[CREATED].to_pylist() == [NOON]
    nulls = pa.array([None], pa.timestamp("us", "UTC"))
    assert normalise(table(created_time=nulls), VIEW).rows[CREATED].to_pylist() == [NOON]


def test_rows_without_a_key_part_or_an_event_time_are_refused_and_counted() -> None:
    given_ = table(4, listing_id=["a", None, "c", "d"], market=[1, 1, None, 1], event_time=[NOON, NOON, NOON, None])
    found = normalise(given_, VIEW)
    assert found.rows["listing_id"].to_pylist() == ["a"]
    assert (found.handed, found.refused) == (4, 3)


def test_rows_with_a_naive_time_are_counted_once() -> None:
    naive = NOON.replace(tzinfo=None)
    assert normalise(table(2, event_time=[naive] * 2, created_time=[naive] * 2), VIEW).assumed_utc == 2
    assert normalise(table(2), VIEW).assumed_utc == 0


def test_an_empty_table_is_typed() -> None:
    rows = normalise(table().slice(0, 0), VIEW).rows
    assert len(rows) == 0
    assert rows.schema.field("price").type == pa.float64()
    assert rows.schema.field(ORDER).type == pa.binary(24)


@pytest.mark.parametrize("missing", ["listing_id", "market", "price", "event_time", "created_time"])
def test_a_missing_column_is_named(missing: str) -> None:
    with pytest.raises(MissingColumn, match=f"view 'details@1': column '{missing}' is missing"):
        normalise(table().drop_columns([missing]), VIEW)


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises(WrongType, match=r"view 'details@1': column 'listing_id' holds int64 \(7\), declared is string"):
        normalise(table(listing_id=[7]), VIEW)


def test_a_column_that_is_there_twice_is_refused() -> None:
    given_ = table().append_column("price", pa.array([2.0]))
    with pytest.raises(DataError, match="column 'price' is there 2 times"):
        normalise(given_, VIEW)


ROWS = st.fixed_dictionaries(
    {
        "listing_id": st.sampled_from(["a", "b", None]),
        "market": st.sampled_from([1, 2]),
        "price": st.sampled_from([None, 0.0, 1.5, float("nan")]),
        "area": st.sampled_from([None, "", "north", "ä"]),
        "event_time": st.sampled_from([NOON, NOON + timedelta(microseconds=1)]),
        "created_time": st.sampled_from([None, NOON]),
    }
)
SCHEMA = pa.schema(
    {
        "listing_id": pa.string(),
        "market": pa.int64(),
        "price": pa.float64(),
        "area": pa.string(),
        "event_time": pa.timestamp("us", "UTC"),
        "created_time": pa.timestamp("us", "UTC"),
    }
)


def normal_rows(given_: pa.Table) -> list[str]:
    return sorted(map(repr, normalise(given_, VIEW).rows.to_pylist()))


@quick(40)
@given(st.lists(ROWS, max_size=6).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_rows_are_the_same_in_whatever_order_and_chunks_they_come(orders: tuple[list[Any], list[Any]]) -> None:
    first, second = (pa.Table.from_pylist(list(rows), SCHEMA) for rows in orders)
    chunked = pa.concat_tables([second.slice(0, 2), second.slice(2)])
    assert normal_rows(first) == normal_rows(chunked)


@quick(40)
@given(st.lists(ROWS, max_size=6))
def test_rows_are_the_same_however_their_columns_are_held(rows: list[Any]) -> None:
    plain = pa.Table.from_pylist(rows, SCHEMA)
    other = plain.select(list(reversed(plain.column_names))).cast(
        pa.schema(
            {
                "created_time": pa.timestamp("ns", "Asia/Tokyo"),
                "event_time": pa.timestamp("ns", "America/New_York"),
                "area": pa.large_string(),
                "price": pa.float64(),
                "market": pa.int16(),
                "listing_id": pa.dictionary(pa.int32(), pa.string()),
            }
        )
    )
    assert normal_rows(plain) == normal_rows(other)


@quick(40)
@given(st.lists(ROWS, max_size=6))
def test_a_column_added_later_and_null_leaves_tokens_as_they_were(rows: list[Any]) -> None:
    plain = pa.Table.from_pylist(rows, SCHEMA)
    wider = replace(VIEW, fields=(Field("new", INT64), *VIEW.fields))
    tokens = normalise(plain.append_column("new", pa.nulls(len(plain), pa.int64())), wider).rows[ORDER]
    assert tokens.equals(normalise(plain, VIEW).rows[ORDER])


@given(
    texts=st.lists(st.none() | st.sampled_from(["a", "b", "", "ü"]), max_size=20),
    tokens=st.lists(st.none() | st.binary(max_size=2), max_size=20),
)
def test_texts_are_hashed_as_one_by_one(texts: list[str | None], tokens: list[bytes | None]) -> None:
    rows = max(len(texts), len(tokens))
    texts, tokens = [*texts, *[None] * (rows - len(texts))], [*tokens, *[None] * (rows - len(tokens))]
    fields = (Field("area", STRING), Field("mark", BYTES))
    view = FeatureView(name="v", entity=Entity(name="e", keys=(Field("k", INT64),)), fields=fields)
    noon = datetime(2026, 3, 14, 12, tzinfo=UTC)
    table = pa.table({
        "k": pa.array([1] * rows, pa.int64()),
        "area": pa.array(texts, pa.string()),
        "mark": pa.array(tokens, pa.binary()),
        "event_time": pa.array([noon] * rows, pa.timestamp("us", "UTC")),
    })  # fmt: skip
    found = normalise(table, view).rows
    plain = content_hash(to_columns(found, fields), rows=rows)
    assert [token[16:] for token in found.column(ORDER).to_pylist()] == [int(word).to_bytes(8) for word in plain]
