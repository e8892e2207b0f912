"""Factors: items as directions of a truncated singular value decomposition.

PureSVD (Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation tasks", RecSys 2010),
with active users and popular items scaled down before. A history is folded in by a product, so that users who came
later are answered like others. Memory and time grow with the interactions, not with the square of the items.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State, Trial
from stackwright_recommender.retrieval.dense import DenseRetriever

_SIZE: Final = 32
_SCALE: Final = 0.25
_SIZES: Final = (8, 16, 32, 64, 128)
_SCALES: Final = (0.0, 0.25, 0.5)


class Factors(DenseRetriever):
    """Items in few dimensions.

    Args:
        size: dimensions; ``None`` chooses among 8 to 128 on held-out interactions.
        scale: power of the counts that users and items are divided by, 0 to 0.5; ``None`` chooses.
    """

    name: ClassVar[str] = "factors"

    def __init__(self, *, size: int | None = None, scale: float | None = None) -> None:
        self.size = size
        self.scale = scale

    def options(self) -> dict[str, Any]:
        """Return the options as chosen."""
        return {"size": self.size, "scale": self.scale}

    def tune(self, trial: Trial) -> None:
        """Choose what was left open."""
        sizes = _SIZES if self.size is None else (self.size,)
        scales = _SCALES if self.scale is None else (self.scale,)
        if len(sizes) * len(scales) == 1:
            return
        history, found = trial.sessions.matrix(), {}
        for scale in scales:
            axes, weight = _decomposed(trial.known, max(sizes), scale)
            for size in sizes:
                inside = (history @ (axes[:, :size] / weight[:, None])) @ (axes[:, :size] * weight[:, None]).T
                found[size, scale] = trial.judge(inside)
        self.size, self.scale = max(found, key=lambda chosen: found[chosen])

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Decompose."""
        del items
        axes, weight = _decomposed(interactions, self.size or _SIZE, _SCALE if self.scale is None else self.scale)
        self._in, self._out = axes / weight[:, None], axes * weight[:, None]

    def vectors(self) -> NDArray[Any]:
        """Return the items' factors."""
        factors: NDArray[Any] = self._out
        return factors

    def state(self) -> State:
        """Return what histories are folded in by, and what answers come from."""
        return {"in": self._in, "out": self._out}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take factors; new items have none."""
        try:
            more = len(items) - len(state["in"])
            self._in, self._out = (np.pad(state[name], ((0, more), (0, 0))) for name in ("in", "out"))
        except (KeyError, ValueError) as error:
            raise ArtifactError("factors", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item."""
        inside = sessions.matrix() @ self._in
        said = self._said(inside @ self._out.T, inside, slice(None))
        return said[None]

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone."""
        inside = sessions.weight[None] @ self._in[sessions.item]
        return self._said(inside @ self._out[lists.item].T, inside, lists.item)

    def _said(self, scores: NDArray[Any], inside: NDArray[Any], items: Any) -> NDArray[Any]:
        """Return scores, NaN for histories and items without factors."""
        scores[~inside.any(axis=1)] = np.nan
        scores[:, ~self._out[items].any(axis=1)] = np.nan
        return np.asarray(scores, dtype=np.float32)


def _decomposed(known: Interactions, size: int, scale: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return items × size axes, strongest first, and what popular items are divided by."""
    matrix = known.matrix.astype(np.float64)
    of_users = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1) ** scale
    of_items = (known.counts() + 1) ** scale
    size = min(size, min(matrix.shape) - 1)
    if size < 1 or not matrix.nnz:
        raise TrainingError("factors", f"{matrix.shape[0]} users and {matrix.shape[1]} items", "Give two of each.")
    scaled = sp.diags(1 / of_users) @ matrix @ sp.diags(1 / of_items)
    _, strength, axes = svds(scaled, k=size, v0=np.ones(min(scaled.shape)))
    order = np.argsort(-strength, kind="stable")
    kept = axes[order].T
    kept[known.counts() == 0] = 0.0
    return kept, of_items
