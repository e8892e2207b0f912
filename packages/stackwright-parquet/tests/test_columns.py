"""Columns between Arrow and numpy, of every type."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Type,
    decimal,
    list_of,
    vector,
)
from stackwright_parquet.columns import STAMP, arrow_type, from_column, instant_of, integers, pick, to_column

VALUES: dict[Type, list[Any]] = {
    BOOL: [True, None, False],
    INT64: [2**63 - 1, None, -(2**63)],
    FLOAT64: [0.5, None, float("inf")],
    STRING: ["a", None, ""],
    BYTES: [b"\x00", None, b""],
    TIMESTAMP: [datetime(2024, 1, 1, tzinfo=UTC), None, datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
    decimal(6, 2): [Decimal("1.50"), None, Decimal("-9999.99")],
    list_of(INT64): [[1, None], None, []],
    vector(2): [[1.0, 2.0], None, [3.0, 4.0]],
}


@pytest.mark.parametrize("type", VALUES, ids=str)
def test_a_column_of_every_type_goes_there_and_back_in_one_piece_or_several(type: Type) -> None:
    array = pa.array(VALUES[type], arrow_type(type))
    for given in (array, pa.chunked_array([array.slice(0, 1), array.slice(1)])):
        column = to_column(given, type)
        assert column.valid.tolist() == [True, False, True]
        back = from_column(column, type)
        assert back.type == array.type
        assert back.to_pylist() == VALUES[type]


def test_a_vector_is_read_as_well_where_it_lies_as_a_list() -> None:
    listed = pa.array(VALUES[vector(2)], pa.list_(pa.float64()))
    assert from_column(to_column(listed, vector(2)), vector(2)).to_pylist() == VALUES[vector(2)]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", "a"]).dictionary_encode(), pa.string()),
        (pa.array(["a"], pa.large_string()), pa.string()),
        (pa.array([b"a"], pa.binary(1)), pa.binary()),
        (pa.array([[1]], pa.large_list(pa.int64())), pa.list_(pa.int64())),
        (pa.array([0], pa.timestamp("us", "Europe/Prague")), STAMP),
    ],
)
def test_other_layouts_of_a_type_are_taken(array: Any, expected: Any) -> None:
    assert pick(pa.table({"x": array}), "x", expected, "rows").type == expected


def test_another_type_is_named() -> None:
    with pytest.raises(WrongType, match=r"'x' holds int64, declared is string"):
        pick(pa.table({"x": [1]}), "x", pa.string(), "rows")


def test_an_instant_is_whole_microseconds_also_before_1970() -> None:
    instant = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert instant_of(instant) == -1
    assert integers(pa.array([instant], STAMP)).tolist() == [-1]
