"""Payloads of views with windows: all events of one key that a window can still reach.

Four words (format and field list hash, position, due, event count) are followed by a record an event, the field list
and the cells; see :mod:`stackwright_numerics.records`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.types import Field
from stackwright_numerics.columns import NAT, Column
from stackwright_numerics.records import DAMAGED, WORD, RecordLayout

FORMAT: Final = 2
_HEAD_BYTES: Final = 32
_HEAD = struct.Struct("<8sqqq")


class Events(NamedTuple):
    """Decoded events of n payloads, one payload after the other. The arrays are for reading: masks may be shared.

    Attributes:
        found: whether there was a payload, of n.
        offsets: events of payload i are ``offsets[i]`` to ``offsets[i + 1]``; int64 of n + 1.
        event_us: event times of all events, int64 microseconds.
        created_us: created times of all events.
        position: position ingested that the payload knows, of n; 0 where none was found.
        due_us: event time admitted, of n; ``NAT`` where none was found.
        columns: field → column over all events.
    """

    found: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    event_us: NDArray[np.int64]
    created_us: NDArray[np.int64]
    position: NDArray[np.int64]
    due_us: NDArray[np.int64]
    columns: dict[str, Column]


class EventsCodec:
    """Events of one view to payloads and back. Holds no state but the layout; safe in any thread.

    Args:
        fields: the stored fields of the view.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._layout = RecordLayout(fields, FORMAT)

    def encode(
        self,
        columns: Mapping[str, Column],
        *,
        event_us: NDArray[np.int64],
        created_us: NDArray[np.int64],
        offsets: NDArray[np.int64],
        position: int,
        due_us: int,
    ) -> list[bytes]:
        """Encode the events of n keys.

        Args:
            columns: a column over all events for every field; events sorted by key, then order token.
            event_us: event times, microseconds since 1970-01-01 UTC.
            created_us: created times, likewise.
            offsets: events of key i are ``offsets[i]`` to ``offsets[i + 1]``, from 0; int64 of n + 1.
            position: position ingested that these events know.
            due_us: event time admitted, microseconds.

        Raises:
            MissingColumn: a field has no column.
            WrongType: a value is not of its field's type.
            DataError: an event time is NaT, or a payload would exceed 2 GiB.
        """
        words, tails = self._layout.pack(columns, event_us, created_us, np.asarray(offsets, np.int64), _HEAD_BYTES)
        size, magic = self._layout.bytes, self._layout.magic
        records, fields = words.tobytes(), self._layout.field_list
        return [
            b"".join(
                (_HEAD.pack(magic, position, due_us, stop - start), records[size * start : size * stop], fields, tail)
            )
            for (start, stop), tail in zip(pairwise(np.asarray(offsets).tolist()), tails, strict=True)
        ]

    def decode(self, payloads: Sequence[bytes | None]) -> Events:
        """Decode n payloads, ``None`` being a key that was not found: it has no events.

        A payload written with other fields is read by name: what it lacks is null, what is not asked for passed over.

        Raises:
            FeatureStoreError: a payload is damaged, or holds a field under another type.
        """
        heads = [self._head(payload) for payload in payloads]
        counts = [count for _, _, _, count in heads]
        joined = bytearray().join([self._block(payload, head) for payload, head in zip(payloads, heads, strict=True)])
        if len(joined) != self._layout.bytes * sum(counts):
            raise _damaged("it ends too early")
        turned = np.ascontiguousarray(np.frombuffer(joined, WORD).reshape(-1, self._layout.words).T)
        return Events(
            found=np.array([payload is not None for payload in payloads], np.bool_),
            offsets=np.array([0, *accumulate(counts)], np.int64),
            event_us=turned[0],
            created_us=turned[1],
            position=np.array([position for _, position, _, _ in heads], np.int64),
            due_us=np.array([due for _, _, due, _ in heads], np.int64),
            columns=self._layout.unpack(turned, payloads, counts),
        )

    def _head(self, payload: bytes | None) -> tuple[bytes, int, int, int]:
        if payload is None:
            return (self._layout.magic, 0, NAT, 0)
        try:
            head: tuple[bytes, int, int, int] = _HEAD.unpack_from(payload)
        except struct.error as error:
            raise _damaged(str(error)) from error
        return head

    def _block(self, payload: bytes | None, head: tuple[bytes, int, int, int]) -> bytes:
        """The records of a payload, in the words of this layout."""
        magic, _, _, count = head
        if payload is None:
            return b""
        if magic == self._layout.magic:
            return payload[_HEAD_BYTES : _HEAD_BYTES + self._layout.bytes * count]
        try:
            return self._layout.adapt(payload, _HEAD_BYTES, count).tobytes()
        except DAMAGED as error:
            raise _damaged(str(error)) from error


def _damaged(what: str) -> FeatureStoreError:
    return FeatureStoreError("stored events", f"a payload is damaged ({what})", "Materialise the view again.")
