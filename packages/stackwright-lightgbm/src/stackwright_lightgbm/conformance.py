"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class LightGBMConformance:
    """Parameters for few rows, and what must be refused."""

    quick: ClassVar[Mapping[str, Any]] = {"num_iterations": 100}
    overfit: ClassVar[Mapping[str, Any]] = {"min_data_in_leaf": 1, "learning_rate": 0.2, "num_iterations": 200}
    nonsense: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_leaves": -1},
        {"num_leaves": "many"},
        {"num_leavs": 31},
        {"n_estimators": 0},
        {"objective": "binary"},
        {"eta": -0.1},
        {"boosting": "upwards"},
        {"seed": 3},
        {"num_threads": 8},
        {"monotone": {"areas": 1}},
        {"monotone": {"area": 2}},
        {"monotone": {"place": 1}},
    )
