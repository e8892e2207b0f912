"""What a retriever does: it is fitted to interactions, and names candidates for sessions.

One of your own needs four methods::

    class Newest(Retriever):
        name = "newest"

        def fit(self, interactions, items):
            last = np.zeros(len(items))
            np.maximum.at(last, interactions.item, interactions.time)
            self._last = last

        def candidates(self, sessions, n):
            best = np.argsort(-self._last, kind="stable")[:n]
            return Candidates(np.tile(best, (len(sessions), 1)), np.tile(self._last[best], (len(sessions), 1)))

        def state(self):
            return {"last": self._last}

        def restore(self, state, items):
            self._last = state["last"]

It is named by ``"package.module:Newest"``, or by the name of an entry point in the group ``stackwright.retrievers``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Interactions, Lists, Sessions

Scores = NDArray[np.float32]
State = Mapping[str, NDArray[Any]]

REACH: Final = 500
"""How deep a retriever is asked for candidates where it cannot score items that it is given."""


@dataclass(frozen=True)
class Candidates:
    """The best items for each session, best first.

    Args:
        items: m × n, codes; -1 where there are fewer.
        scores: m × n, the higher the better; what stands beside a -1 does not count.
    """

    items: NDArray[Any]
    scores: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A held-out part that a retriever may choose its own options by.

    Args:
        known: what is fitted to.
        items: the items.
        sessions: histories in ``known`` of some users.
        judge: tells how good scores (m × items) for the sessions are: the higher, the better.
    """

    known: Interactions
    items: Catalogue
    sessions: Sessions
    judge: Callable[[NDArray[Any]], float]


class Retriever(ABC):
    """Names candidates. Its options are the keywords of its constructor, JSON values; it opens and reads nothing else.

    Attributes:
        name: prefix of its signals, and of its files in a folder.
        personal: whether what it says depends on the session's history; ``similar`` asks only those.
    """

    name: ClassVar[str]
    personal: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[str, ...]:
        """What :meth:`scores` tells of each item; candidates are ordered by the first."""
        return (self.name,)

    @abstractmethod
    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Learn. The same interactions and items give the same numbers.

        Raises:
            TrainingError: there is nothing that it could learn from.
        """

    @abstractmethod
    def candidates(self, sessions: Sessions, n: int) -> Candidates:
        """Return up to ``n`` items for each session, best first.

        Items of the history may be among them: the caller drops these, and asks for as many more. A session of which
        nothing follows has none.
        """

    @abstractmethod
    def state(self) -> State:
        """Return what was learned as arrays without objects."""

    @abstractmethod
    def restore(self, state: State, items: Catalogue) -> None:
        """Take what :meth:`state` gave, over the items that were fitted or these and new ones behind them.

        Raises:
            ArtifactError: it is something else.
        """

    def scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return signals × items of all lists: what each signal says of list i's items for session i, NaN for nothing.

        As it stands here, the first ``REACH`` candidates are looked through.
        """
        found = self.candidates(sessions, REACH)
        answer = np.full((len(self.signals), lists.item.size), np.nan, dtype=np.float32)
        row = np.full(sessions.items, np.nan, dtype=np.float32)
        for number in range(len(sessions)):
            known = found.items[number] != UNKNOWN
            row[found.items[number][known]] = found.scores[number][known]
            start, stop = lists.offsets[number], lists.offsets[number + 1]
            answer[0, start:stop] = row[lists.item[start:stop]]
            row[found.items[number][known]] = np.nan
        return answer

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:  # noqa: ARG002 -- of the contract
        """Return what is missing for it to be of use, or an empty text."""
        return ""

    def vectors(self) -> NDArray[Any] | None:
        """Return items × d, by whose cosine items are alike, or ``None``: what diversity may go by."""
        return None

    def tune(self, trial: Trial) -> None:
        """Choose options that were left open. Called before :meth:`fit`; as it stands here, nothing is open."""

    def options(self) -> dict[str, Any]:
        """Return the keywords of the constructor that make one alike, after :meth:`tune`."""
        return {}


def top(scores: NDArray[Any], n: int) -> Candidates:
    """Return the ``n`` best of m × items scores, equal ones by code; those that are NaN or -inf are left out."""
    m, items = scores.shape
    n = min(n, items)
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    if 0 < n < items:
        last = -np.partition(-ranked, n - 1, axis=1)[:, n - 1 : n]
        level = ranked == last
        taken = (ranked > last) | level
        taken &= ~level | (np.cumsum(level, axis=1) <= n - (ranked > last).sum(axis=1, keepdims=True))
        best = np.nonzero(taken)[1].reshape(m, n)
    else:
        best = np.broadcast_to(np.arange(n), (m, n))
    found = np.take_along_axis(ranked, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    best, found = np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)
    return Candidates(np.where(np.isneginf(found), UNKNOWN, best).astype(np.int32), found.astype(np.float32))
