"""A challenger of a recommender that is asked for the lists that were shown."""

from __future__ import annotations

from stackwright_interfaces.recommender import Recommendations, Request
from stackwright_serving.lists import LoadedLists
from stackwright_serving.metrics import Metrics
from stackwright_serving.shadowing import Shadow


class ListShadow(Shadow[Request, Recommendations]):
    """Answers copies of requests for lists; nothing stands in for it where it fails.

    Args:
        lists: the challenger, loaded for it alone: whoever waits for a list does not wait for its turn.
        metrics: counts what it answered, dropped and failed at.
        limit: lists that may wait.
    """

    def __init__(self, lists: LoadedLists, metrics: Metrics, *, limit: int) -> None:
        self.lists = lists
        super().__init__(lists.version, metrics, limit=limit)

    def _answer(self, copied: Request) -> Recommendations:
        return self.lists.answer(copied)
