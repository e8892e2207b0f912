"""What a recommender answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """A list, best first, and what a log must keep of it.

    Args:
        items: identifiers.
        scores: of each, comparable within the list alone; NaN for what a rule pinned there.
        propensities: the probability with which each was put at its place; 1 where nothing is left to chance.
        cold: which of them nobody took before.
        cold_user: nothing is known of the user, neither before nor in the session.
        shuffled: whether chance decided the order.
        unknown: candidates and items of the session that the recommender does not know; they were left out.
        removed: filter → candidates that it took out: ``unavailable``, ``over_budget``, ``seen``, ``hidden``.
        considered: candidates that were ranked.
    """

    items: tuple[Any, ...]
    scores: NDArray[np.float64]
    propensities: NDArray[np.float64]
    cold: NDArray[np.bool_]
    cold_user: bool
    shuffled: bool = False
    unknown: tuple[Any, ...] = ()
    removed: Mapping[str, int]
    considered: int

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)

    @property
    def positions(self) -> NDArray[np.int64]:
        """The place of each, from 1."""
        return np.arange(1, len(self.items) + 1)

    def log(self, list_id: str, **others: Any) -> list[dict[str, Any]]:
        """Return a row an item for a log of what was shown, JSON values: what a replay reads.

        Args:
            list_id: names this list.
            others: go into every row (``user``, ``at``).
        """
        parts = zip(self.items, self.positions.tolist(), self.propensities.tolist(), self.scores.tolist(), strict=True)
        return [
            {
                **others,
                "list": list_id,
                "item": item,
                "position": position,
                "propensity": propensity,
                "score": None if np.isnan(score) else score,
            }
            for item, position, propensity, score in parts
        ]
