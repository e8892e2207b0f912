"""The one total order of rows: event time, created time, hash of the content.

The hash is computed once, at ingest. It decides between rows of the same times, so that shuffled files give the same
answer in every engine. Three numbers become one token of 24 bytes that compares as they do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_numerics.columns import Column

TOKEN_BYTES: Final = 24

_TOKEN = struct.Struct(">QQQ")
_SIGN = 1 << 63
_NAN_BITS: Final = np.float64(np.nan).view(np.uint64)
_DIGITS: Final = Context(prec=100)


class Hashed(NamedTuple):
    """A column whose values were turned into 64 bits each, by :func:`value_bits`, before."""

    bits: NDArray[np.uint64]
    valid: NDArray[np.bool_]


def value_bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return 64 bits for each of n values: the value itself where it has so many, else of its BLAKE2b."""
    return _bits(values)


def content_hash(columns: Mapping[str, Column | Hashed], *, rows: int = 0) -> NDArray[np.uint64]:
    """Hash rows by the values of their columns, stable over processes, platforms and versions.

    The order of the columns does not matter, and a null contributes nothing, so that a column added later leaves the
    hash of old rows as it was. All NaNs are alike; 0.0 and -0.0 differ; decimals count by value.

    Args:
        columns: name → column of n, or what it was hashed to before.
        rows: n, needed only where there are no columns.

    Returns:
        uint64 array of n: ``mix(sum over columns of mix(bits(value) ^ bits(name)))`` modulo 2^64, where ``mix`` is the
        finaliser of SplitMix64 and ``bits`` the value itself where it has 64 bits, else 64 bits of its BLAKE2b.
    """
    total = np.zeros(len(next(iter(columns.values())).valid) if columns else rows, np.uint64)
    for name, column in columns.items():
        bits = column.bits if isinstance(column, Hashed) else _bits(column.values)
        mixed = _mix(bits ^ np.uint64(_digest(name.encode())))
        total += np.where(column.valid, mixed, np.uint64(0))
    return _mix(total)


def order_tokens(
    event_us: NDArray[np.int64], created_us: NDArray[np.int64], content: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """Return tokens that compare, as bytes, like (event, created, content).

    Args:
        event_us: event times, microseconds since 1970-01-01 UTC, of n.
        created_us: created times, likewise.
        content: content hashes.

    Returns:
        uint8 array (n, 24).
    """
    words = np.empty((len(event_us), 3), ">u8")
    words[:, 0] = np.ascontiguousarray(event_us, np.int64).view(np.uint64) ^ np.uint64(_SIGN)
    words[:, 1] = np.ascontiguousarray(created_us, np.int64).view(np.uint64) ^ np.uint64(_SIGN)
    words[:, 2] = content
    return words.view(np.uint8)


def read_token(token: bytes) -> tuple[int, int, int]:
    """Return event time, created time (microseconds) and content hash of a token of 24 bytes."""
    event, created, content = _TOKEN.unpack(token)
    return event - _SIGN, created - _SIGN, content


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits a value; arbitrary where not valid."""
    if values.dtype.kind == "O":
        return _object_bits(values.tolist())
    if values.ndim == 2:
        bits = np.zeros(len(values), np.uint64)
        for component in values.T:
            bits = _mix(bits + _bits(component) + np.uint64(1))
        return bits
    if values.dtype.kind == "b":
        return values.astype(np.uint64)
    words = np.ascontiguousarray(values).view(np.uint64)
    return np.where(np.isnan(values), _NAN_BITS, words) if values.dtype.kind == "f" else words


def _object_bits(values: list[Any]) -> NDArray[np.uint64]:
    known: dict[Any, int] = {}
    bits = np.empty(len(values), np.uint64)
    for row, value in enumerate(values):
        if not isinstance(value, str | bytes):
            bits[row] = _digest(_canonical(value))
            continue
        if value not in known:
            known[value] = _digest(_canonical(value))
        bits[row] = known[value]
    return bits


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _canonical(value: Any) -> bytes:
    """Bytes that are the same for the same value, and different for different values."""
    match value:
        case None:
            return b"n"
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + value
        case bool() | np.bool_():
            return b"t" if value else b"f"
        case int() | np.integer():
            return b"i%d" % int(value)
        case float():
            return b"d" + struct.pack("<d", value if value == value else np.nan)
        case Decimal():
            return b"m" + (str(value.normalize(_DIGITS)) if value else "0").encode()
        case np.datetime64():
            return b"u%d" % int(value.astype("datetime64[us]").astype(np.int64))
        case datetime():
            return b"u%d" % _microseconds(value)
    parts = [_canonical(item) for item in value]
    return b"l" + b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _microseconds(value: datetime) -> int:
    span = (value if value.tzinfo else value.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
