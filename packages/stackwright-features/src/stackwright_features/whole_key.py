"""Online reads of one key in the common case, of which :mod:`stackwright_features.whole_rows` tells.

For one key, a call into numpy costs more than all that it gives. So one structure takes the heads of its rows apart,
and the values become arrays when they are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT
from stackwright_features.whole_layout import FLOAT, Whole, WholeLayout
from stackwright_numerics.records import WORD
from stackwright_numerics.rows import HEAD_WORDS

_ITEMS: Final = 5  # of a head: magic, position, due, event, validity bits


class WholeKey:
    """Reads one row of each lookup of a group.

    Args:
        layout: how their payloads lie in memory.
    """

    def __init__(self, layout: WholeLayout) -> None:
        self._layout = layout
        rest = 8 * (layout.payload_words - layout.first)
        self._heads = struct.Struct("<" + f"8s3q8x{8 * layout.bit_words}s{rest}x" * layout.views)
        self._magic = tuple(layout.magic)
        self._bits = (layout.bits,) * layout.views
        starts = [layout.payload_words * view for view in range(layout.views)]
        fields = range(layout.first, layout.words)
        self._fields = np.array([[start + field] for field in fields for start in starts])
        self._floats = self._fields[layout.picked] if layout.only_floats else None
        self._events = np.array([[start + HEAD_WORDS] for start in starts])

    def read(self, payloads: Sequence[Sequence[bytes | None]], at_us: int) -> Whole | None:
        """Say what the rows hold, given a list of one for each lookup; ``None`` if this is not the common case."""
        joined = self._layout.join([payload for (payload,) in payloads], self._layout.views)
        if joined is None:
            return None
        heads = self._heads.unpack(joined)
        if heads[::_ITEMS] != self._magic or heads[4::_ITEMS] != self._bits:
            return None
        events = heads[3::_ITEMS]
        if not self._layout.all_count(events, events, at_us):
            return None
        knows = tuple(zip(heads[1::_ITEMS], heads[2::_ITEMS], strict=True))
        return Whole(partial(self._outputs, joined), partial(self._event_times, joined), knows)

    def _outputs(self, joined: bytes) -> Iterable[NDArray[Any]]:
        if self._floats is not None:
            floats: NDArray[np.float64] = np.frombuffer(joined, FLOAT)[self._floats]
            return floats
        return self._layout.outputs(np.frombuffer(joined, WORD)[self._fields])

    def _event_times(self, joined: bytes) -> Iterable[NDArray[Any]]:
        times: NDArray[np.datetime64] = np.frombuffer(joined, INSTANT)[self._events]
        return times
