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

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.retrieval.contract import Scores, State, Trial
from stackwright_recommender.retrieval.products import ProductRetriever, told
from stackwright_recommender.spectrum import strongest

_SIZE: Final = 32
_SCALE: Final = 0.25
_SIZES: Final = (8, 16, 32, 64, 128)
_SCALES: Final = (0.0, 0.25, 0.5)


class Factors(ProductRetriever):
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
        return self.offered

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

    @property
    def offered(self) -> NDArray[Any]:
        """What answers come from."""
        factors: NDArray[Any] = self._out
        return factors

    def asked(self, sessions: Sessions) -> NDArray[Any]:
        """Return the histories, folded in."""
        return np.asarray(sessions.matrix() @ self._in)

    def few_scores(self, sessions: Sessions, lists: Lists) -> Scores:
        """Return scores of the lists' items alone: of one session, without making a sparse matrix first."""
        inside, items = sessions.weight[None] @ self._in[sessions.item], self._out[lists.item]
        return told(inside @ items.T, inside, items)


def _decomposed(known: Interactions, size: int, scale: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return items × size axes, strongest first, and what popular items are divided by."""
    matrix = known.matrix.astype(np.float64)
    of_users = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1) ** scale
    of_items = (known.counts() + 1) ** scale
    size = min(size, min(matrix.shape) - 1)
    if size < 1 or not matrix.nnz:
        raise TrainingError("factors", f"{matrix.shape[0]} users and {matrix.shape[1]} items", "Give two of each.")
    scaled = sp.diags(1 / of_users) @ matrix @ sp.diags(1 / of_items)
    kept = strongest(scaled, size)
    kept[known.counts() == 0] = 0.0
    return kept, of_items
