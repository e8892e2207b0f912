"""Plain values (of a request, or of a default) as typed columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_features.times import from_microseconds, to_microseconds
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.types import Field, Kind, Type
from stackwright_numerics.columns import Column, dtype_of, filler_of

_NUMPY: Final = {Kind.BOOL: "b", Kind.INT64: "i", Kind.FLOAT64: "fi", Kind.TIMESTAMP: "M"}
_PYTHON: Final = {
    Kind.BOOL: ({bool},),
    Kind.INT64: ({int},),
    Kind.FLOAT64: ({float}, {int}, {int, float}),
    Kind.STRING: ({str},),
    Kind.BYTES: ({bytes},),
}
_EXACT: Final = {Kind.BOOL: bool, Kind.INT64: int, Kind.FLOAT64: float, Kind.STRING: str, Kind.BYTES: bytes}
_ONE: Final = np.ones(1, np.bool_)
_ONE.flags.writeable = False
_LARGEST: Final = 2**63 - 1

_DIGITS = Context(prec=76)


def typed_column(values: Any, type: Type, *, where: str, name: str) -> Column:
    """Return plain values as a column of n.

    Args:
        values: a list, array or other sequence of n; ``None`` and ``NaT`` are null.
        type: the declared type.
        where: the place, for messages.
        name: the column's name, for messages.

    Raises:
        WrongType: a value is not of the type.
        DataError: these are not values in a row.
    """
    if values.__class__ is list and len(values) == 1 and values[0].__class__ is _EXACT.get(type.kind):
        return Column(_array_of(values, type, where, name), _ONE)  # the keys of a live prediction
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in _NUMPY.get(type.kind, ""):
        array = values.astype(dtype_of(type))
        return Column(array, ~np.isnat(array) if type.kind is Kind.TIMESTAMP else np.ones(len(array), np.bool_))
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise DataError(where, f"{name!r} is {values!r}", "Give a list with one value a row.")
    values = values if isinstance(values, list) else list(values)
    if set(map(_class_of, values)) in _PYTHON.get(type.kind, ()):
        return Column(_array_of(values, type, where, name), np.ones(len(values), np.bool_))
    return _one_by_one(values, type, where, name)


def typed_columns(fields: Sequence[Field], values: Mapping[str, Any], *, where: str) -> dict[str, Column]:
    """Return the plain values of some fields as columns.

    Raises:
        MissingColumn: a field has no values.
        WrongType: a value is not of its field's type.
    """
    columns = {}
    for field in fields:
        if field.name not in values:
            raise MissingColumn.of(where, field.name, values)
        columns[field.name] = typed_column(values[field.name], field.type, where=where, name=field.name)
    return columns


def count_rows(where: str, *groups: Mapping[str, Column]) -> int:
    """Return how many rows columns have, 0 where there is no column.

    Raises:
        DataError: they have different numbers.
    """
    if len(groups[0]) == 1 and not any(groups[1:]):
        return len(next(iter(groups[0].values())).valid)
    lengths = [(name, len(column.valid)) for group in groups for name, column in group.items()]
    rows = lengths[0][1] if lengths else 0
    if any(length != rows for _, length in lengths):
        found = ", ".join(f"{name!r} has {length} values" for name, length in lengths)
        raise DataError(where, found, "Give one value a row.")
    return rows


def _array_of(values: list[Any], type: Type, where: str, name: str) -> NDArray[Any]:
    try:
        return np.array(values, dtype_of(type))
    except OverflowError as error:
        raise WrongType.of(where, name, "a number beyond 64 bits", str(type)) from error


def _class_of(value: object) -> object:
    return value.__class__


def _one_by_one(values: Sequence[Any], type: Type, where: str, name: str) -> Column:
    dtype, read = dtype_of(type), _READERS[type.kind]
    filler = filler_of(dtype)
    held = []
    valid = np.ones(len(values), np.bool_)
    for row, value in enumerate(values):
        try:
            there = None if value is None else read(value, type)
        except (TypeError, ValueError, ArithmeticError) as error:
            found = f"{value!r} ({value.__class__.__name__}) in row {row}"
            raise WrongType.of(where, name, found, str(type)) from error
        valid[row] = there is not None
        held.append(filler if there is None else there)
    if type.kind is Kind.VECTOR:
        vectors = np.full((len(held), type.size), np.nan)
        for row, vector in enumerate(held):
            vectors[row] = vector
        return Column(vectors, valid)
    return Column(np.fromiter(held, dtype, len(held)), valid)


def _read_bool(value: Any, _type: Type) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError("not a bool")
    return bool(value)


def _read_int(value: Any, _type: Type) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not -_LARGEST - 1 <= value <= _LARGEST:
        raise TypeError("not an int64")
    return int(value)


def _read_float(value: Any, _type: Type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError("not a number")
    return float(value)


def _read_string(value: Any, _type: Type) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return str(value)


def _read_bytes(value: Any, _type: Type) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("not bytes")
    return bytes(value)


def _read_timestamp(value: Any, _type: Type) -> np.datetime64 | None:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise TypeError("not a time")
    is_nat = value != value  # pandas' NaT is a datetime, and unequal to itself
    return None if is_nat else np.datetime64(to_microseconds(value), "us")


def _read_decimal(value: Any, type: Type) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise TypeError("not a decimal")
    number = Decimal(value)
    quantised = number.quantize(Decimal(1).scaleb(-type.scale), context=_DIGITS)
    if quantised != number or len(quantised.as_tuple().digits) > type.precision:
        raise ValueError("digits would be lost")
    return quantised


def _read_list(value: Any, type: Type) -> list[Any]:
    if not isinstance(value, list | tuple | np.ndarray):
        raise TypeError("not a list")
    assert type.item is not None
    read = _READERS[type.item.kind]
    items = [None if item is None else read(item, type.item) for item in value]
    return [from_microseconds(int(item.astype(int))) if isinstance(item, np.datetime64) else item for item in items]


def _read_vector(value: Any, type: Type) -> NDArray[np.float64]:
    components = [_read_float(item, type) for item in value]
    if len(components) != type.size:
        raise ValueError(f"{len(components)} components")
    return np.array(components, np.float64)


_READERS: Final[dict[Kind, Callable[[Any, Type], Any]]] = {
    Kind.BOOL: _read_bool,
    Kind.INT64: _read_int,
    Kind.FLOAT64: _read_float,
    Kind.STRING: _read_string,
    Kind.BYTES: _read_bytes,
    Kind.TIMESTAMP: _read_timestamp,
    Kind.DECIMAL: _read_decimal,
    Kind.LIST: _read_list,
    Kind.VECTOR: _read_vector,
}
