"""How good an order is: of times to events, and of results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError
from stackwright_models.errors import InvalidData
from stackwright_numerics import survival


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
    try:
        return survival.concordance_index(event, duration, predicted)
    except DataError as error:
        raise InvalidData(error.where, error.found, error.todo) from error


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
