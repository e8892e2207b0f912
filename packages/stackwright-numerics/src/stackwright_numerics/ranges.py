"""Extremes and distinct values of many overlapping segments of one array, in near-linear time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FEW_SEGMENTS: Final = 32
_FEW_ELEMENTS: Final = 4096


def are_few(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> bool:
    """Whether the segments are so short and few that walking them is faster than setting out to treat all at once."""
    return len(starts) <= _FEW_ELEMENTS and sum((stops - starts).tolist()) <= _FEW_ELEMENTS


def range_extremes(
    pick: np.ufunc, values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the least or greatest value of each segment ``[starts[i], stops[i])``.

    Few segments are searched one by one, many by a sparse table (M. A. Bender and M. Farach-Colton, "The LCA problem
    revisited", 2000) of which one level is held at a time: O(n log w) for segments up to w long.

    Args:
        pick: ``np.minimum`` or ``np.maximum``; a NaN is what both pick.
        values: array of n, of any type that they take.
        starts: int64 array of m, in any order.
        stops: int64 array of m, above ``starts``.
    """
    found = np.empty(len(starts), values.dtype)
    if len(starts) <= _FEW_SEGMENTS:
        for place, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            found[place] = pick.reduce(values[start:stop])
        return found
    levels = np.frexp((stops - starts).astype(np.float64))[1] - 1
    for level in range(int(levels.max()) + 1):
        width = 1 << level
        if level:
            values = pick(values[: -width // 2], values[width // 2 :])
        here = np.flatnonzero(levels == level)
        found[here] = pick(values[starts[here]], values[stops[here] - width])
    return found


def distinct_counts(
    identities: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many different numbers each segment ``[starts[i], stops[i])`` holds.

    Those are its places whose previous occurrence lies before its start; a wavelet matrix (F. Claude, G. Navarro and
    A. Ordóñez, 2015) counts them, one level held at a time: O((n + m) log n).
    """
    if are_few(starts, stops):
        segments = zip(starts.tolist(), stops.tolist(), strict=True)
        return np.array([len(set(identities[start:stop].tolist())) for start, stop in segments], np.int64)
    codes = _previous(identities) + 1
    limits, lows, highs = starts + 1, starts, stops
    counts = np.zeros(len(starts), np.int64)
    for bit in reversed(range(len(identities).bit_length())):
        ones = (codes >> bit & 1).astype(np.bool_)
        zeros = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(~ones, out=zeros[1:])
        low, high = zeros[lows], zeros[highs]
        right = (limits >> bit & 1).astype(np.bool_)
        counts += np.where(right, high - low, 0)
        lows = np.where(right, zeros[-1] + lows - low, low)
        highs = np.where(right, zeros[-1] + highs - high, high)
        codes = np.concatenate([codes[~ones], codes[ones]])
    return counts


def _previous(identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the previous occurrence of each number, -1 where there is none."""
    order = np.argsort(identities, kind="stable")
    again = identities[order[1:]] == identities[order[:-1]]
    previous = np.full(len(identities), -1, np.int64)
    previous[order[1:][again]] = order[:-1][again]
    return previous
