"""Payloads of online rows: the newest row of one key.

Three words (format and field list hash, position, due) are followed by one record, the field list and the cells; see
:mod:`stackwright_numerics.records`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.online_rows import StridedPayloads
from stackwright_interfaces.types import Field
from stackwright_numerics.columns import NAT, Column
from stackwright_numerics.records import DAMAGED, WORD, RecordLayout

FORMAT: Final = 1
HEAD_WORDS: Final = 3
"""Words of a payload before its record: format and field list, position, due."""

_HEAD_BYTES: Final = 8 * HEAD_WORDS
_HEAD = struct.Struct("<8sqq")


class Rows(NamedTuple):
    """Decoded rows, one a payload. The arrays are for reading: masks may be shared between columns.

    Attributes:
        found: whether there was a payload.
        event_us: event times, int64 microseconds; where none was found ``NAT``.
        created_us: created times, likewise.
        position: what the row's writer knew: position ingested; 0 where none was found.
        due_us: and event time admitted; ``NAT`` where none was found.
        columns: field → column; null where no row was found.
    """

    found: NDArray[np.bool_]
    event_us: NDArray[np.int64]
    created_us: NDArray[np.int64]
    position: NDArray[np.int64]
    due_us: NDArray[np.int64]
    columns: dict[str, Column]


def words_of(payloads: StridedPayloads, words: int) -> NDArray[np.int64]:
    """Return the first words of n payloads, which have so many: (n, words), read-only, where the payloads lie."""
    return np.ndarray((payloads.rows, words), WORD, payloads.buffer, payloads.offset, (payloads.stride, 8))


class RowCodec:
    """Rows of one view to payloads and back. Holds no state but the layout; safe in any thread.

    Args:
        fields: the stored fields of the view.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._layout = RecordLayout(fields, FORMAT)
        self._bytes = _HEAD_BYTES + self._layout.bytes
        self._blank = _HEAD.pack(self._layout.magic, 0, NAT) + self._layout.blank.tobytes()
        self._magic = int.from_bytes(self._layout.magic, "little", signed=True)

    def encode(
        self,
        columns: Mapping[str, Column],
        *,
        event_us: NDArray[np.int64],
        created_us: NDArray[np.int64],
        position: int,
        due_us: int,
    ) -> list[bytes]:
        """Encode n rows.

        Args:
            columns: a column of n for every field; others are passed over.
            event_us: event times, microseconds since 1970-01-01 UTC.
            created_us: created times, likewise.
            position: position ingested that these rows know.
            due_us: event time admitted, microseconds.

        Raises:
            MissingColumn: a field has no column.
            WrongType: a value is not of its field's type.
            DataError: an event time is NaT, or a row would exceed 2 GiB.
        """
        rows, size = len(event_us), self._layout.bytes
        offsets = np.arange(rows + 1, dtype=np.int64)
        words, tails = self._layout.pack(columns, event_us, created_us, offsets, _HEAD_BYTES)
        head = _HEAD.pack(self._layout.magic, position, due_us)
        records, fields = words.tobytes(), self._layout.field_list
        return [
            b"".join((head, records[start : start + size], fields, tail))
            for start, tail in zip(range(0, rows * size, size), tails, strict=True)
        ]

    def decode(self, payloads: Sequence[bytes | None]) -> Rows:
        """Decode n payloads, ``None`` being a row that was not found.

        A payload written with other fields is read by name: what it lacks is null, what is not asked for passed over.

        Raises:
            FeatureStoreError: a payload is damaged, or holds a field under another type.
        """
        size, blank = self._bytes, self._blank
        words = self._lying(payloads) if isinstance(payloads, StridedPayloads) else None
        if words is None:
            words = self._words([blank if payload is None else payload[:size] for payload in payloads])
        if words is None:
            words = self._words([blank if payload is None else self._adapt(payload) for payload in payloads])
            assert words is not None
        turned = np.array(words.T, order="C")
        position, due_us, event_us, created_us = turned[1:5]
        return Rows(
            found=event_us != NAT,
            event_us=event_us,
            created_us=created_us,
            position=position,
            due_us=due_us,
            columns=self._layout.unpack(turned[3:], payloads),
        )

    def _words(self, pieces: list[bytes]) -> NDArray[np.int64] | None:
        """The pieces as (n, words); ``None`` where one is not of this very layout."""
        joined = b"".join(pieces)
        if len(joined) != len(pieces) * self._bytes:
            return None
        return self._of_this(np.frombuffer(joined, WORD).reshape(len(pieces), self._bytes // 8))

    def _lying(self, payloads: StridedPayloads) -> NDArray[np.int64] | None:
        """The same of payloads that lie in one piece of memory, where they stay."""
        return self._of_this(words_of(payloads, self._bytes // 8)) if payloads.size >= self._bytes else None

    def _of_this(self, words: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return words if words[:, 0].tolist().count(self._magic) == len(words) else None

    def _adapt(self, payload: bytes) -> bytes:
        try:
            _, position, due = _HEAD.unpack_from(payload)
            record = self._layout.adapt(payload, _HEAD_BYTES, 1)
        except DAMAGED as error:
            raise FeatureStoreError("stored row", f"it is damaged ({error})", "Materialise the view again.") from error
        return _HEAD.pack(self._layout.magic, position, due) + record.tobytes()
