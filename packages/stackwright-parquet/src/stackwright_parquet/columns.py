"""Declared types as Arrow types, and columns between Arrow and numpy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import NAT, Column

STAMP: Final = pa.timestamp("us", "UTC")
"""The Arrow type of every time."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ARROW: Final = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BYTES: pa.binary(),
    Kind.TIMESTAMP: STAMP,
}
_FILLER: Final[dict[Kind, Any]] = {Kind.BOOL: False, Kind.INT64: 0, Kind.FLOAT64: float("nan")}


def arrow_type(type: Type) -> Any:
    """Return the Arrow type that carries a declared type."""
    match type.kind:
        case Kind.DECIMAL:
            return pa.decimal128(type.precision, type.scale)
        case Kind.VECTOR:
            return pa.list_(pa.float64(), type.size)
        case Kind.LIST if type.item is not None:
            return pa.list_(arrow_type(type.item))
    return _ARROW[type.kind]


def pick(table: Any, name: str, expected: Any, where: str) -> Any:
    """Return a column of a table, of exactly this Arrow type; other layouts of the same type are converted.

    Raises:
        MissingColumn: it is not there.
        WrongType: it is of another type.
    """
    if name not in table.column_names:
        raise MissingColumn.of(where, name, table.column_names)
    column = table[name]
    if column.type == expected:
        return column
    if _plain(column.type) != expected:
        raise WrongType.of(where, name, str(column.type), str(expected))
    return column.cast(expected)


def without_nulls(table: Any, name: str, expected: Any, where: str) -> Any:
    """Return a column as :func:`pick` does.

    Raises:
        DataError: it is missing, of another type or holds a null.
    """
    column = pick(table, name, expected, where)
    if column.null_count:
        raise DataError(where, f"column {name!r} holds {column.null_count} nulls", "Give every row one.")
    return column


def _plain(type: Any) -> Any:
    """The Arrow type of the contract that holds the same values."""
    if pa.types.is_dictionary(type):
        return _plain(type.value_type)
    if pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return pa.string()
    if pa.types.is_large_binary(type) or pa.types.is_binary_view(type) or pa.types.is_fixed_size_binary(type):
        return pa.binary()
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_list_view(type):
        return pa.list_(_plain(type.value_type))
    if pa.types.is_timestamp(type) and type.unit == STAMP.unit and type.tz is not None:
        return STAMP
    return type


def instant_of(moment: datetime) -> int:
    """Return the microseconds between 1970-01-01 UTC and an instant."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def integers(column: Any) -> NDArray[np.int64]:
    """Return an integer or timestamp column without nulls as int64, not copied where it lies in one piece."""
    values: NDArray[np.int64] = one_piece(column).cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def one_piece(column: Any) -> Any:
    """Return an Arrow array for a chunked one."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def unsized(column: Any) -> Any:
    """Return a column whose vectors are lists of any length: not every engine, nor every pyarrow, reads others."""
    fixed = pa.types.is_fixed_size_list(column.type)
    return column.cast(pa.list_(column.type.value_type)) if fixed else column


def stamps(microseconds: NDArray[np.int64], valid: NDArray[np.bool_] | None = None) -> Any:
    """Return microseconds since 1970-01-01 UTC as an Arrow array."""
    return pa.array(microseconds, pa.int64(), mask=None if valid is None else ~valid).cast(STAMP)


def to_column(column: Any, type: Type) -> Column:
    """Return an Arrow column, a vector also as a list, in numpy's form."""
    array = one_piece(column)
    valid: NDArray[np.bool_] = pc.is_valid(array).to_numpy(zero_copy_only=False)
    match type.kind:
        case Kind.BOOL | Kind.INT64 | Kind.FLOAT64:
            return Column(pc.fill_null(array, _FILLER[type.kind]).to_numpy(zero_copy_only=False), valid)
        case Kind.TIMESTAMP:
            return Column(pc.fill_null(array.cast(pa.int64()), NAT).to_numpy().view("datetime64[us]"), valid)
        case Kind.VECTOR:
            vectors = np.full((len(array), type.size), np.nan)
            vectors[valid] = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, type.size)
            return Column(vectors, valid)
    return Column(np.fromiter(array.to_pylist(), object, len(array)), valid)


def from_column(column: Column, type: Type) -> Any:
    """Return a column in numpy's form as an Arrow array."""
    values, valid = column
    match type.kind:
        case Kind.TIMESTAMP:
            return stamps(values.view(np.int64), valid)
        case Kind.VECTOR:
            flat = pa.array(values.reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, type.size, mask=pa.array(~valid))
    return pa.array(values, arrow_type(type), mask=~valid, from_pandas=False)
