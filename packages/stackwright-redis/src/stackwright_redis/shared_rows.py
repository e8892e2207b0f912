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

import numpy as np

from stackwright_interfaces import online_rows
from stackwright_interfaces.feature_store import Payloads
from stackwright_interfaces.online_rows import LARGE, StridedPayloads

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
        head: the bytes before its first part, as one item of an array.
    """

    parts: Mapping[bytes, Part]
    size: int
    head: np.dtype[np.void]


@lru_cache(maxsize=4096)
def _cuts(heads: bytes) -> Cuts:
    place = len(heads) + 1
    parts = {}
    for name, order, payload in _HEAD.iter_unpack(heads):
        parts[name] = Part(slice(place, place + order), slice(place + order, place + order + payload))
        place += order + payload
    return Cuts(parts, place, np.dtype((np.void, len(heads) + 1)))


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


def payloads_of(values: Sequence[bytes | None], names: Sequence[bytes]) -> Payloads:
    """Return for each of the views with these names the payload in each value, ``None`` where it has no part.

    A view without a name has a hash of its own, whose values are packed rows.

    Raises:
        ValueError: a value is none of ours.
    """
    if not values or not names[0]:
        return [_alone(values) for _ in names]
    return _alike(values, names) or list(map(list, zip(*(_parts(value, names) for value in values), strict=True)))


def _alone(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    try:
        return online_rows.payloads_of(values)
    except IndexError as error:
        raise ValueError("it is empty") from error


def _alike(values: Sequence[bytes | None], names: Sequence[bytes]) -> Payloads | None:
    """Return the payloads in several values that have parts of the same views and sizes; ``None`` for others.

    Values that begin alike are of one size, so that all do where each begins as the first does.
    """
    first, count = values[0], len(values)
    if count == 1 or not first or len(first) < (stop := 1 + _HEAD.size * first[0]):
        return None
    head = first[:stop]
    parts, size, dtype = _cuts(head[1:])
    if len(first) >= LARGE:
        alike = all(value is not None and len(value) == size and value.startswith(head) for value in values)
        return [_slices(values, parts.get(name)) for name in names] if alike else None
    try:
        joined = b"".join(values)  # type: ignore[arg-type]  # a missing one raises
    except TypeError:
        return None
    if len(joined) != count * size or np.ndarray(count, dtype, joined, 0, (size,)).tobytes() != head * count:
        return None
    return [_part(joined, parts[name].payload, size, count) if name in parts else [None] * count for name in names]


def _slices(values: Sequence[bytes | None], part: Part | None) -> list[bytes | None]:
    return [value[part.payload] if part and value else None for value in values]


def _part(joined: bytes, payload: slice, size: int, count: int) -> StridedPayloads:
    return StridedPayloads(joined, offset=payload.start, stride=size, size=payload.stop - payload.start, rows=count)


def _parts(value: bytes | None, names: Sequence[bytes]) -> list[bytes | None]:
    if value is None:
        return [None] * len(names)
    parts = cuts_of(value).parts
    return [value[parts[name].payload] if name in parts else None for name in names]
