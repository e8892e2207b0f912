"""Items like those of the history, by what is known of the items: answers for what nobody took yet."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.retrieval.products import ProductRetriever


class Content(ProductRetriever):
    """Neighbours of a session in the space of attributes and numbers, searched exactly.

    Args:
        back: items back at which a history's weights halve.
    """

    name: ClassVar[str] = "content"

    def __init__(self, *, back: float = 20.0) -> None:
        self.back = back

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:
        """Return what is missing where nothing is known of the items."""
        del interactions
        return "" if items.vectors.any() else "attributes or numbers of items"

    def options(self) -> dict[str, Any]:
        """Return the options."""
        return {"back": self.back}

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Keep the items' vectors."""
        del interactions
        self._vectors = items.vectors.astype(np.float64)

    def state(self) -> State:
        """Return nothing: the vectors are the catalogue's."""
        return {}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take the catalogue's vectors."""
        del state
        self._vectors = items.vectors.astype(np.float64)

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the cosine between each item and the history's weighted sum."""
        return np.asarray(self.asked(sessions) @ self._vectors.T, dtype=np.float32)[None]

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        return np.asarray(self.asked(sessions) @ self._vectors[lists.item].T, dtype=np.float32)

    @property
    def offered(self) -> NDArray[Any]:
        """The catalogue's vectors."""
        return self._vectors

    def asked(self, sessions: Sessions) -> NDArray[Any]:
        """Return the weighted sum of each history's vectors, of length 1; NaN where there is none."""
        if len(sessions) == 1:  # as the product adds, without making a sparse matrix first
            weights = sessions.weight * np.exp2(-sessions.back / self.back)
            sums = (weights[:, None] * self._vectors[sessions.item]).sum(axis=0, keepdims=True)
        else:
            sums = sessions.matrix(self.back) @ self._vectors
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.where(length > 0, sums / np.maximum(length, 1e-12), np.nan)
