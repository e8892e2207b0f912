"""Entity keys as bytes, under which online stores keep rows.

Parts follow each other, each self-delimiting, so that no two different keys give the same bytes:

====== ================================================================================
bool   ``01`` and ``00`` or ``01``
int64  ``02`` and eight bytes, big-endian with the sign bit flipped
string ``03``, UTF-8 with every ``00`` written ``00 ff``, and ``00``
bytes  ``04``, the bytes with every ``00`` written ``00 ff``, and ``00``
====== ================================================================================

Keys of the same types compare as bytes as their parts compare (the scheme of FoundationDB's tuple layer).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, DefinitionError, WrongType
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column

_INT: Final = struct.Struct(">BQ")
_INTS: Final = np.dtype([("tag", "u1"), ("value", ">u8")])
_INT_TAG: Final = 2
_SIGN: Final = 1 << 63
_MANY: Final = 128
"""Integers from which on an array is used: it is quicker than packing each from 80 in a row, from 200 after a wait."""


def _bools(values: NDArray[Any]) -> list[bytes]:
    return [b"\x01\x01" if value else b"\x01\x00" for value in values.tolist()]


def _plain_ints(values: list[int]) -> list[bytes]:
    if len(values) >= _MANY:
        return _ints(np.array(values, np.int64))
    pack = _INT.pack
    return [pack(_INT_TAG, value + _SIGN) for value in values]


def _plain_strings(values: list[str]) -> list[bytes]:
    return [b"\x03" + value.encode().replace(b"\0", b"\0\xff") + b"\0" for value in values]


def _ints(values: NDArray[Any]) -> list[bytes]:
    keys = np.empty(len(values), _INTS)
    keys["tag"] = _INT_TAG
    keys["value"] = values.astype(np.int64, casting="safe", copy=False).view(np.uint64) ^ np.uint64(_SIGN)
    encoded: list[bytes] = keys.view(f"V{_INTS.itemsize}").tolist()
    return encoded


def _strings(values: NDArray[Any]) -> list[bytes]:
    return _plain_strings(["" if value is None else value for value in values.tolist()])


def _bytes(values: NDArray[Any]) -> list[bytes]:
    return [b"\x04" + (b"" if value is None else value).replace(b"\0", b"\0\xff") + b"\0" for value in values.tolist()]


_ENCODERS: Final[dict[Kind, Callable[[NDArray[Any]], list[bytes]]]] = {
    Kind.BOOL: _bools,
    Kind.INT64: _ints,
    Kind.STRING: _strings,
    Kind.BYTES: _bytes,
}

_PLAIN_ENCODERS: Final[dict[Kind, tuple[type, Callable[[list[Any]], list[bytes]]]]] = {
    Kind.INT64: (int, _plain_ints),
    Kind.STRING: (str, _plain_strings),
}


def encode_plain(values: Any, type: Type) -> list[bytes] | None:
    """Encode the keys of n rows given as a list of plain integers or strings; ``None`` if they are anything else."""
    encoder = _PLAIN_ENCODERS.get(type.kind)
    if encoder is None or values.__class__ is not list or set(map(_class_of, values)) != {encoder[0]}:
        return None
    try:
        return encoder[1](values)
    except (struct.error, OverflowError, UnicodeEncodeError):
        return None


_class_of: Final = type  # which is also the name of an argument


def encode_keys(columns: Sequence[Column], types: Sequence[Type]) -> list[bytes | None]:
    """Encode the keys of n rows.

    Args:
        columns: one column of n a key of the entity, in the order of the sorted key names.
        types: their types: bool, int64, string or bytes.

    Returns:
        n keys; ``None`` where any part is null.

    Raises:
        DefinitionError: a type that no key can have.
        WrongType: a value is not of its column's type.
        DataError: a string that has no UTF-8 form.
    """
    parts = [
        _encode(column, type_, f"key {place}") for place, (column, type_) in enumerate(zip(columns, types, strict=True))
    ]
    keys: list[bytes | None] = (
        list(parts[0]) if len(parts) == 1 else [b"".join(row) for row in zip(*parts, strict=True)]
    )
    for column in columns:
        if np.count_nonzero(column.valid) < len(column.valid):
            keys = [key if there else None for key, there in zip(keys, column.valid.tolist(), strict=True)]
    return keys


def _encode(column: Column, type: Type, name: str) -> list[bytes]:
    encoder = _ENCODERS.get(type.kind)
    if encoder is None:
        raise DefinitionError(name, f"is a {type}", "Use int64 or string.")
    try:
        return encoder(column.values)
    except UnicodeEncodeError as error:
        raise DataError(name, f"{error.object!r} has no UTF-8 form", "Remove the lone surrogate.") from error
    except (AttributeError, TypeError, struct.error) as error:
        raise WrongType.of("keys", name, f"a value of another type ({error})", str(type)) from error


def decode_key(key: bytes, types: Sequence[Type]) -> tuple[Any, ...]:
    """Return the parts of one encoded key.

    Args:
        key: as :func:`encode_keys` gives it.
        types: types of the parts.

    Raises:
        DataError: it is no key of these types.
    """
    parts: list[Any] = []
    place = 0
    try:
        for type_ in types:
            part, place = _DECODERS[type_.kind](key, place + 1)
            parts.append(part)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise DataError("key", f"{key.hex()} is no key of {', '.join(map(str, types))}") from error
    if place != len(key):
        raise DataError("key", f"{key.hex()} goes on behind its {len(parts)} parts")
    return tuple(parts)


def _read_bool(key: bytes, place: int) -> tuple[bool, int]:
    return key[place] == 1, place + 1


def _read_int(key: bytes, place: int) -> tuple[int, int]:
    return int(struct.unpack_from(">Q", key, place)[0]) - _SIGN, place + 8


def _read_bytes(key: bytes, place: int) -> tuple[bytes, int]:
    end = key.index(0, place)
    while key[end + 1 : end + 2] == b"\xff":
        end = key.index(0, end + 2)
    return key[place:end].replace(b"\0\xff", b"\0"), end + 1


def _read_string(key: bytes, place: int) -> tuple[str, int]:
    found, end = _read_bytes(key, place)
    return found.decode(), end


_DECODERS: Final[dict[Kind, Callable[[bytes, int], tuple[Any, int]]]] = {
    Kind.BOOL: _read_bool,
    Kind.INT64: _read_int,
    Kind.STRING: _read_string,
    Kind.BYTES: _read_bytes,
}
