"""What many take, in all, lately, and in the area that is asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN, Codes
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.retrieval.dense import DenseRetriever
from stackwright_recommender.timeline import Trends


class Popularity(DenseRetriever):
    """Users of each item, each counting the less the longer ago.

    Args:
        half_life: days after which a user counts half in ``trending``.
    """

    name: ClassVar[str] = "popular"
    personal: ClassVar[bool] = False

    def __init__(self, *, half_life: float = 30.0) -> None:
        self.half_life = half_life

    @property
    def signals(self) -> tuple[str, ...]:
        """In all; lately; lately, and in the area that is asked for or that the history mostly lies in."""
        return ("popular", "trending", "popular_here")

    def options(self) -> dict[str, Any]:
        """Return the options."""
        return {"half_life": self.half_life}

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Count."""
        self._settle(interactions.counts().astype(np.float32), Trends.of(interactions, self.half_life), items)

    def _settle(self, counts: NDArray[np.float32], trends: Trends, items: Catalogue) -> None:
        self._counts = counts
        self._trends = trends
        self._area = items.area
        self._areas = len(items.areas)

    def state(self) -> State:
        """Return the counts; of the trends the last, for nobody asks for a time gone by."""
        return {"counts": self._counts, "tick": self._trends.ticks[-1:], "trends": self._trends.table[-1:]}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take counts; nobody took new items yet."""
        try:
            more = (0, len(items) - state["counts"].size)
            trends = Trends(state["tick"], np.pad(state["trends"], ((0, 0), more)))
            self._settle(np.pad(state["counts"], more), trends, items)
        except (KeyError, ValueError) as error:
            raise ArtifactError("popular", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item by each signal."""
        trending = self._trends.at(sessions.at)
        here = self._here(sessions)[:, None] == self._area[None]
        within = np.where(here, trending, np.nan)
        return np.stack([np.broadcast_to(self._counts, trending.shape), trending, within]).astype(np.float32)

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        trending = self._trends.at(sessions.at)[0, lists.item]
        within = np.where(self._here(sessions) == self._area[lists.item], trending, np.nan)
        return np.stack([self._counts[lists.item], trending, within]).astype(np.float32)

    def _here(self, sessions: Sessions) -> Codes:
        """Return the area of each session: the one asked for, or else that of most of its history; -2 for none."""
        m = len(sessions)
        area = self._area[sessions.item]
        known = area != UNKNOWN
        votes = np.zeros((m, self._areas + 1))
        np.add.at(votes, (sessions.owner[known], area[known]), sessions.weight[known])
        usual = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), -2)
        return np.where(sessions.area != UNKNOWN, sessions.area, usual).astype(np.int32)
