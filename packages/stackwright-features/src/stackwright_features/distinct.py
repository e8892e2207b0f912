"""How many different values a column holds, counted in little memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KEPT: Final = 16_384
"""Of fewer different values the count is exact; of more it is an estimate, right to two per cent or so."""

_RANGE: Final = 2.0**64


class Distinct:
    """The least hashes of the values seen, from which the number of different values follows.

    Of n different hashes, spread evenly over ``[0, 2^64)``, the k-th least lies near ``k / n`` of the range (Bar-Yossef
    et al. 2002, "Counting distinct elements in a data stream"); the standard error is about ``1 / sqrt(k)``, 0.8 %.
    """

    def __init__(self) -> None:
        self._least = np.zeros(0, np.uint64)

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """See n more values."""
        if len(self._least) == KEPT:
            hashes = hashes[hashes < self._least[-1]]
        if len(hashes):
            merged = np.sort(np.concatenate([self._least, hashes]))
            new = np.concatenate([[True], merged[1:] != merged[:-1]])
            self._least = merged[new][:KEPT]

    @property
    def count(self) -> int:
        """The number of different values."""
        if len(self._least) < KEPT:
            return len(self._least)
        return round((KEPT - 1) * _RANGE / (float(self._least[-1]) + 1))


def hashes(column: Any) -> NDArray[np.uint64] | None:
    """Return 64 bits for each different value of an Arrow array; ``None`` for types that are not counted.

    Counted are booleans, whole and decimal numbers, texts and bytes.
    """
    found, values = column.type, column.drop_null()
    if pa.types.is_boolean(found):
        return _mix(values.cast(pa.uint8()).to_numpy().astype(np.uint64))
    if pa.types.is_integer(found):
        return _mix(values.to_numpy().astype(np.uint64))
    if pa.types.is_decimal(found):
        return _text_hashes(values.cast(pa.string()).cast(pa.large_binary()).unique())
    return _text_hashes(values.cast(pa.large_binary()).unique()) if _is_text(found) else None


def _is_text(found: Any) -> bool:
    tests = ["string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary"]
    return any(getattr(pa.types, f"is_{test}")(found) for test in tests)


def _text_hashes(values: Any) -> NDArray[np.uint64]:
    """Hash byte strings eight bytes at a time, all strings at once."""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    starts, lengths = bounds[:-1], np.diff(bounds)
    padded = np.frombuffer(bytes(data or b"") + bytes(8), np.uint8)
    words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
    found = _mix(lengths.astype(np.uint64))
    for at in range(0, int(lengths.max(initial=0)), 8):
        longer = np.flatnonzero(lengths > at)
        missing = np.maximum(8 * (8 + at - lengths[longer]), 0).astype(np.uint64)
        word = (words[starts[longer] + at] << missing) >> missing
        found[longer] = _mix(found[longer] ^ word)
    return found


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64, of words that are not all alike where the values are."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
