"""The value of a key in a hash that several views share.

====================== =====================================================================================
one byte               how many views have a part
a head a view          six bytes with the view's name, one with the length of the order token, four with that
                       of the payload; little-endian, and in the order of the names
a body a view          order token and payload
====================== =====================================================================================

So all values of keys that have parts of the same views, of the same sizes, begin alike, and are cut at the same places.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

NAME: Final = 6
"""Bytes of a view's name."""

_HEAD: Final = struct.Struct(f"<{NAME}sBI")


class Part(NamedTuple):
    """Where a view's part lies in a value.

    Attributes:
        order: the order token.
        payload: the payload.
    """

    order: slice
    payload: slice


class Cuts(NamedTuple):
    """Where the parts of a value lie.

    Attributes:
        parts: by name.
        size: bytes of the value.
    """

    parts: Mapping[bytes, Part]
    size: int


@lru_cache(maxsize=4096)
def _cuts(heads: bytes) -> Cuts:
    place = len(heads) + 1
    parts = {}
    for name, order, payload in _HEAD.iter_unpack(heads):
        parts[name] = Part(slice(place, place + order), slice(place + order, place + order + payload))
        place += order + payload
    return Cuts(parts, place)


def cuts_of(value: bytes) -> Cuts:
    """Return where the parts of a value lie.

    Raises:
        ValueError: it is no shared value.
    """
    size = _HEAD.size * value[0] if value else 0
    heads = value[1 : 1 + size]
    cuts = _cuts(heads) if len(heads) == size else None
    if cuts is None or cuts.size != len(value):
        raise ValueError("it is cut")
    return cuts


def payloads_of(values: Sequence[bytes | None], names: Sequence[bytes]) -> list[list[bytes | None]]:
    """Return for each of the views with these names the payload in each value, ``None`` where it has no part.

    A view without a name has a hash of its own, whose values are packed rows.

    Raises:
        ValueError: a value is none of ours.
    """
    if not values or not names[0]:
        return [_alone(values) for _ in names]
    alike = _cuts_of_all(values)
    if alike is None:
        return [list(column) for column in zip(*(_parts(value, names) for value in values), strict=True)]
    parts = [alike.parts.get(name) for name in names]
    return [
        [None] * len(values) if part is None else [value[part.payload] for value in values]  # type: ignore[index]  # all are there
        for part in parts
    ]


def _alone(values: Sequence[bytes | None]) -> list[bytes | None]:
    try:
        return [None if value is None else value[1 + value[0] :] for value in values]
    except IndexError as error:
        raise ValueError("it is empty") from error


def _cuts_of_all(values: Sequence[bytes | None]) -> Cuts | None:
    """Return where the parts of all values lie; ``None`` if one is missing or cut otherwise than the first."""
    first = values[0]
    if first is None:
        return None
    cuts = cuts_of(first)
    stop = 1 + _HEAD.size * first[0]
    try:
        alike = set(map(len, values)) == {cuts.size} and len({value[:stop] for value in values}) == 1  # type: ignore[arg-type,index]  # a missing one raises
    except TypeError:
        return None
    return cuts if alike else None


def _parts(value: bytes | None, names: Sequence[bytes]) -> list[bytes | None]:
    if value is None:
        return [None] * len(names)
    parts = cuts_of(value).parts
    return [value[parts[name].payload] if name in parts else None for name in names]
