"""The newest items: what has had no time to be taken."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import DAY, Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.retrieval.dense import DenseRetriever


class Fresh(DenseRetriever):
    """The negative age in days: since an item may be shown, or else since it was first taken."""

    name: ClassVar[str] = "fresh"
    personal: ClassVar[bool] = False

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:
        """Return what is missing where no item says since when: when one was first taken tells of its users."""
        del interactions
        return "" if np.isfinite(items.since).any() else "times from which items may be shown"

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Learn when each item was first taken."""
        first = np.full(len(items), np.inf)
        np.minimum.at(first, interactions.item, interactions.time)
        first[np.isinf(first)] = np.nan
        self._settle(first, items)

    def _settle(self, first: NDArray[np.float64], items: Catalogue) -> None:
        self._first = first
        self._born = np.where(np.isfinite(items.since), items.since, first)

    def state(self) -> State:
        """Return when each item was first taken."""
        return {"first": self._first}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take the times."""
        try:
            first = state["first"]
            self._settle(np.pad(first, (0, len(items) - first.size), constant_values=np.nan), items)
        except (KeyError, ValueError) as error:
            raise ArtifactError("fresh", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item; NaN for what is still to come."""
        return _ages(self._born[None], sessions.at[:, None])[None]

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        return _ages(self._born[lists.item], sessions.at)[None]


def _ages(born: NDArray[np.float64], at: NDArray[np.float64]) -> Scores:
    days = (born - at) / DAY
    return np.where(days <= 0, days, np.nan).astype(np.float32)
