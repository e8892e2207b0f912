"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class SklearnConformance:
    """Parameters for few rows, and what must be refused."""

    quick: ClassVar[Mapping[str, Any]] = {"max_iter": 40}
    overfit: ClassVar[Mapping[str, Any]] = {"min_samples_leaf": 1, "learning_rate": 0.3}
    nonsense: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"max_iter": -1},
        {"max_itr": 100},
        {"learning_rate": "slow"},
        {"loss": "rank"},
        {"random_state": 3},
        {"n_jobs": 8},
        {"categorical_features": [0]},
        {"estimator": "sklearn.linear_model.Rigde"},
        {"monotonic_cst": {"areas": 1}},
        {"monotonic_cst": {"place": 1}},
        {"monotonic_cst": {"area": 2}},
    )
