"""Alternating least squares, fitted by the library implicit.

Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. A history is folded in by the
paper's equation 4, so that users who came later are answered like others, and the library is not needed to answer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Sessions, Sparse
from stackwright_recommender.retrieval.contract import State, Trial
from stackwright_recommender.retrieval.products import ProductRetriever, library

_ALPHA: Final = 10.0
_ALPHAS: Final = (1.0, 10.0, 40.0)


class AlternatingLeastSquares(ProductRetriever):
    """Users and items in few dimensions. Needs ``stackwright-recommender[implicit]`` to learn.

    Args:
        size: dimensions.
        alpha: confidence that a weight of 1 adds to that of nothing seen, which is 1; ``None`` chooses among 1, 10 and
            40 on held-out interactions.
        regularization: of the factors.
        iterations: of the alternation.
        seed: of the factors that it begins with.
    """

    name: ClassVar[str] = "als"

    def __init__(
        self,
        *,
        size: int = 64,
        alpha: float | None = None,
        regularization: float = 0.1,
        iterations: int = 15,
        seed: int = 7,
    ) -> None:
        self.size = size
        self.alpha = alpha
        self.regularization = regularization
        self.iterations = iterations
        self.seed = seed

    def options(self) -> dict[str, Any]:
        """Return the options, ``alpha`` as chosen."""
        return {name: getattr(self, name) for name in ("size", "alpha", "regularization", "iterations", "seed")}

    def tune(self, trial: Trial) -> None:
        """Choose ``alpha``."""
        if self.alpha is not None:
            return
        found = {}
        for alpha in _ALPHAS:
            self.alpha = alpha
            self.fit(trial.known, trial.items)
            found[alpha] = trial.judge(self.all_scores(trial.sessions)[0])
        self.alpha = max(found, key=lambda alpha: found[alpha])

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Learn the items' factors.

        Raises:
            PluginError: implicit is not installed.
            TrainingError: there are no interactions.
        """
        del items
        implicit = library(self.name, "implicit.cpu.als", "implicit")
        limits = library(self.name, "threadpoolctl", "implicit").threadpool_limits
        confidence = self._confidence(interactions.matrix)
        if not confidence.nnz:
            raise TrainingError(self.name, "no interactions to learn from", "Give interactions with weights above 0.")
        with limits(1, "blas"):  # more threads than one add in another order each time
            model = implicit.AlternatingLeastSquares(
                factors=self.size,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=1,
                random_state=self.seed,
            )
            model.fit(confidence, show_progress=False)
        self._settle(np.asarray(model.item_factors, dtype=np.float64))

    def _confidence(self, matrix: Sparse) -> Sparse:
        """Return what implicit takes for confidence: 1 and ``alpha`` times the weight, where it is above 0."""
        matrix = matrix.copy()
        matrix.eliminate_zeros()
        matrix.data = 1 + (_ALPHA if self.alpha is None else self.alpha) * matrix.data
        return matrix

    def _settle(self, items: NDArray[np.float64]) -> None:
        self._items = items
        self._square = items.T @ items + self.regularization * np.eye(items.shape[1])

    @property
    def offered(self) -> NDArray[np.float64]:
        """The items' factors."""
        return self._items

    def asked(self, sessions: Sessions) -> NDArray[np.float64]:
        """Return the users' factors that follow from the histories."""
        confidence = self._confidence(sessions.matrix())
        found = np.zeros((len(sessions), self._items.shape[1]))
        for row in np.flatnonzero(np.diff(confidence.indptr)):
            span = slice(confidence.indptr[row], confidence.indptr[row + 1])
            sure, taken = confidence.data[span].astype(np.float64), self._items[confidence.indices[span]]
            found[row] = np.linalg.solve(self._square + (taken.T * (sure - 1)) @ taken, sure @ taken)
        return found

    def vectors(self) -> NDArray[Any]:
        """Return the items' factors."""
        return self._items

    def state(self) -> State:
        """Return the items' factors."""
        return {"items": self._items}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take factors; new items have none."""
        try:
            kept = state["items"]
            self._settle(np.pad(kept, ((0, len(items) - len(kept)), (0, 0))))
        except (KeyError, ValueError) as error:
            raise ArtifactError(self.name, f"damaged ({error!r})", "Train the recommender again.") from error
