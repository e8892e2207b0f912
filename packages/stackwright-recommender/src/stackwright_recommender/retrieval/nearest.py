"""Nearest items by an index of FAISS, for catalogues that are too large to look at every item.

Johnson, Douze, Jégou, "Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 2019. Above some
number of items the index is an inverted file: items lie in cells, and only those of the nearest cells are looked at.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PluginError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Candidates, Retriever, Scores, State, Trial
from stackwright_recommender.retrieval.products import ProductRetriever, library

_OF: Final = {"content": "content:Content", "factors": "factors:Factors", "als": "als:AlternatingLeastSquares"}
_INDEX: Final = "index"
_INNER: Final = "of_"
_TOGETHER: Final = 65_536
"""Products that are made at once."""
_FEWEST: Final = 39
"""Items of a cell, below which FAISS warns that its cells say little."""


class Nearest(Retriever):
    """What another retriever names that goes by products of vectors, found without looking at every item.

    Needs ``stackwright-recommender[faiss]``, to answer too.

    Args:
        of: ``content``, ``factors`` or ``als``.
        options: of that retriever.
        exact: up to so many items every one is looked at.
        look: share of the cells that is looked at.
    """

    name: ClassVar[str] = "nearest"

    def __init__(
        self, *, of: str = "content", options: dict[str, Any] | None = None, exact: int = 20_000, look: float = 0.1
    ) -> None:
        if of not in _OF:
            raise PluginError("retriever 'nearest'", f"of is {of!r}", f"Choose from: {', '.join(_OF)}.")
        module, _, kind = _OF[of].partition(":")
        self.of = of
        self.exact = exact
        self.look = look
        self._inner: ProductRetriever = getattr(import_module(f"{__package__}.{module}"), kind)(**options or {})

    def options(self) -> dict[str, Any]:
        """Return the options, those of the other retriever as chosen."""
        return {"of": self.of, "options": self._inner.options(), "exact": self.exact, "look": self.look}

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:
        """Return what the other lacks."""
        return self._inner.lacks(interactions, items)

    def tune(self, trial: Trial) -> None:
        """Let the other choose."""
        self._inner.tune(trial)

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Let the other learn, and index its vectors.

        Raises:
            PluginError: FAISS is not installed.
            TrainingError: there is nothing that the other could learn from.
        """
        self._inner.fit(interactions, items)
        rows = self._settle()
        self._index = _made(rows, self.exact, self.look)
        self._index.add(rows)

    def _settle(self) -> NDArray[np.float32]:
        """Note which items have vectors, and return these."""
        self._codes = np.flatnonzero(self._inner.offered.any(axis=1)).astype(np.int32)
        return np.ascontiguousarray(self._inner.offered[self._codes], dtype=np.float32)

    def state(self) -> State:
        """Return what the other learned, and the index."""
        faiss = library(self.name, "faiss", "faiss")
        return {
            _INDEX: faiss.serialize_index(self._index),
            **{f"{_INNER}{key}": array for key, array in self._inner.state().items()},
        }

    def restore(self, state: State, items: Catalogue) -> None:
        """Take an index; new items that have vectors are put into it.

        Raises:
            PluginError: FAISS is not installed.
        """
        faiss = library(self.name, "faiss", "faiss")
        learned = {key.removeprefix(_INNER): array for key, array in state.items() if key.startswith(_INNER)}
        self._inner.restore(learned, items)
        rows = self._settle()
        try:
            self._index = faiss.deserialize_index(np.asarray(state[_INDEX], dtype=np.uint8))
            if self._index.d != rows.shape[1] or self._index.ntotal > len(rows):
                raise ValueError(f"an index of {self._index.ntotal} items in {self._index.d} dimensions")
        except (KeyError, ValueError, RuntimeError) as error:
            raise ArtifactError(self.name, f"damaged ({error!r})", "Train the recommender again.") from error
        if len(rows) > self._index.ntotal:
            self._index.add(rows[self._index.ntotal :])

    def candidates(self, sessions: Sessions, n: int) -> Candidates:
        """Return the items with the greatest products, of those that are looked at."""
        asked = self._inner.asked(sessions)
        there = asked.any(axis=1) & np.isfinite(asked).all(axis=1)
        n = min(n, self._index.ntotal)
        items = np.full((len(sessions), n), UNKNOWN, dtype=np.int32)
        scores = np.full((len(sessions), n), -np.inf, dtype=np.float32)
        if n and there.any():
            found, places = self._index.search(np.ascontiguousarray(asked[there], dtype=np.float32), n)
            codes = np.where(places < 0, UNKNOWN, self._codes[places])
            order = np.lexsort((codes, -np.where(places < 0, -np.inf, found)), axis=1)
            items[there] = np.take_along_axis(codes, order, axis=1)
            scores[there] = np.take_along_axis(found, order, axis=1)
        return Candidates(items, scores)

    def scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return the products of the lists' items, whether the index would have found them or not."""
        asked, offered = self._inner.asked(sessions), self._inner.offered
        answer = np.empty(lists.item.size, dtype=np.float32)
        for start in range(0, lists.item.size, _TOGETHER):
            span = slice(start, start + _TOGETHER)
            mine, items = asked[lists.owner[span]], offered[lists.item[span]]
            found = np.einsum("nd,nd->n", mine, items)
            found[~mine.any(axis=1) | ~items.any(axis=1)] = np.nan
            answer[span] = found
        return answer[None]

    def vectors(self) -> NDArray[Any] | None:
        """Return the other's vectors."""
        return self._inner.vectors()


def _made(rows: NDArray[np.float32], exact: int, look: float) -> Any:
    """Return an index that is ready to take items: one that looks at all, or one of cells."""
    faiss = library(Nearest.name, "faiss", "faiss")
    if len(rows) <= exact:
        return faiss.IndexFlatIP(rows.shape[1])
    cells = max(1, min(round(len(rows) ** 0.5), len(rows) // _FEWEST))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(1, round(look * cells))
    index.train(rows)
    return index
