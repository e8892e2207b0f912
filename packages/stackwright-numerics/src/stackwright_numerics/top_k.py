"""Metrics of recommended lists: of what each user was shown, which places hit something relevant.

Relevance is binary, every relevant item counts, and users without any are for the caller to leave out. Definitions as
in Herlocker et al. (2004), ACM TOIS 22, and Järvelin and Kekäläinen (2002), ACM TOIS 20.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError

__all__ = ["METRICS", "mean_average_precision", "mrr", "ndcg", "precision", "recall", "score"]

Floats = NDArray[np.float64]


def precision(hits: ArrayLike, relevant: ArrayLike) -> Floats:
    """Return hits ÷ places, a user each."""
    found, _ = _rows(hits, relevant)
    return np.asarray(found.mean(axis=1))


def recall(hits: ArrayLike, relevant: ArrayLike) -> Floats:
    """Return hits ÷ relevant items, a user each."""
    found, there = _rows(hits, relevant)
    return np.asarray(found.sum(axis=1) / there)


def mean_average_precision(hits: ArrayLike, relevant: ArrayLike) -> Floats:
    """Return the average precision: its sum over the places that hit, ÷ relevant items, a user each."""
    found, there = _rows(hits, relevant)
    at = np.cumsum(found, axis=1) / _places(found)
    return np.asarray((at * found).sum(axis=1) / there)


def ndcg(hits: ArrayLike, relevant: ArrayLike) -> Floats:
    """Return ``sum of 1 / log2(place + 1)`` over the places that hit, by that of a perfect list, a user each."""
    found, there = _rows(hits, relevant)
    gains = 1 / np.log2(_places(found) + 1)
    best = np.concatenate([[0.0], np.cumsum(gains)])
    return np.asarray((found * gains).sum(axis=1) / best[np.minimum(there, found.shape[1]).astype(np.int64)])


def mrr(hits: ArrayLike, relevant: ArrayLike) -> Floats:
    """Return 1 ÷ the first place that hits, 0 where none does, a user each."""
    found, _ = _rows(hits, relevant)
    return np.asarray((found / _places(found)).max(axis=1, initial=0.0))


METRICS: Final[Mapping[str, Callable[[ArrayLike, ArrayLike], Floats]]] = {
    "ndcg": ndcg,
    "map": mean_average_precision,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
}
"""Name → metric of each user's list."""


def score(hits: ArrayLike, relevant: ArrayLike) -> dict[str, float]:
    """Return the mean of each metric over the users.

    Args:
        hits: bool (n, k): whether place j of user i's list is relevant.
        relevant: int (n): how many items are relevant to the user, at least 1.

    Raises:
        DataError: the shapes do not fit, or a user has fewer relevant items than hits, or none.
    """
    return {name: float(metric(hits, relevant).mean()) for name, metric in METRICS.items()}


def _places(hits: Floats) -> Floats:
    return np.arange(1, hits.shape[1] + 1, dtype=np.float64)


def _rows(hits: ArrayLike, relevant: ArrayLike) -> tuple[Floats, Floats]:
    found, there = np.asarray(hits, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
    if found.ndim != 2 or there.shape != found.shape[:1] or not found.size:
        what = f"hits of shape {found.shape} and relevant of shape {there.shape}"
        raise DataError("top-k metrics", what, "Give (users, places) and (users,), at least one of each.")
    wrong = np.flatnonzero((there < 1) | (found.sum(axis=1) > there))
    if wrong.size:
        what = f"user {wrong[0]} has {found[wrong[0]].sum():g} hits and {there[wrong[0]]:g} relevant items"
        raise DataError("top-k metrics", what, "Count every relevant item, and leave users without any out.")
    return found, there
