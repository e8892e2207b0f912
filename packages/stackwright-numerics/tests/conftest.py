"""Columns of every type, made of plain Python values and read as such."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column, dtype_of, filler_of

TYPES = (
    *("bool", "int64", "float64", "string", "bytes", "timestamp", "decimal[20,4]", "vector[3]"),
    *("list[bool]", "list[int64]", "list[float64]", "list[string]", "list[bytes]", "list[timestamp]"),
)
INT64 = st.integers(-(2**63), 2**63 - 1)
PLAIN = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: INT64,
    Kind.FLOAT64: st.floats(),
    Kind.STRING: st.text(),
    Kind.BYTES: st.binary(),
    Kind.TIMESTAMP: st.integers(-(2**62), 2**62).map(lambda us: np.datetime64(us, "us")),
    Kind.DECIMAL: st.decimals(-(10**15), 10**15, places=4),
}
INSTANTS = st.integers(-(2**55), 2**55).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))


def _values(type: Type) -> st.SearchStrategy[Any]:
    if type.kind is Kind.VECTOR:
        return st.lists(st.floats(), min_size=type.size, max_size=type.size)
    if type.item is not None:
        item = INSTANTS if type.item.kind is Kind.TIMESTAMP else PLAIN[type.item.kind]
        return st.lists(st.none() | item, max_size=10)
    return PLAIN[type.kind]


@pytest.fixture(scope="session")
def types() -> tuple[Type, ...]:
    """One type of every kind, and a list of every kind of element."""
    return tuple(map(Type.parse, TYPES))


@pytest.fixture(scope="session")
def values_of() -> Callable[[Type], st.SearchStrategy[Any]]:
    """Type → strategy of its values, which are not null."""
    return _values


@pytest.fixture(scope="session")
def column_of() -> Callable[[Sequence[Any], Type], Column]:
    """Values, ``None`` being null, and their type → column."""

    def make(values: Sequence[Any], type: Type) -> Column:
        dtype = dtype_of(type)
        shape = (len(values), type.size) if type.kind is Kind.VECTOR else (len(values),)
        column = Column(np.full(shape, filler_of(dtype), dtype), np.zeros(len(values), np.bool_))
        for row, value in enumerate(values):
            if value is not None:
                column.values[row] = value
                column.valid[row] = True
        return column

    return make


@pytest.fixture(scope="session")
def seen() -> Callable[[Column], list[str | None]]:
    """Column → what is to be seen of its values, alike only for values alike to the last bit but for NaNs."""

    def read(column: Column) -> list[str | None]:
        assert len(column.values) == len(column.valid)
        pairs = zip(column.values.tolist(), column.valid.tolist(), strict=True)
        return [repr(value) if there else None for value, there in pairs]

    return read


@pytest.fixture(scope="session")
def amount() -> Decimal:
    """A decimal of more digits than the default context keeps."""
    return Decimal("1234567890123456789012345678901234.5678")
