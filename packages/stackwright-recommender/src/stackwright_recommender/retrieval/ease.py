"""EASE: each item's score is a weighted sum over the history, the weights in closed form.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019: ``B = -P / diag(P)`` with ``P = (X'X + l2)^-1``,
and a diagonal of zeros. A history may be weighted by how far back each item lies.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State, Trial
from stackwright_recommender.retrieval.dense import DenseRetriever

_L2: Final = 400.0
_TRIED: Final = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
_FEW: Final = 4_000
"""Up to so many items ``l2`` is chosen by trial, numbers have 64 bits, and all weights are kept."""


class Ease(DenseRetriever):
    """Weights between items.

    Args:
        l2: ridge; ``None`` chooses it on held-out interactions, and is 400 above 4,000 items.
        half_lives: items back at which a history's weights halve, each for a signal beside the unweighted one.
        most: items that weights are made for, those that most users took. Time grows with the cube, memory with the
            square: 20,000 take 1.6 GB. The others are left to other retrievers.
        keep: above 4,000 items, how many weights of each item are kept, the greatest.
    """

    name: ClassVar[str] = "ease"

    def __init__(
        self,
        *,
        l2: float | None = None,
        half_lives: tuple[float, ...] = (20.0, 5.0),
        most: int = 20_000,
        keep: int = 512,
    ) -> None:
        self.l2 = l2
        self.half_lives = tuple(half_lives)
        self.most = most
        self.keep = keep

    @property
    def signals(self) -> tuple[str, ...]:
        """The whole history, then each half-life."""
        return (self.name, *(f"{self.name}_{half_life:g}" for half_life in self.half_lives))

    def options(self) -> dict[str, Any]:
        """Return the options, ``l2`` as chosen."""
        return {"l2": self.l2, "half_lives": list(self.half_lives), "most": self.most, "keep": self.keep}

    def tune(self, trial: Trial) -> None:
        """Choose ``l2``."""
        if self.l2 is not None:
            return
        if len(trial.items) > _FEW:
            self.l2 = _L2
            return
        gram = _gram(trial.known.matrix)
        history = trial.sessions.matrix()
        found = {l2: trial.judge(history @ _weights(gram.copy(), l2)) for l2 in _TRIED}
        self.l2 = max(found, key=lambda l2: found[l2])

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Learn the weights.

        Raises:
            TrainingError: there are no interactions, or memory for the weights.
        """
        counts = interactions.counts()
        head = np.sort(np.argsort(-counts, kind="stable")[: min(self.most, int((counts > 0).sum()))])
        if not head.size:
            raise TrainingError("ease", "no interactions to learn from", "Give interactions with weights above 0.")
        try:
            weights = _weights(_gram(interactions.matrix[:, head]), self.l2 or _L2)
        except MemoryError as error:
            found = f"no memory for {head.size:,} × {head.size:,} weights"
            raise TrainingError("ease", found, "Set ease's option most to fewer items.") from error
        self._settle(head, weights if head.size <= _FEW else _greatest(weights, self.keep), len(items))

    def _settle(self, head: NDArray[Any], weights: Any, items: int) -> None:
        self._head = head.astype(np.int32)
        self._weights = weights
        self._place = np.full(items, UNKNOWN, dtype=np.int32)
        self._place[head] = np.arange(head.size, dtype=np.int32)

    def state(self) -> State:
        """Return the items and their weights."""
        if not sp.issparse(self._weights):
            return {"head": self._head, "weights": self._weights}
        kept = {"values": self._weights.data, "columns": self._weights.indices, "rows": self._weights.indptr}
        return {"head": self._head, **kept}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take weights."""
        try:
            head = state["head"]
            weights = state.get("weights")
            if weights is None:
                parts = (state["values"], state["columns"], state["rows"])
                weights = sp.csr_matrix(parts, shape=(head.size, head.size))
            if weights.shape != (head.size, head.size):
                raise ValueError(f"weights of shape {weights.shape}")
            self._settle(head, weights, len(items))
        except (KeyError, ValueError, IndexError) as error:
            raise ArtifactError("ease", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item by each signal."""
        if len(sessions) == 1:
            every = np.arange(sessions.items, dtype=np.int32)
            return self.few_scores(sessions, Lists.of([every]))[:, None]
        answer = np.full((len(self.signals), len(sessions), sessions.items), np.nan, dtype=np.float32)
        for number, half_life in enumerate((None, *self.half_lives)):
            found = sessions.matrix(half_life)[:, self._head] @ self._weights
            answer[number][:, self._head] = found.toarray() if sp.issparse(found) else found
        answer[:, ~_spoken(sessions, self._place)] = np.nan
        return answer

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        there = self._place[sessions.item]
        known = (there != UNKNOWN) & (sessions.weight > 0)
        weight, back = sessions.weight[known], sessions.back[known]
        decays = np.stack([weight, *(weight * np.exp2(-back / half_life) for half_life in self.half_lives)])
        asked = self._place[lists.item]
        if sp.issparse(self._weights):
            found = (self._weights[there[known]].T @ decays.T).T[:, asked]
        else:
            found = decays @ self._weights.take(there[known], axis=0).take(asked, axis=1)  # whole rows are read ahead
        found[:, (asked == UNKNOWN) | (not known.any())] = np.nan
        return np.asarray(found, dtype=np.float32)


def _spoken(sessions: Sessions, place: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which sessions hold an item that has weights."""
    known = (place[sessions.item] != UNKNOWN) & (sessions.weight > 0)
    return np.bincount(sessions.owner[known], minlength=len(sessions)) > 0


def _gram(matrix: Any) -> NDArray[Any]:
    kind = np.float64 if matrix.shape[1] <= _FEW else np.float32
    product = (matrix.T @ matrix).astype(kind)
    return np.asarray(product.toarray(order="F"))


def _weights(gram: NDArray[Any], l2: float) -> NDArray[np.float32]:
    """Return the weights; ``gram`` is overwritten."""
    factor, invert = (lapack.dpotrf, lapack.dpotri) if gram.dtype == np.float64 else (lapack.spotrf, lapack.spotri)
    gram[np.diag_indices_from(gram)] += l2
    upper, failed = factor(gram, lower=0, clean=0, overwrite_a=1)
    inverse, broken = invert(upper, lower=0, overwrite_c=1)
    if failed or broken:
        raise TrainingError("ease", f"l2 of {l2:g} leaves the items' matrix without an inverse", "Give a greater l2.")
    for column in range(1, inverse.shape[1]):
        inverse[column, :column] = inverse[:column, column]
    weights = inverse.T  # the inverse is symmetric: so its rows lie one after the other, and nothing is copied
    weights /= -np.diag(weights).copy()
    weights[np.diag_indices_from(weights)] = 0.0
    return np.ascontiguousarray(weights, dtype=np.float32)


def _greatest(weights: NDArray[np.float32], keep: int) -> Any:
    """Return the ``keep`` weights of greatest size of each row, as a sparse matrix."""
    n = len(weights)
    keep = min(keep, n)
    columns = np.empty((n, keep), dtype=np.int32)
    values = np.empty((n, keep), dtype=np.float32)
    for start in range(0, n, 512):
        part = weights[start : start + 512]
        best = np.sort(np.argpartition(-np.abs(part), keep - 1, axis=1)[:, :keep], axis=1)
        columns[start : start + 512] = best
        values[start : start + 512] = np.take_along_axis(part, best, axis=1)
    rows = np.arange(0, n * keep + 1, keep)
    return sp.csr_matrix((values.ravel(), columns.ravel(), rows), shape=(n, n))
