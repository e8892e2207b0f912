"""How good an order is: of times to events, and of results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_models.errors import InvalidData


def concordance_index(event: ArrayLike, duration: ArrayLike, predicted: ArrayLike) -> float:
    """Return Harrell's C: the share of comparable pairs that predicted durations put in the right order.

    A pair is comparable where the event of the shorter one was seen; at equal durations, where one was seen and the
    other not, the censored one is the longer. Equal predictions count half. ``O(n log n)``.

    Args:
        event: whether the event of each of n rows was seen; else the row is censored at its duration.
        duration: time to the event or to the censoring.
        predicted: expected durations, or anything that rises with them.

    Returns:
        Between 0 and 1; one half for a constant prediction, NaN where no pair is comparable.

    Raises:
        InvalidData: arrays of different lengths, or predictions that are NaN.

    References:
        Harrell, Califf, Pryor, Lee, Rosati (1982), JAMA 247.
    """
    seen = np.asarray(event, dtype=bool)
    time, answer = np.asarray(duration, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if not seen.shape == time.shape == answer.shape or seen.ndim != 1:
        raise InvalidData("concordance index", "arrays of different lengths", "Give one value a row in each.")
    if np.isnan(answer).any():
        raise InvalidData("concordance index", "predictions that are NaN", "Leave these rows out.")
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


class _Counts:
    """How many of the ranks seen so far lie below one (Fenwick 1994)."""

    def __init__(self, size: int) -> None:
        self._tree = [0] * (size + 1)
        self.total = 0

    def add(self, rank: int) -> None:
        self.total += 1
        place = int(rank) + 1
        while place < len(self._tree):
            self._tree[place] += 1
            place += place & -place

    def below(self, rank: int) -> int:
        found, place = 0, int(rank)
        while place:
            found += self._tree[place]
            place &= place - 1
        return found


def ndcg(
    relevance: ArrayLike, score: ArrayLike, group: Any = None, *, k: int | None = None, exponential: bool = True
) -> float:
    """Return the mean over groups of the normalised discounted cumulative gain of the first ``k``.

    ``DCG = sum over places i from 1 of gain_i / log2(i + 1)``, by the best possible one. Gains are ``2^relevance - 1``
    or the relevance itself. Equal scores share the mean of their gains (McSherry and Najork 2008). Groups with no gain
    are passed over.

    Args:
        relevance: of n rows, not negative.
        score: the order, best highest.
        group: a label a row; ``None`` is one group.
        k: how many of the first places count; ``None`` is all.
        exponential: which gains.

    Returns:
        Between 0 and 1; NaN where no group has a gain.

    References:
        Järvelin and Kekäläinen (2002), ACM TOIS 20.
    """
    truth, answer = np.asarray(relevance, dtype=np.float64), np.asarray(score, dtype=np.float64)
    gains = np.exp2(truth) - 1 if exponential else truth
    labels = np.zeros(truth.size, np.int64) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    if not truth.shape == answer.shape == labels.shape:
        raise InvalidData("ndcg", "arrays of different lengths", "Give one value a row in each.")
    order = np.argsort(labels, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        best = _dcg(gains[rows], gains[rows], k)
        if best > 0:
            found.append(_dcg(gains[rows], answer[rows], k) / best)
    return float(np.mean(found)) if found else float("nan")


def _dcg(gains: NDArray[np.float64], score: NDArray[np.float64], k: int | None) -> float:
    discount = 1 / np.log2(np.arange(2, gains.size + 2))
    if k is not None:
        discount[k:] = 0.0
    _, tied, counts = np.unique(-score, return_inverse=True, return_counts=True)
    mean_gain = np.bincount(tied, gains) / counts
    stops = np.cumsum(counts)
    total = np.concatenate([[0.0], np.cumsum(discount)])
    return float((mean_gain * (total[stops] - total[stops - counts])).sum())
