from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.arrow import arrow_type, from_columns, read_table, to_columns
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.testing.histories import quick
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    decimal,
    list_of,
    vector,
)

_INSTANTS = st.datetimes(timezones=st.just(UTC))
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    BOOL: st.booleans(),
    INT64: st.integers(-(2**63), 2**63 - 1),
    FLOAT64: st.floats(),
    STRING: st.text(st.characters(exclude_categories=["Cs"])),
    BYTES: st.binary(),
    TIMESTAMP: _INSTANTS,
    decimal(6, 2): st.decimals(-9999, 9999, places=2),
    list_of(INT64): st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    list_of(TIMESTAMP): st.lists(_INSTANTS),
    vector(2): st.lists(st.floats(allow_nan=False), min_size=2, max_size=2),
}


@pytest.mark.parametrize("type", VALUES, ids=str)
@quick(25)
@given(data=st.data())
def test_columns_carry_every_type_there_and_back(type: Type, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[type], max_size=5))
    array = pa.array(values, arrow_type(type), from_pandas=False)
    fields = [Field("x", type)]
    columns = to_columns(pa.table({"x": array}), fields)
    assert columns["x"].valid.tolist() == [value is not None for value in values]
    back = from_columns(columns, fields)["x"]
    assert back.type == array.type
    assert list(map(repr, back.to_pylist())) == list(map(repr, array.to_pylist()))


@pytest.mark.parametrize("type", VALUES, ids=str)
def test_chunks_of_a_column_become_one(type: Type) -> None:
    chunks = pa.chunked_array([pa.nulls(1, arrow_type(type)), pa.nulls(2, arrow_type(type))])
    assert to_columns(pa.table({"x": chunks}), [Field("x", type)])["x"].valid.tolist() == [False] * 3


def test_a_nan_is_a_value_and_a_null_is_none() -> None:
    column = to_columns(pa.table({"x": pa.array([math.nan, None])}), [Field("x", FLOAT64)])["x"]
    assert column.valid.tolist() == [True, False]
    assert from_columns({"x": column}, [Field("x", FLOAT64)])["x"].null_count == 1


def test_values_are_held_as_numerics_wants_them() -> None:
    table = pa.table(
        {
            "when": pa.array([datetime(2024, 1, 1, tzinfo=UTC)], arrow_type(TIMESTAMP)),
            "tax": pa.array([Decimal("1.50")], arrow_type(decimal(5, 2))),
            "point": pa.array([[1.0, 2.0]], arrow_type(vector(2))),
        }
    )
    columns = to_columns(table, [Field("when", TIMESTAMP), Field("tax", decimal(5, 2)), Field("point", vector(2))])
    assert columns["when"].values.dtype == np.dtype("datetime64[us]")
    assert columns["tax"].values.dtype == np.dtype(object)
    assert columns["point"].values.shape == (1, 2)


class Stream:
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return pa.table({"x": [1]}).__arrow_c_stream__(requested_schema)


def test_anything_that_speaks_the_capsule_protocol_is_a_table() -> None:
    assert read_table(Stream(), "here").equals(pa.table({"x": [1]}))


def test_anything_else_is_refused() -> None:
    with pytest.raises(DataError, match="here: a dict is no Arrow table"):
        read_table({"x": [1]}, "here")
