"""Several retrievers together: one pool of candidates for a session, and what every signal says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PluginError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Candidates, Retriever, Scores

_CELLS = 8_000_000
"""Sessions × items that are held at once."""


class Pool:
    """Retrievers, asked together.

    Args:
        retrievers: in the order of their signals.

    Raises:
        PluginError: two of them have a signal of one name.
    """

    def __init__(self, retrievers: Sequence[Retriever]) -> None:
        self.retrievers = tuple(retrievers)
        self.signals = tuple(signal for retriever in self.retrievers for signal in retriever.signals)
        twice = {name for name in self.signals if self.signals.count(name) > 1}
        if twice:
            found = f"two of them give the signal {min(twice)!r}"
            raise PluginError("retrievers", found, "Give each retriever signals of its own.")

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Fit every retriever."""
        for retriever in self.retrievers:
            retriever.fit(interactions, items)

    def only_personal(self) -> Pool:
        """Return those of the retrievers that go by the history."""
        return Pool([retriever for retriever in self.retrievers if retriever.personal])

    def only(self, retriever: Retriever) -> Pool:
        """Return one of them alone."""
        return Pool([retriever])

    def candidates(self, sessions: Sessions, n: int, *, exclude: bool = True) -> Lists:
        """Return for each session the ``n`` best items of each retriever, in order of code.

        Args:
            exclude: leave out what is in the history.
        """
        m = len(sessions)
        seen = np.zeros((m, sessions.items), dtype=bool)
        if exclude:
            seen[sessions.owner, sessions.item] = True
        taken = np.zeros_like(seen)
        deepest = n + int(sessions.sizes.max(initial=0)) * exclude
        for retriever in self.retrievers:
            _take(taken, seen, _checked(retriever, retriever.candidates(sessions, deepest), m), n)
        row, item = np.nonzero(taken)
        offsets = np.searchsorted(row, np.arange(m + 1)).astype(np.int64)
        return Lists(offsets, item.astype(np.int32))

    def scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return signals × items of all lists."""
        found = [retriever.scores(sessions, lists) for retriever in self.retrievers]
        return np.concatenate([*found, np.empty((0, lists.item.size), np.float32)])


def _take(taken: NDArray[np.bool_], seen: NDArray[np.bool_], found: Candidates, n: int) -> None:
    row = np.arange(len(taken))[:, None]
    there = found.items != UNKNOWN
    new = there & ~seen[row, np.where(there, found.items, 0)]
    new &= np.cumsum(new, axis=1) <= n
    taken[np.broadcast_to(row, new.shape)[new], found.items[new]] = True


def _checked(retriever: Retriever, found: Candidates, m: int) -> Candidates:
    items = np.asarray(found.items)
    if items.ndim != 2 or len(items) != m or np.asarray(found.scores).shape != items.shape:
        shapes = f"candidates of shape {items.shape} with scores of {np.asarray(found.scores).shape} for {m} sessions"
        raise PluginError(f"retriever {retriever.name!r}", shapes, "Give sessions × n in both.")
    return found


def in_parts(count: int, items: int) -> Iterator[NDArray[np.int64]]:
    """Give places 0 to ``count``, so many at once as may be held for ``items``."""
    size = max(1, min(256, _CELLS // max(items, 1)))
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
