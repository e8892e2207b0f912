"""Searches in sorted segments: rows of one key lie together, ordered by order token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def bisect_right(values: Integers, low: Integers, high: Integers, targets: Integers) -> Integers:
    """Return for each target the first place in ``[low, high)`` whose value is greater, ``high`` where none is.

    Args:
        values: int64 array, ascending within each segment.
        low: starts of segments, of m.
        high: ends of segments.
        targets: int64 array of m.
    """
    found = low.copy()
    longest = int((high - low).max(initial=0))
    for bit in reversed(range(longest.bit_length())):
        step = np.int64(1 << bit)
        probe = found + (step - 1)
        further = values.take(probe, mode="clip") <= targets
        further &= probe < high
        found += further * step
    return found
