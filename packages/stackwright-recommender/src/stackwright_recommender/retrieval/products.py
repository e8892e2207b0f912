"""Retrievers whose score of an item is the product of its vector with one of the session."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PluginError
from stackwright_recommender.interactions import Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores
from stackwright_recommender.retrieval.dense import DenseRetriever


class ProductRetriever(DenseRetriever):
    """Base: vectors of sessions times vectors of items."""

    @property
    @abstractmethod
    def offered(self) -> NDArray[Any]:
        """Items × d; a row of zeros where nothing is known of an item."""

    @abstractmethod
    def asked(self, sessions: Sessions) -> NDArray[Any]:
        """Return sessions × d; a row of zeros, or of NaN, where nothing follows from a session."""

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item."""
        inside = self.asked(sessions)
        return told(inside @ self.offered.T, inside, self.offered)[None]

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        inside, items = self.asked(sessions), self.offered[lists.item]
        return told(inside @ items.T, inside, items)


def told(scores: NDArray[Any], sessions: NDArray[Any], items: NDArray[Any]) -> Scores:
    """Return products, NaN for sessions and items without a vector."""
    scores[~sessions.any(axis=1)] = np.nan
    scores[:, ~items.any(axis=1)] = np.nan
    return np.asarray(scores, dtype=np.float32)


def library(retriever: str, module: str, extra: str) -> Any:
    """Return a module that a retriever computes with.

    Raises:
        PluginError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        todo = f'Run: pip install "stackwright-recommender[{extra}]"'
        raise PluginError(f"retriever {retriever!r}", f"{extra} cannot be imported ({error})", todo) from error
