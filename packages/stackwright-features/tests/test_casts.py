from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.arrow import arrow_type
from stackwright_features.casts import cast
from stackwright_features.times import Clock
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

TAKEN = {
    "narrow int": (pa.array([1, None], pa.int8()), INT64, [1, None]),
    "unsigned int": (pa.array([1], pa.uint64()), INT64, [1]),
    "whole float, as pandas holds ints with nulls": (pa.array([1.0, None]), INT64, [1, None]),
    "whole decimal": (pa.array([Decimal("3.00")]), INT64, [3]),
    "int as float": (pa.array([1, None]), FLOAT64, [1.0, None]),
    "narrow float": (pa.array([1.5], pa.float32()), FLOAT64, [1.5]),
    "large string": (pa.array(["007"], pa.large_string()), STRING, ["007"]),
    "string view": (pa.array(["007"], pa.string_view()), STRING, ["007"]),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), STRING, ["a", None, "a"]),
    "run ends": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), STRING, ["a", "a"]),
    "extension": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())), INT64, [1]),
    "fixed bytes": (pa.array([b"ab"], pa.binary(2)), BYTES, [b"ab"]),
    "nothing but nulls": (pa.nulls(2), STRING, [None, None]),
    "date": (pa.array([date(2024, 1, 1)]), TIMESTAMP, [datetime(2024, 1, 1, tzinfo=UTC)]),
    "int as decimal": (pa.array([3]), decimal(5, 2), [Decimal("3.00")]),
    "rescaled decimal": (pa.array([Decimal("1.5")]), decimal(5, 2), [Decimal("1.50")]),
    "list of narrow ints": (
        pa.array([[1, None], None, []], pa.list_(pa.int8())),
        list_of(INT64),
        [[1, None], None, []],
    ),
    "large list": (pa.array([["a"]], pa.large_list(pa.string())), list_of(STRING), [["a"]]),
    "list of naive times": (
        pa.array([[date(2024, 1, 1)], None], pa.list_(pa.date32())).cast(pa.list_(pa.timestamp("ns"))),
        list_of(TIMESTAMP),
        [[datetime(2024, 1, 1, tzinfo=UTC)], None],
    ),
    "list as vector": (pa.array([[1, 2], None]), vector(2), [[1.0, 2.0], None]),
    "null lists": (pa.nulls(1), list_of(INT64), [None]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_value_that_fits_is_taken(case: str) -> None:
    array, declared, expected = TAKEN[case]
    for column in (array, pa.chunked_array([array, array.slice(0, 0)])):
        found = cast(column, declared, where="here", name="x")
        assert found.type == arrow_type(declared)
        assert found.to_pylist() == expected


REFUSED = {
    "text as int": (pa.array(["1"]), INT64, r"string \('1'\), declared is int64"),
    "int as text": (pa.array([1]), STRING, r"int64 \(1\), declared is string"),
    "bool as int": (pa.array([True]), INT64, r"bool \(True\), declared is int64"),
    "int as bool": (pa.array([1]), BOOL, r"int64 \(1\), declared is bool"),
    "time as int": (pa.array([date(2024, 1, 1)]), INT64, "declared is int64"),
    "int as time": (pa.array([0]), TIMESTAMP, r"int64 \(0\), declared is timestamp"),
    "text as bytes": (pa.array(["a"]), BYTES, "declared is bytes"),
    "fraction as int": (pa.array([1.0, 2.0, 2.5]), INT64, r"double 2.5 in row 2, declared is int64"),
    "NaN as int": (pa.array([1.0, math.nan]), INT64, "double nan in row 1"),
    "too large": (pa.array([1, 2**64 - 1], pa.uint64()), INT64, "uint64 18446744073709551615 in row 1"),
    "int that float64 cannot hold": (pa.array([2**53 + 1]), FLOAT64, "int64 9007199254740993 in row 0"),
    "float as decimal": (pa.array([1.5]), decimal(5, 2), "declared is decimal"),
    "lost digits": (pa.array([Decimal("1.50"), Decimal("1.55")]), decimal(5, 1), "in row 1"),
    "short vector": (pa.array([[1.0, 2.0], [1.0]]), vector(2), "in row 1, declared is vector"),
    "vector with a null": (pa.array([[1.0, None]]), vector(2), "in row 0, declared is vector"),
    "list of texts": (pa.array([["a"]]), list_of(INT64), "declared is list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_does_not_fit_is_refused_with_its_place(case: str) -> None:
    array, declared, message = REFUSED[case]
    with pytest.raises(WrongType, match=f"here: column 'x' holds .*{message}"):
        cast(array, declared, where="here", name="x")


def test_texts_of_a_time_column_are_read_by_the_clock() -> None:
    found = cast(pa.array(["01.07.2024"]), TIMESTAMP, where="here", name="x", clock=Clock("%d.%m.%Y", "Europe/Berlin"))
    assert found.to_pylist() == [datetime(2024, 6, 30, 22, tzinfo=UTC)]


def test_a_type_is_never_changed_by_casting_what_is_declared_already() -> None:
    for type_ in (BOOL, INT64, FLOAT64, STRING, BYTES, TIMESTAMP, decimal(5, 2), list_of(INT64), vector(3)):
        nothing: Any = pa.nulls(0, arrow_type(type_))
        assert cast(nothing, Type.parse(str(type_)), where="here", name="x").equals(nothing)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9)))
def test_a_decimal_becomes_the_float_that_is_nearest(values: list[Decimal]) -> None:
    found = cast(pa.array(values, pa.decimal128(18, 2)), FLOAT64, where="here", name="x")
    assert found.to_pylist() == [float(value) for value in values]
