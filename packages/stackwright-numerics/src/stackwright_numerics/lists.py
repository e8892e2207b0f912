"""How well scores order the rows of lists: of searches their results, of sessions what was shown in them.

The best row of a list should have the highest score; scores of different lists are not compared. Lists in which nothing
is relevant say nothing about an order, and are passed over.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError
from stackwright_numerics import top_k

Floats = NDArray[np.float64]

PLACES: Final = 10
"""The first places of a list that count, where nothing else is said."""

_SEED: Final = 7


class ListScores(NamedTuple):
    """What each list with something relevant in it was worth, lists in the order of their labels.

    Args:
        label: the label of each list.
        ndcg: normalised discounted cumulative gain: ``sum of (2^relevance - 1) / log2(place + 1)``, by that of the best
            order. Equal scores share the mean of their gains, so a constant score gets what a random order is expected
            to get (McSherry and Najork 2008).
        map: average precision (:func:`~stackwright_numerics.top_k.mean_average_precision`).
        mrr: 1 ÷ the place of the first relevant row.
        recall: share of the relevant rows that are among the first places.
        precision: share of the first places that hold a relevant row; of a list that is shorter, too.
    """

    label: NDArray[np.float64]
    ndcg: Floats
    map: Floats
    mrr: Floats
    recall: Floats
    precision: Floats


def score_lists(relevance: ArrayLike, score: ArrayLike, group: ArrayLike, *, k: int = PLACES) -> ListScores:
    """Return how well each list is ordered.

    But for ``ndcg``, what is more than 0 is relevant, and rows of one score stand in an order drawn with a fixed seed.

    Args:
        relevance: of n rows, not negative.
        score: of n rows, finite; the highest comes first.
        group: a number a row: the list that it belongs to. Rows of a list may lie anywhere.
        k: how many of the first places count.

    Raises:
        DataError: arrays of different lengths, a negative relevance, or ``k`` below 1.

    References:
        Järvelin and Kekäläinen (2002), ACM TOIS 20; McSherry and Najork (2008), ECIR.
    """
    truth, answer, labels = (np.asarray(given, dtype=np.float64) for given in (relevance, score, group))
    _check(truth, answer, labels, k)
    names, codes = np.unique(labels, return_inverse=True)
    order = np.lexsort((np.random.default_rng(_SEED).random(truth.size), -answer, codes))
    best = np.lexsort((-truth, codes))
    codes = codes[order]
    sizes = np.bincount(codes, minlength=names.size)
    place = np.arange(truth.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    discount = np.where(place < k, 1 / np.log2(place + 2), 0.0)
    gain = np.exp2(truth) - 1
    shared = _shared(gain[order], codes, answer[order])
    relevant = np.bincount(codes, truth[order] > 0, minlength=names.size)
    judged = np.flatnonzero(relevant)
    reached = np.bincount(codes, shared * discount, minlength=names.size)[judged]
    possible = np.bincount(codes, gain[best] * discount, minlength=names.size)[judged]
    hits = np.zeros((names.size, k), dtype=np.bool_)
    shown = place < k
    hits[codes[shown], place[shown]] = truth[order][shown] > 0
    hits, relevant = hits[judged], relevant[judged]
    if not judged.size:
        none = np.empty(0)
        return ListScores(none, none, none, none, none, none)
    return ListScores(
        label=names[judged],
        ndcg=reached / possible,
        map=top_k.mean_average_precision(hits, relevant),
        mrr=top_k.mrr(hits, relevant),
        recall=top_k.recall(hits, relevant),
        precision=top_k.precision(hits, relevant),
    )


def _check(truth: Floats, answer: Floats, labels: Floats, k: int) -> None:
    if not truth.shape == answer.shape == labels.shape or truth.ndim != 1:
        found = f"relevance {truth.shape}, score {answer.shape}, group {labels.shape}"
        raise DataError("metrics of lists", found, "Give one value a row in each.")
    if (truth < 0).any():
        raise DataError("metrics of lists", "a negative relevance", "Give 0 for what is not relevant.")
    if k < 1:
        raise DataError("metrics of lists", f"k is {k}", "Give 1 or more.")


def _shared(gain: Floats, codes: NDArray[np.intp], answer: Floats) -> Floats:
    """Return gains, of which rows of one list and score have the mean."""
    if not gain.size:
        return gain
    run = np.cumsum(np.r_[True, (codes[1:] != codes[:-1]) | (answer[1:] != answer[:-1])]) - 1
    return np.asarray((np.bincount(run, gain) / np.bincount(run))[run])
