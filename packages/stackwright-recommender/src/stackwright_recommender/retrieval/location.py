"""Items near the place that is asked for, or else near those of the history."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.retrieval.dense import DenseRetriever

_KM: Final = 111.195
"""Kilometres of a degree on a sphere of radius 6,371 km."""


class Location(DenseRetriever):
    """The negative distance in km, on the plane that touches the globe there: within 1 % up to 500 km.

    Args:
        back: items back at which a history's weights halve.
    """

    name: ClassVar[str] = "location"

    def __init__(self, *, back: float = 5.0) -> None:
        self.back = back

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:
        """Return what is missing where no item has a place."""
        del interactions
        return "" if items.placed else "latitude and longitude of items"

    def options(self) -> dict[str, Any]:
        """Return the options."""
        return {"back": self.back}

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Keep the items' places."""
        del interactions
        self._places = items.place

    def state(self) -> State:
        """Return nothing: the places are the catalogue's."""
        return {}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take the catalogue's places."""
        del state
        self._places = items.place

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item."""
        return -_distances(self._centres(sessions)[:, None], self._places[None])[None]

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        return -_distances(self._centres(sessions), self._places[lists.item])[None].astype(np.float32)

    def _centres(self, sessions: Sessions) -> NDArray[np.float64]:
        places = self._places[sessions.item]
        weight = sessions.weight * np.exp2(-sessions.back / self.back)
        weight = np.where(np.isfinite(places.sum(axis=1)), weight, 0.0)
        total = np.bincount(sessions.owner, weight, minlength=len(sessions))
        known = np.where(np.isfinite(places), places, 0.0)
        sums = [np.bincount(sessions.owner, weight * axis, minlength=len(sessions)) for axis in known.T]
        centre = np.stack(sums, axis=1) / np.where(total > 0, total, np.nan)[:, None]
        asked = np.isfinite(sessions.place.sum(axis=1, keepdims=True))
        return np.where(asked, sessions.place, centre)


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    north = one[..., 0] - other[..., 0]
    east = (one[..., 1] - other[..., 1] + 180) % 360 - 180
    return np.asarray(_KM * np.hypot(north, east * np.cos(np.radians((one[..., 0] + other[..., 0]) / 2))))
