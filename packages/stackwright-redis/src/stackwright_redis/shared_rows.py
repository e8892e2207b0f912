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
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

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
    columns = _columns_of_alike(values, tuple(names))
    if columns is None:
        return [list(column) for column in zip(*(_parts(value, names) for value in values), strict=True)]
    return [list(columns[name]) if name in columns else [None] * len(values) for name in names]


def _alone(values: Sequence[bytes | None]) -> list[bytes | None]:
    try:
        return [None if value is None else value[1 + value[0] :] for value in values]
    except IndexError as error:
        raise ValueError("it is empty") from error


def _columns_of_alike(
    values: Sequence[bytes | None], names: tuple[bytes, ...]
) -> Mapping[bytes, Sequence[bytes]] | None:
    """Return name → payloads of the views that have parts; ``None`` if a value is missing or cut otherwise."""
    first = values[0]
    if not first or len(first) < (stop := 1 + _HEAD.size * first[0]):
        return None
    head = first[:stop]
    try:
        form = _form(head, names)
        heads, *columns = zip(*map(form.unpack, values), strict=True)
    except (struct.error, TypeError):
        return None
    return dict(zip(form.names, columns, strict=True)) if heads.count(head) == len(heads) else None


class _Form(NamedTuple):
    """How values that begin alike are taken apart at once, which costs half of a slice a part.

    Attributes:
        unpack: gives the head of a value, and the payloads of these views.
        names: of the views.
    """

    unpack: Callable[[Any], tuple[bytes, ...]]
    names: Sequence[bytes]


@lru_cache(maxsize=4096)
def _form(head: bytes, names: tuple[bytes, ...]) -> _Form:
    """Return how values with this head are taken apart.

    Raises:
        struct.error: it is none.
    """
    cuts = _cuts(head[1:])
    wanted = [name for name in cuts.parts if name in names]
    form, place = f"<{len(head)}s", len(head)
    for payload in (cuts.parts[name].payload for name in wanted):
        form += f"{payload.start - place}x{payload.stop - payload.start}s"
        place = payload.stop
    return _Form(struct.Struct(f"{form}{cuts.size - place}x").unpack, wanted)


def _parts(value: bytes | None, names: Sequence[bytes]) -> list[bytes | None]:
    if value is None:
        return [None] * len(names)
    parts = cuts_of(value).parts
    return [value[parts[name].payload] if name in parts else None for name in names]
