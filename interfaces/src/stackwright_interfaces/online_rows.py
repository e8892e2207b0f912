"""What online stores have in common.

Which of several rows stays, a row as one value, payloads that lie in one piece of memory, and handles that only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore

LARGE: Final = 4096
"""Bytes of a row from which on to copy it costs more than an object does."""


def greatest(rows: Sequence[OnlineRow]) -> dict[bytes, int]:
    """Return key → place of the row with the greatest token, the first of equals."""
    places: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        best = places.setdefault(row.key, place)
        if row.order > rows[best].order:
            places[row.key] = place
    return places


def pack(order: bytes, payload: bytes) -> bytes:
    """Return a row as one value: a byte with the length of the token, the token (at most 255 bytes), the payload.

    Stores keep it in this form: it stays as it is.
    """
    return bytes((len(order),)) + order + payload


def order_of(value: bytes) -> bytes:
    """Return the order token of a packed row."""
    return value[1 : 1 + value[0]]


def payload_of(value: bytes) -> bytes:
    """Return the payload of a packed row."""
    return value[1 + value[0] :]


class StridedPayloads(Sequence[bytes]):
    """Payloads of one size, at even distances in one piece of memory.

    A read may give them in place of a list: who makes arrays of them needs no object for each.

    Args:
        buffer: where they lie.
        offset: bytes before the first.
        stride: bytes from where one begins to where the next does, at least 1.
        size: bytes of each.
        rows: how many there are.
    """

    __slots__ = ("buffer", "offset", "rows", "size", "stride")
    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __init__(self, buffer: bytes, *, offset: int, stride: int, size: int, rows: int) -> None:
        self.buffer = buffer
        self.offset = offset
        self.stride = stride
        self.size = size
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[bytes]:
        buffer, size = self.buffer, self.size
        starts = range(self.offset, self.offset + self.rows * self.stride, self.stride)
        return iter([buffer[start : start + size] for start in starts])

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return list(self)[place]
        start = self.offset + self.stride * range(self.rows)[place]
        return self.buffer[start : start + self.size]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | StridedPayloads) else NotImplemented

    def __repr__(self) -> str:
        return repr(list(self))


def payloads_of(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """Return the payloads of packed rows, ``None`` where there is none.

    Raises:
        IndexError: a value is empty, and so no packed row.
    """
    return _strided(values) or [None if value is None else payload_of(value) for value in values]


def _strided(values: Sequence[bytes | None]) -> StridedPayloads | None:
    """Return the payloads of several small rows of one size whose tokens have one size; ``None`` for others."""
    first = values[0] if len(values) > 1 else None
    if not first or len(first) >= LARGE:
        return None
    try:
        sizes = set(map(len, values))  # type: ignore[arg-type]  # a missing one raises
    except TypeError:
        return None
    size, start = len(first), 1 + first[0]
    joined = b"".join(values) if sizes == {size} else b""  # type: ignore[arg-type]  # there are all
    if start > size or joined[::size] != first[:1] * len(values):
        return None
    return StridedPayloads(joined, offset=start, stride=size, size=size - start, rows=len(values))


class ReadOnlyStore(OnlineStore):
    """A handle that refuses to write.

    Args:
        where: the store, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del rows
        raise self._refusal(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del keys
        raise self._refusal(view)

    def _refusal(self, view: str) -> FeatureStoreError:
        where = f"{self._where}, view {view!r}"
        return FeatureStoreError(where, "this handle is read-only", "Write through the store that made it.")
