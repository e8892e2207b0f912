"""Single values of variable length as bytes: string, bytes, decimal, list, vector.

========= ==========================================================================================
string    UTF-8
bytes     themselves
decimal   its text in ASCII
vector    float64, little-endian
list      element count (u32), validity bits, then eight bytes an element (bool, int64, float64,
          timestamp), or the element lengths (u32 each) and the elements (string, bytes)
========= ==========================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import index
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column

VARIABLE: Final = frozenset({Kind.STRING, Kind.BYTES, Kind.DECIMAL, Kind.LIST, Kind.VECTOR})
"""The kinds whose values are held as cells."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT = struct.Struct("<I")


def encode_cells(column: Column, type: Type, name: str) -> list[bytes]:
    """Encode the values of a column of n; a null gives an empty cell.

    Raises:
        WrongType: a value is not of the type.
    """
    valid = column.valid.tolist()
    try:
        if type.kind is Kind.VECTOR:
            rows = np.ascontiguousarray(column.values, "<f8").reshape(len(valid), type.size)
            return [row.tobytes() if there else b"" for row, there in zip(rows, valid, strict=True)]
        encode = _encoder(type)
        return [encode(value) if there else b"" for value, there in zip(column.values.tolist(), valid, strict=True)]
    except (AttributeError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise WrongType.of("row", name, f"a value of another type ({error})", str(type)) from error


def cell_decoder(type: Type) -> Callable[[bytes], Any]:
    """Return the function that reads one cell; a vector's gives a float64 array.

    The function raises ``ValueError``, ``ArithmeticError`` or ``struct.error`` on a damaged cell.
    """
    match type.kind:
        case Kind.STRING:
            return bytes.decode
        case Kind.BYTES:
            return bytes
        case Kind.DECIMAL:
            return _read_decimal
        case Kind.VECTOR:
            return partial(_read_vector, type.size)
    assert type.item is not None
    return partial(_read_list, type.item.kind)


def _encoder(type: Type) -> Callable[[Any], bytes]:
    match type.kind:
        case Kind.STRING:
            return str.encode
        case Kind.BYTES:
            return _write_bytes
        case Kind.DECIMAL:
            return _write_decimal
    assert type.item is not None
    return partial(_write_list, type.item.kind)


def _write_bytes(value: bytes) -> bytes:
    return bytes(memoryview(value))  # which, unlike bytes(), takes no integer for a length


def _write_decimal(value: Decimal) -> bytes:
    if not isinstance(value, Decimal):
        raise TypeError(f"{value!r} is no Decimal")
    return str(value).encode()


def _read_decimal(cell: bytes) -> Decimal:
    return Decimal(cell.decode("ascii"))


def _read_vector(size: int, cell: bytes) -> NDArray[np.float64]:
    if len(cell) != 8 * size:
        raise ValueError(f"{len(cell)} bytes are not {size} components")
    return np.frombuffer(cell, "<f8")


def _write_list(kind: Kind, values: Iterable[Any]) -> bytes:
    items = list(values)
    head = _COUNT.pack(len(items)) + _pack_bits([item is not None for item in items])
    if kind in {Kind.STRING, Kind.BYTES}:
        write = str.encode if kind is Kind.STRING else _write_bytes
        cells = [b"" if item is None else write(item) for item in items]
        return head + struct.pack(f"<{len(cells)}I", *map(len, cells)) + b"".join(cells)
    code, to_word = _ELEMENTS[kind]
    return head + struct.pack(f"<{len(items)}{code}", *(0 if item is None else to_word(item) for item in items))


def _read_list(kind: Kind, cell: bytes) -> list[Any]:
    (count,) = _COUNT.unpack_from(cell)
    start = 4 + (count + 7) // 8
    items: Sequence[Any]
    match kind:
        case Kind.STRING | Kind.BYTES:
            items = _read_texts(cell, start, count, kind)
        case Kind.FLOAT64:
            items = struct.unpack_from(f"<{count}d", cell, start)
        case _:
            items = struct.unpack_from(f"<{count}q", cell, start)
    if kind is Kind.TIMESTAMP:
        items = [_EPOCH + timedelta(microseconds=item) for item in items]
    if kind is Kind.BOOL:
        items = [item != 0 for item in items]
    return [item if valid else None for item, valid in zip(items, _unpack_bits(cell[4:start], count), strict=True)]


def _read_texts(cell: bytes, start: int, count: int, kind: Kind) -> list[Any]:
    position = start + 4 * count
    items: list[Any] = []
    for length in struct.unpack_from(f"<{count}I", cell, start):
        item = cell[position : position + length]
        items.append(item.decode() if kind is Kind.STRING else item)
        position += length
    return items


def _pack_bits(bits: list[bool]) -> bytes:
    return sum(1 << place for place, bit in enumerate(bits) if bit).to_bytes((len(bits) + 7) // 8, "little")


def _unpack_bits(data: bytes, count: int) -> list[bool]:
    word = int.from_bytes(data, "little")
    return [bool(word >> place & 1) for place in range(count)]


def _microseconds(value: datetime | np.datetime64) -> int:
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[us]").astype(np.int64))
    return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


_ELEMENTS: Final[dict[Kind, tuple[str, Callable[[Any], Any]]]] = {
    Kind.BOOL: ("q", bool),
    Kind.INT64: ("q", index),
    Kind.FLOAT64: ("d", float),
    Kind.TIMESTAMP: ("q", _microseconds),
}
"""Kind of element → code of its word, and the function that gives it."""
