"""Times to an event of which some are censored: which pairs can be compared, and how many are put in the right order.

A row has a duration and says whether its event was seen; else it is *censored*: the event was still to come when it was
looked at last, after that duration. A pair is comparable where the event of the shorter one was seen; at equal
durations, where one was seen and the other not, the censored one is the longer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError

Floats = NDArray[np.float64]


def concordance_index(event: ArrayLike, duration: ArrayLike, predicted: ArrayLike) -> float:
    """Return Harrell's C: the share of comparable pairs that predicted durations put in the right order.

    Equal predictions count half. ``O(n log n)``.

    Args:
        event: whether the event of each of n rows was seen; else the row is censored at its duration.
        duration: time to the event or to the censoring.
        predicted: expected durations, or anything that rises with them.

    Returns:
        Between 0 and 1; one half for a constant prediction, NaN where no pair is comparable.

    Raises:
        DataError: arrays of different lengths, or predictions that are NaN.

    References:
        Harrell, Califf, Pryor, Lee, Rosati (1982), JAMA 247.
    """
    seen, time, answer = _columns(event, duration, predicted)
    ranks = np.unique(answer, return_inverse=True)[1]
    counts = _Counts(int(ranks.max(initial=0)) + 1)
    concordant, comparable = 0.0, 0
    order = np.lexsort((seen, -time))  # longest first; at equal times the censored before the events
    place = 0
    while place < order.size:
        stop = place + 1
        if seen[order[place]]:
            while stop < order.size and seen[order[stop]] and time[order[stop]] == time[order[place]]:
                stop += 1
            for row in order[place:stop]:
                below, upto = counts.below(ranks[row]), counts.below(ranks[row] + 1)
                concordant += counts.total - upto + (upto - below) / 2
                comparable += counts.total
        for row in order[place:stop]:
            counts.add(ranks[row])
        place = stop
    return concordant / comparable if comparable else float("nan")


def pairs(event: ArrayLike, duration: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    """Return which pairs are comparable, and how many of each are put in the right order: n × n, 0, ½ or 1.

    In row i and column j stands the pair whose shorter one is i. ``concordant.sum() / comparable.sum()`` is
    :func:`concordance_index`; weights of rows, as of a bootstrap, go in from both sides.

    Raises:
        DataError: as :func:`concordance_index`.
    """
    seen, time, answer = _columns(event, duration, predicted)
    longer = (time[:, None] < time) | ((time[:, None] == time) & ~seen)
    comparable = (seen[:, None] & longer).astype(np.float64)
    right = (answer[:, None] < answer) + 0.5 * (answer[:, None] == answer)
    return comparable, np.asarray(comparable * right)


def _columns(event: ArrayLike, duration: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.bool_], Floats, Floats]:
    seen = np.asarray(event, dtype=np.bool_)
    time, answer = np.asarray(duration, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if not seen.shape == time.shape == answer.shape or seen.ndim != 1:
        raise DataError("concordance index", "arrays of different lengths", "Give one value a row in each.")
    if np.isnan(answer).any():
        raise DataError("concordance index", "predictions that are NaN", "Leave these rows out.")
    return seen, time, answer


class _Counts:
    """How many of the ranks seen so far lie below one (Fenwick 1994)."""

    def __init__(self, size: int) -> None:
        self._tree = [0] * (size + 1)
        self.total = 0

    def add(self, rank: Any) -> None:
        self.total += 1
        place = int(rank) + 1
        while place < len(self._tree):
            self._tree[place] += 1
            place += place & -place

    def below(self, rank: Any) -> int:
        found, place = 0, int(rank)
        while place:
            found += self._tree[place]
            place &= place - 1
        return found
