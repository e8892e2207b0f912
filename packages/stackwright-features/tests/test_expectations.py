"""Expectations: which rows are set aside, and why; and what statistics tell of an ingestion."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from stackwright_features.distinct import KEPT
from stackwright_features.expectations import REASON, Sieve, Sifted
from stackwright_features.statistics import Description, changes
from stackwright_interfaces.definitions import Entity, Expectation, FeatureView, Source
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))


def view(*expect: Expectation, **changes: Any) -> FeatureView:
    fields = (Field("price", FLOAT64), Field("rooms", INT64), Field("area", STRING), Field("seen", TIMESTAMP))
    return FeatureView(**{"name": "homes", "entity": LISTING, "fields": fields, "expect": expect, **changes})


def homes(**columns: list[Any]) -> pa.Table:
    rows = max((len(values) for values in columns.values()), default=1)
    plain = {"listing_id": [*range(rows)], "price": [1.0] * rows, "rooms": [2] * rows, "area": ["a"] * rows}
    plain |= {"seen": [NOON] * rows, "event_time": [NOON] * rows}
    return pa.table({**plain, **columns})


def sift(table: pa.Table, over: FeatureView) -> Sifted:
    sieve = Sieve(over)
    sifted = sieve.part(table)
    sieve.finish()
    return sifted


def describe(*tables: pa.Table) -> dict[str, Any]:
    found = Description(tables[0].schema)
    for table in tables:
        found.add(table)
    return found.columns


def reasons(table: pa.Table, *expect: Expectation) -> list[str]:
    sifted = sift(table, view(*expect))
    assert len(sifted.kept) + len(sifted.set_aside) == len(table)
    return list(sifted.set_aside.column(REASON).to_pylist())


@pytest.mark.parametrize(
    ("expectation", "columns", "expected"),
    [
        (Expectation(column="price", required=True), {"price": [1.0, None]}, ["price is missing"]),
        (Expectation(column="price", low=0), {"price": [0.0, -1.0, math.nan, None]}, ["price is below 0.0"] * 2),
        (Expectation(column="price", high=5), {"price": [5.0, 5.1, None]}, ["price is above 5.0"]),
        (Expectation(column="rooms", one_of=(1, 2)), {"rooms": [1, 3, None]}, ["rooms is none of those expected"]),
        (Expectation(column="area", one_of=("a",)), {"area": ["a", "A"]}, ["area is none of those expected"]),
        (Expectation(column="area", pattern="a+|x"), {"area": ["aa", "x", "xa", None]}, ["area does not match a+|x"]),
        (Expectation(column="seen", low=NOON), {"seen": [NOON.replace(hour=11), NOON]}, [f"seen is below {NOON}"]),
    ],
)  # fmt: skip
def test_rows_that_are_not_as_expected_are_set_aside_with_the_reason(
    expectation: Expectation, columns: dict[str, list[Any]], expected: list[str]
) -> None:
    assert reasons(homes(**columns), expectation) == expected


def test_rows_without_a_key_or_a_time_are_set_aside() -> None:
    table = homes(listing_id=[1, None, None], event_time=[NOON, NOON, None])
    assert reasons(table) == ["listing_id is missing", "listing_id is missing; event_time is missing"]


def test_all_reasons_of_a_row_are_told_and_counted() -> None:
    expect = (Expectation(column="price", low=0), Expectation(column="rooms", high=9))
    sieve = Sieve(view(*expect))
    sifted = sieve.part(homes(price=[-1.0, -1.0, 1.0], rooms=[10, 1, 1]))
    assert sifted.set_aside.column(REASON).to_pylist() == ["price is below 0.0; rooms is above 9", "price is below 0.0"]
    assert sifted.kept.column("listing_id").to_pylist() == [2]
    sieve.part(homes(rooms=[10, 10]))
    assert sieve.reasons == {"rooms is above 9": 3, "price is below 0.0": 2}
    assert (sieve.rows, sieve.set_aside) == (5, 4)


def test_rows_stay_as_they_came() -> None:
    source = Source(event_time="when", rename={"Price": "price"})
    table = homes(price=[1.0, -1.0]).rename_columns(["listing_id", "Price", "rooms", "area", "seen", "when"])
    table = table.append_column("extra", pa.array(["x", "y"]))
    sifted = sift(table, view(Expectation(column="price", low=0), source=source))
    assert sifted.kept.equals(table.slice(0, 1))
    assert sifted.set_aside.drop_columns([REASON]).equals(table.slice(1, 1))


def test_too_many_missing_values_refuse_the_whole() -> None:
    expectation = Expectation(column="price", max_missing=0.25)
    assert reasons(homes(price=[1.0, 1.0, 1.0, None]), expectation) == []
    with pytest.raises(DataError, match=r"50\.0% of 'price' is missing, at most 25\.0% is expected"):
        sift(homes(price=[1.0, None]), view(expectation))


def test_how_many_values_are_missing_counts_at_the_end_of_all_pieces() -> None:
    sieve = Sieve(view(Expectation(column="price", max_missing=0.5)))
    sieve.part(homes(price=[None, None]))
    sieve.part(homes(price=[1.0, 1.0]))
    sieve.finish()
    sieve.part(homes(price=[None]))
    with pytest.raises(DataError, match=r"60\.0% of 'price' is missing"):
        sieve.finish()


def test_a_value_that_cannot_be_read_is_named_by_its_row_among_all_pieces() -> None:
    sieve = Sieve(view())
    sieve.part(homes(price=[1.0] * 3))
    with pytest.raises(WrongType, match="'next week' in row 4"):
        sieve.part(homes(event_time=["2024-01-01", "next week"]))


def test_an_empty_ingestion_is_as_expected() -> None:
    empty = homes(price=[1.0]).slice(0, 0)
    assert reasons(empty, Expectation(column="price", required=True, low=0, max_missing=0)) == []


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingColumn, match="price"):
        sift(homes().drop_columns(["price"]), view(Expectation(column="price", low=0)))


def test_statistics_tell_type_missing_distinct_and_range() -> None:
    found = describe(homes(price=[1.0, 3.0, math.nan, None], area=["a", "b", "a", None]))
    assert found["price"] == {"type": "double", "missing": 0.25, "mean": 2.0, "low": 1.0, "high": 3.0}
    assert found["area"] == {"type": "string", "missing": 0.25, "distinct": 2}
    assert found["seen"]["low"] == str(NOON)
    assert found["rooms"]["distinct"] == 1
    assert describe(homes().slice(0, 0))["rooms"]["missing"] == 0.0


def test_columns_of_any_type_are_described() -> None:
    types = {
        "none": pa.array([None, None]),
        "text": pa.array(["a", "a"]).dictionary_encode(),
        "view": pa.array(["a", "b"], pa.string_view()),
        "span": pa.array([1, 2], pa.duration("s")),
        "half": pa.array([1.0, 2.0], pa.float16()),
        "list": pa.array([[1], None]),
        "flag": pa.array([True, None]),
        "exact": pa.array([Decimal("1.5"), None]),
    }
    found = describe(pa.table(types))
    assert {name: item["missing"] for name, item in found.items() if item["missing"]} == {
        "none": 1.0, "list": 0.5, "flag": 0.5, "exact": 0.5,
    }  # fmt: skip
    json.dumps(found)


def test_statistics_of_pieces_are_those_of_the_whole() -> None:
    whole = homes(
        price=[1.0, 3.0, math.nan, None, -7.5, 2.0],
        rooms=[2**62, 2**62, -1, None, 2**62, 2**62],
        area=["a", "b", "a", None, "", "abcdefghij" * 3],
        tax=[Decimal("1.50"), Decimal("1.5"), None, Decimal(2), Decimal(3), Decimal(4)],
        flag=[True, None, False, True, True, True],
    )
    assert describe(*(whole.slice(row, 1) for row in range(6))) == describe(whole)
    assert describe(whole)["rooms"]["mean"] == (4 * 2**62 - 1) / 5
    assert {name: item.get("distinct") for name, item in describe(whole).items()} == {
        "listing_id": 6, "price": None, "rooms": 2, "area": 4, "seen": None, "event_time": None, "tax": 4, "flag": 2,
    }  # fmt: skip


@pytest.mark.parametrize("make", [lambda value: value, lambda value: f"home {value}"])
def test_different_values_are_counted_exactly_while_they_are_few_and_nearly_when_they_are_many(make: Any) -> None:
    def counted(values: range) -> int:
        return describe(*(pa.table({"n": [make(value) for value in values]}) for _ in range(2)))["n"]["distinct"]

    assert counted(range(KEPT - 1)) == KEPT - 1
    assert counted(range(5 * KEPT)) == pytest.approx(5 * KEPT, rel=0.03)


def test_changes_of_the_columns_are_told() -> None:
    before = describe(homes(price=[1.0] * 10, old=[1] * 10))
    now = describe(homes(price=[1.0] * 8 + [None] * 2, rooms=["2"] * 10, new=[1] * 10))
    assert list(changes(before, now)) == [
        "column 'old' is gone",
        "column 'new' (int64) is new",
        "20% of 'price' is missing, 0% was",
        "column 'rooms' was int64 and is string",
    ]
    assert list(changes(now, now)) == []
