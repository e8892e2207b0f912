"""Retrievers that can score every item at once.

Sums are made of 64-bit numbers and given as 32-bit ones: what is equal stays equal however many are asked together.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Lists, Sessions
from stackwright_recommender.retrieval.contract import Candidates, Retriever, Scores, top


class DenseRetriever(Retriever):
    """Base: scores of all items are made once for some sessions, and both candidates and scores are read from them."""

    @abstractmethod
    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return signals × m × items; NaN, or -inf, where nothing can be said."""

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores | None:
        """Return what :meth:`scores` would for one session, or ``None`` where that is no shorter way."""

    def candidates(self, sessions: Sessions, n: int) -> Candidates:
        """Return the best by each signal in turn: the first of each, the second of each, and so on."""
        found = [top(scores, n) for scores in self._all(sessions)]
        if len(found) == 1:
            return found[0]
        items = np.stack([one.items for one in found], axis=2).reshape(len(sessions), -1)
        repeated = _repeated(items)
        items = np.where(repeated, UNKNOWN, items)
        order = np.argsort(items == UNKNOWN, axis=1, kind="stable")[:, :n]
        items = np.take_along_axis(items, order, axis=1)
        falling = np.arange(items.shape[1], 0, -1, dtype=np.float32)
        return Candidates(items, np.broadcast_to(falling, items.shape))

    def scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return what each signal says of the items."""
        shorter = len(sessions) == 1 and not sessions.remembers((id(self), "all"))
        few = self.few_scores(sessions, lists) if shorter else None
        if few is not None:
            return few
        return np.asarray(self._all(sessions)[:, lists.owner, lists.item], dtype=np.float32)

    def _all(self, sessions: Sessions) -> NDArray[Any]:
        made: NDArray[Any] = sessions.remember((id(self), "all"), lambda: self.all_scores(sessions))
        return made


def _repeated(items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which entries of a row stood in it before."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    answer = np.empty_like(again)
    np.put_along_axis(answer, order, again, axis=1)
    return answer
