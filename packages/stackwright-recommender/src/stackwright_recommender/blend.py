"""A weighted sum of standings, learned from lists: what trees would need many splits to say.

The weights maximise the likelihood that what is drawn from a list by softmax of the sums was relevant (ListNet with one
place: Cao, Qin, Liu, Tsai, Li, "Learning to rank: from pairwise approach to listwise approach", ICML 2007). The loss is
convex, has a weight a signal, and every list counts the same.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
_RIDGE: Final = 1e-3
_START: Final = 0.1


def learn(standings: Floats, relevance: NDArray[Any], sizes: NDArray[np.int64]) -> Floats:
    """Return a weight for each signal.

    Args:
        standings: n × signals, NaN where a signal says nothing: it then counts as the list's mean.
        relevance: of each row, 0 or more; in each list of one row at least above 0.
        sizes: rows of each list.
    """
    table = np.where(np.isfinite(standings), standings, 0.0)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    share = relevance / np.repeat(np.add.reduceat(relevance, starts), sizes)

    def loss(weights: Floats) -> tuple[float, Floats]:
        sums = table @ weights
        most = np.maximum.reduceat(sums, starts)
        grown = np.exp(sums - np.repeat(most, sizes))
        total = np.add.reduceat(grown, starts)
        likelihood = float((share * (sums - np.repeat(most + np.log(total), sizes))).sum())
        slope = table.T @ (share - grown / np.repeat(total, sizes))
        penalty = _RIDGE * float(weights @ weights)
        return penalty - likelihood / sizes.size, 2 * _RIDGE * weights - slope / sizes.size

    found = minimize(loss, np.full(table.shape[1], _START), jac=True, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)


def blended(standings: Floats, weights: Floats) -> Floats:
    """Return the weighted sum of each row, added up in the order of the columns whatever rows come with it."""
    table = np.where(np.isfinite(standings), standings, 0.0)
    total = np.zeros(len(table))
    for column, weight in zip(table.T, weights, strict=True):
        total += weight * column
    return total
