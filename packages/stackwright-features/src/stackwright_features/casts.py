"""Safe casts to declared types.

A cast keeps the value or is refused: widths and encodings change freely, a whole float becomes an int64 and an int64
a float64 where nothing is lost; a text never becomes a number, nor a number a text, nor a number a bool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import arrow_type
from stackwright_features.times import Clock, to_utc
from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import Kind, Type

_types = pa.types


def _is_text(found: Any) -> bool:
    return any(test(found) for test in (_types.is_string, _types.is_large_string, _types.is_string_view))


def _is_bytes(found: Any) -> bool:
    tests = (_types.is_binary, _types.is_large_binary, _types.is_fixed_size_binary, _types.is_binary_view)
    return any(test(found) for test in tests)


def _is_number(found: Any) -> bool:
    return any(test(found) for test in (_types.is_integer, _types.is_floating, _types.is_decimal))


def _is_exact(found: Any) -> bool:
    return any(test(found) for test in (_types.is_integer, _types.is_decimal))


def _is_list(found: Any) -> bool:
    tests = (_types.is_list, _types.is_large_list, _types.is_fixed_size_list, _types.is_list_view)
    return any(test(found) for test in tests)


def _is_time(found: Any) -> bool:
    return any(test(found) for test in (_types.is_timestamp, _types.is_date, _is_text))


_ACCEPTS: Final[dict[Kind, Callable[[Any], bool]]] = {
    Kind.BOOL: _types.is_boolean,
    Kind.INT64: _is_number,
    Kind.FLOAT64: _is_number,
    Kind.STRING: _is_text,
    Kind.BYTES: _is_bytes,
    Kind.TIMESTAMP: _is_time,
    Kind.DECIMAL: _is_exact,
}
_UTC: Final = Clock()


def cast(array: Any, type: Type, *, where: str, name: str, clock: Clock = _UTC, first: int | None = 0) -> Any:
    """Return a column as an array of the Arrow type of a declared type.

    Args:
        array: what was found, an array of n, chunked or not.
        type: what was declared.
        where: the place, for messages.
        name: the column's name, for messages.
        clock: how texts and naive times are read.
        first: number of the first row, for messages; ``None`` where the place says it.

    Raises:
        WrongType: the column's type cannot hold the declared one, or a value does not fit.
    """
    array = plain(array)
    if not _accepts(array.type, type):
        raise WrongType.of(where, name, _shown(array), str(type))
    if type.kind is Kind.TIMESTAMP:
        return to_utc(array, clock, where=where, name=name, first=first).times
    if type.kind is Kind.LIST and type.item is not None:
        return _cast_list(array, type.item, where, name, clock)
    try:
        return _cast(array, type)
    except (pa.ArrowException, ValueError) as error:
        row = _first_misfit(array, type)
        found = f"{array.type} {array[row].as_py()!r}" + ("" if first is None else f" in row {first + row}")
        raise WrongType.of(where, name, found, str(type)) from error


def plain(array: Any) -> Any:
    """Return one array of a column, without dictionary or run-end encoding, of the storage of an extension type."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if _types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if _types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    return array


def _shown(array: Any) -> str:
    first = next((value for value in array if value.is_valid), None)
    return str(array.type) if first is None else f"{array.type} ({first.as_py()!r})"


def _accepts(found: Any, type: Type) -> bool:
    if _types.is_null(found):
        return True
    if type.kind is Kind.VECTOR:
        return _is_list(found) and (_types.is_null(found.value_type) or _is_number(found.value_type))
    if type.kind is Kind.LIST:
        assert type.item is not None
        return _is_list(found) and _accepts(found.value_type, type.item)
    return _ACCEPTS[type.kind](found)


def _cast(array: Any, type: Type) -> Any:
    if type.kind is Kind.DECIMAL and _types.is_integer(array.type):
        array = array.cast(pa.decimal128(38, type.scale))
    if type.kind is Kind.FLOAT64 and _types.is_decimal(array.type):
        array = array.cast(pa.string())  # straight from decimals the last digit may be off
    cast_ = array.cast(arrow_type(type))
    if type.kind is Kind.VECTOR and cast_.flatten().null_count:
        raise ValueError("a component is null")
    return cast_


def _cast_list(array: Any, item: Type, where: str, name: str, clock: Clock) -> Any:
    if _types.is_null(array.type):
        return array.cast(pa.list_(arrow_type(item)))
    lengths = pc.list_value_length(array)
    offsets = np.zeros(len(array) + 1, np.int32)
    np.cumsum(lengths.fill_null(0).to_numpy(), out=offsets[1:])
    items = cast(pc.list_flatten(array), item, where=where, name=name, clock=clock)
    return pa.ListArray.from_arrays(pa.array(offsets), items, mask=array.is_null())


def _first_misfit(array: Any, type: Type) -> int:
    """The first row that cannot be cast, found by halving."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _cast(array.slice(low, middle - low), type)
            low = middle
        except (pa.ArrowException, ValueError):
            high = middle
    return low
