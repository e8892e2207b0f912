"""Putting the results of a query in order."""

# ruff: noqa: N803
# mypy: disallow_subclassing_any=False
# scikit-learn comes without types, and names rows X

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length

from stackwright_models.encoding import TabularEncoder, categorical_places
from stackwright_models.errors import InvalidData
from stackwright_models.inputs import take_numbers, take_rows
from stackwright_models.metrics import ndcg

_MOST_ROWS: Final = 10_000
_MOST_GRADE: Final = 30


class Ranker(BaseEstimator):
    """LightGBM's LambdaRank for rows that belong to queries.

    Args:
        n_estimators: trees.
        learning_rate: of each tree.
        num_leaves: of each tree.
        min_child_samples: rows a leaf holds at least.
        colsample_bytree: share of the columns that each tree may split on.
        k: places that count, in training a few more, and in :meth:`score`.
        params: further parameters of LightGBM.
        random_state: seed.
        n_jobs: threads; ``None`` takes LightGBM's default.

    Attributes:
        booster_: the fitted ``lightgbm.Booster``.
        encoder_: the encoder of the columns.
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"group": True, "position": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"group": True}

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        num_leaves: int = 31,
        min_child_samples: int = 20,
        colsample_bytree: float = 1.0,
        k: int = 10,
        params: Mapping[str, Any] | None = None,
        random_state: int | None = 7,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.k = k
        self.params = params
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, *, group: Any = None, position: Any = None) -> Self:
        """Fit the order.

        Args:
            X: n × d rows, a data frame or array.
            y: relevance of each row, whole numbers from 0 to 30; each step up doubles the gain.
            group: a label a row: the query it belongs to. Rows of a query may lie anywhere. ``None`` is one query.
            position: the place each row was shown at, where y comes from clicks: LightGBM then learns apart how much a
                place alone adds. Rows whose place is not known (0, or NaN) share one.

        Raises:
            InvalidData: a relevance out of range, or a query of more than 10,000 rows.
        """
        rows, relevance = take_rows(self, X, reset=True), take_numbers(y, "y")
        check_consistent_length(rows, relevance, group, position)
        if len(relevance) < 2:
            raise InvalidData(type(self).__name__, "n_samples=1", "Give two rows at least.")
        if ((relevance < 0) | (relevance > _MOST_GRADE) | (relevance != np.floor(relevance))).any():
            todo = f"Give whole numbers from 0 to {_MOST_GRADE}."
            raise InvalidData(type(self).__name__, "relevance that is no grade", todo)
        order, sizes = _by_group(group, relevance.size)
        if sizes.max() > _MOST_ROWS:
            todo = "Give group, or sample the rows of long queries."
            raise InvalidData(type(self).__name__, f"a query of {sizes.max():,} rows", todo)
        self.encoder_ = TabularEncoder().fit(rows)
        data = lightgbm.Dataset(
            self.encoder_.to_matrix(rows)[order],
            relevance[order],
            group=sizes,
            position=None if position is None else np.nan_to_num(np.asarray(position, dtype=np.float64))[order],
            categorical_feature=categorical_places(self.encoder_),
            feature_name=[f"column_{place}" for place in range(self.n_features_in_)],
            free_raw_data=True,
        )
        self.booster_ = lightgbm.train(self._native(), data, self.n_estimators)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return n scores, the best row highest; they compare within a query alone."""
        rows = take_rows(self, X, reset=False)
        return np.asarray(self.booster_.predict(self.encoder_.to_matrix(rows), num_threads=self.n_jobs or 0))

    def score(self, X: Any, y: Any, *, group: Any = None) -> float:
        """Return the mean NDCG of the first ``k`` places (:func:`~stackwright_models.metrics.ndcg`)."""
        return ndcg(take_numbers(y, "y"), self.predict(X), group, k=self.k)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "booster_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags

    def _native(self) -> dict[str, Any]:
        return {
            "objective": "lambdarank",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.colsample_bytree,
            "lambdarank_truncation_level": max(30, self.k + 5),
            "seed": 0 if self.random_state is None else self.random_state,
            "num_threads": self.n_jobs or 0,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            **(self.params or {}),
        }


def _by_group(group: Any, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return an order of the rows in which queries lie together, and the size of each."""
    if group is None:
        return np.arange(n), np.array([n])
    _, labels, sizes = np.unique(np.asarray(group), return_inverse=True, return_counts=True)
    return np.argsort(labels, kind="stable"), sizes
