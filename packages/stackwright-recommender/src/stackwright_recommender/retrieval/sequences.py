"""What is taken after what: items that follow each other in histories, the nearer the more.

Pairs of one history count ``2^(-distance / half_life)``, by the geometric mean of the items' counts.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Lists, Sessions, spans
from stackwright_recommender.retrieval.contract import Scores, State
from stackwright_recommender.retrieval.dense import DenseRetriever


class Sequences(DenseRetriever):
    """Items that come next, and items that stand near, on either side.

    Args:
        half_life: distance, in items, at which a pair counts half.
        reach: distance up to which pairs count.
        back: items back at which a history's weights halve.
        keep: neighbours of an item that are kept, the strongest.
    """

    name: ClassVar[str] = "sequences"

    def __init__(self, *, half_life: float = 10.0, reach: int = 30, back: float = 20.0, keep: int = 512) -> None:
        self.half_life = half_life
        self.reach = reach
        self.back = back
        self.keep = keep

    @property
    def signals(self) -> tuple[str, ...]:
        """What comes next; what stands near a recent item; what stands near any item."""
        return ("next", "near", "together")

    def lacks(self, interactions: Interactions, items: Catalogue) -> str:
        """Return what is missing where no times are known."""
        del items
        return "" if interactions.timed else "times of interactions"

    def options(self) -> dict[str, Any]:
        """Return the options."""
        return {"half_life": self.half_life, "reach": self.reach, "back": self.back, "keep": self.keep}

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Count pairs."""
        n = len(items)
        liked = interactions.take(interactions.weight > 0)
        counted = sp.csr_matrix((n, n), dtype=np.float32)
        for distance in range(1, self.reach + 1):
            same = liked.user[distance:] == liked.user[:-distance]
            if not same.any():
                break
            before, after = liked.item[:-distance][same], liked.item[distance:][same]
            share = np.full(before.size, 2.0 ** (-distance / self.half_life), dtype=np.float32)
            counted = counted + sp.csr_matrix((share, (before, after)), shape=(n, n))
        scale = sp.diags((1 / np.sqrt(liked.counts() + 1)).astype(np.float32))
        forward = scale @ counted @ scale
        self._next = _strongest(forward.tocsr(), self.keep)
        self._near = _strongest((forward + forward.T).tocsr(), self.keep)

    def state(self) -> State:
        """Return both matrices."""
        kept: dict[str, NDArray[Any]] = {}
        for name, matrix in (("next", self._next), ("near", self._near)):
            kept |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
        return kept

    def restore(self, state: State, items: Catalogue) -> None:
        """Take both matrices; new items have no neighbours."""
        try:
            self._next, self._near = (_matrix(state, name, len(items)) for name in ("next", "near"))
        except (KeyError, ValueError) as error:
            raise ArtifactError("sequences", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item by each signal."""
        recent, whole = sessions.matrix(self.back), sessions.matrix()
        found = (recent @ self._next, recent @ self._near, whole @ self._near)
        answer = np.stack([one.toarray().astype(np.float32) for one in found])
        answer[:, sessions.sizes == 0] = np.nan
        return answer

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        answer = np.full((3, lists.item.size), np.nan, dtype=np.float32)
        if sessions.item.size:
            recent = sessions.weight * np.exp2(-sessions.back / self.back)
            answer[0] = _summed(self._next, sessions.item, recent)[0][lists.item]
            near, together = _summed(self._near, sessions.item, recent, sessions.weight)
            answer[1], answer[2] = near[lists.item], together[lists.item]
        return answer


def _summed(matrix: Any, rows: NDArray[Any], *weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the sum of some rows of a sparse matrix by each weight."""
    starts, stops = matrix.indptr[rows], matrix.indptr[rows + 1]
    cells = spans(starts, stops)
    columns, values, sizes = matrix.indices[cells], matrix.data[cells], stops - starts
    shares = [values * np.repeat(one, sizes) for one in weights]
    return [np.asarray(np.bincount(columns, share, matrix.shape[1]), dtype=np.float64) for share in shares]


def _matrix(state: State, name: str, items: int) -> Any:
    data, indices, starts = (state[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    starts = np.pad(starts, (0, items + 1 - len(starts)), mode="edge")
    return sp.csr_matrix((data, indices, starts), shape=(items, items))


def _strongest(matrix: Any, keep: int) -> Any:
    """Return the ``keep`` greatest values of each row."""
    matrix.sort_indices()
    sizes = np.diff(matrix.indptr)
    if not (sizes > keep).any():
        return matrix
    row = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-matrix.data, row))
    kept = np.sort(order[np.arange(order.size) - np.repeat(matrix.indptr[:-1], sizes) < keep])
    starts = np.concatenate([[0], np.cumsum(np.minimum(sizes, keep))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)
