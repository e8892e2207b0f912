"""Entity keys of ``stackwright_numerics.keys`` as the entity keys of Feast."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from stackwright_feast.vendor import EntityKey, Value
from stackwright_interfaces.errors import FeatureStoreError

_SIGN = 1 << 63


def parts_of(key: bytes) -> list[Any]:
    """Return the parts of an encoded key, in the order of the sorted key names.

    Raises:
        FeatureStoreError: these are no bytes of a key.
    """
    parts: list[Any] = []
    place = 0
    try:
        while place < len(key):
            part, place = _part(key, place)
            parts.append(part)
    except (IndexError, ValueError, struct.error) as exc:
        raise FeatureStoreError("entity key", f"{key!r} is no encoded key", "Report it.") from exc
    return parts


def entity_key(names: Sequence[str], parts: Sequence[Any]) -> Any:
    """Return Feast's key of an entity; a bool is kept as an int64, since Feast has no bool keys."""
    return EntityKey(join_keys=list(names), entity_values=[_value(part) for part in parts])


def _part(key: bytes, place: int) -> tuple[Any, int]:
    match key[place]:
        case 1:
            return key[place + 1] == 1, place + 2
        case 2:
            (number,) = struct.unpack_from(">Q", key, place + 1)
            return number - _SIGN, place + 9
        case 3:
            text, end = _until_zero(key, place + 1)
            return text.decode(), end
        case 4:
            return _until_zero(key, place + 1)
    raise ValueError(key[place])


def _until_zero(key: bytes, start: int) -> tuple[bytes, int]:
    stop = key.index(b"\0", start)
    while key[stop + 1 : stop + 2] == b"\xff":
        stop = key.index(b"\0", stop + 2)
    return key[start:stop].replace(b"\0\xff", b"\0"), stop + 1


def _value(part: Any) -> Any:
    match part:
        case bytes():
            return Value(bytes_val=part)
        case str():
            return Value(string_val=part)
    return Value(int64_val=int(part))
