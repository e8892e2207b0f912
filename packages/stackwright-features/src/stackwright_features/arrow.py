"""Arrow tables and the columns of ``stackwright_numerics``: one to the other, for every type of the closed list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError
from stackwright_interfaces.types import Field, Kind, Type
from stackwright_numerics.columns import NAT, Column

INSTANT: Final = pa.timestamp("us", "UTC")
"""The Arrow type of every normalised time."""

_PLAIN: Final = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BYTES: pa.binary(),
    Kind.TIMESTAMP: INSTANT,
}


def arrow_type(type: Type) -> Any:
    """Return the Arrow type that carries a declared type."""
    match type.kind:
        case Kind.DECIMAL:
            return pa.decimal128(type.precision, type.scale)
        case Kind.VECTOR:
            return pa.list_(pa.float64(), type.size)
        case Kind.LIST if type.item is not None:
            return pa.list_(arrow_type(type.item))
    return _PLAIN[type.kind]


def read_table(table: object, where: str) -> Any:
    """Return a ``pyarrow.Table`` of any table that speaks the Arrow PyCapsule protocol.

    Raises:
        DataError: it does not speak it, or its stream fails.
    """
    if isinstance(table, pa.Table):
        return table
    if not hasattr(table, "__arrow_c_stream__"):
        todo = "Give a pyarrow, pandas or Polars table, or anything else with __arrow_c_stream__."
        raise DataError(where, f"a {type_name(table)} is no Arrow table", todo)
    try:
        return pa.table(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(where, f"the table cannot be read ({error})", "Check how it was made.") from error


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__


def to_columns(table: Any, fields: Sequence[Field]) -> dict[str, Column]:
    """Return these columns of a table whose columns have the declared Arrow types.

    Args:
        table: a ``pyarrow.Table`` of n rows.
        fields: names and types; other columns are passed over.
    """
    return {field.name: to_column(table.column(field.name), field.type) for field in fields}


def to_column(array: Any, type: Type) -> Column:
    """Return a column of n of an Arrow array, chunked or not, of the declared Arrow type."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    valid = _valid(array)
    match type.kind:
        case Kind.BOOL:
            return Column(array.fill_null(fill_value=False).to_numpy(zero_copy_only=False), valid)
        case Kind.INT64:
            return Column(array.fill_null(0).to_numpy(), valid)
        case Kind.FLOAT64:
            return Column(array.fill_null(np.nan).to_numpy(), valid)
        case Kind.TIMESTAMP:
            return Column(microseconds(array).view("datetime64[us]"), valid)
        case Kind.VECTOR:
            values = np.full((len(array), type.size), np.nan)
            values[valid] = array.flatten().to_numpy().reshape(-1, type.size)
            return Column(values, valid)
        case Kind.LIST:
            return Column(np.fromiter(array.to_pylist(), object, len(array)), valid)
    return Column(array.to_numpy(zero_copy_only=False).astype(object, copy=False), valid)


def _valid(array: Any) -> NDArray[np.bool_]:
    if not array.null_count:
        return np.ones(len(array), np.bool_)
    valid: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def microseconds(array: Any) -> NDArray[np.int64]:
    """Return the times of a ``timestamp[us]`` array of n, chunked or not, as int64; ``NAT`` where null."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    numbers = array.cast(pa.int64())
    values: NDArray[np.int64] = (numbers.fill_null(NAT) if numbers.null_count else numbers).to_numpy()
    return values


def from_columns(columns: Mapping[str, Column], fields: Sequence[Field]) -> Any:
    """Return a ``pyarrow.Table`` of these columns, in the order and the Arrow types of the fields."""
    arrays = [from_column(columns[field.name], field.type) for field in fields]
    return pa.table(arrays, names=[field.name for field in fields])


def from_column(column: Column, type: Type) -> Any:
    """Return the Arrow array of a column."""
    values, valid = column
    target = arrow_type(type)
    mask = None if valid.all() else ~valid
    if type.kind is Kind.VECTOR:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        nulls = None if mask is None else pa.array(mask)
        return pa.FixedSizeListArray.from_arrays(flat, type=target, mask=nulls)
    return pa.array(values, target, mask=mask, from_pandas=False)
