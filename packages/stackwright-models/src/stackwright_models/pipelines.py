"""A model for tables that is good before it is tuned."""

# ruff: noqa: N803
# mypy: disable-error-code="override"
# X is scikit-learn's name for rows; what LightGBM takes beyond these is handed on by name

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_consistent_length

from stackwright_models.encoding import TabularEncoder
from stackwright_models.errors import InvalidParameter
from stackwright_models.inputs import take_labels, take_numbers

CURATED: Final[Mapping[str, Any]] = {
    "n_estimators": 800,
    "learning_rate": 0.04,
    "num_leaves": 31,
    "colsample_bytree": 0.5,
    "random_state": 7,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
"""Where :func:`tabular` leaves LightGBM's own defaults. Same rows and seed, same model."""

NATIVE: Final[Mapping[str, str]] = {
    "num_iterations": "n_estimators",
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "bagging_freq": "subsample_freq",
    "min_data_in_leaf": "min_child_samples",
    "min_sum_hessian_in_leaf": "min_child_weight",
    "min_gain_to_split": "min_split_gain",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
    "seed": "random_state",
    "num_threads": "n_jobs",
}
"""LightGBM's own name of a parameter → the name its scikit-learn estimators give it."""


class BoostedRegressor(LGBMRegressor):
    """LightGBM's regressor. Beside a data frame LightGBM does not look at targets; this does."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit, as ``LGBMRegressor`` does.

        Raises:
            ValueError: a target that is NaN or infinite, or too few or many of them.
        """
        targets = take_numbers(y, "y")
        check_consistent_length(X, targets)
        super().fit(X, targets, sample_weight=sample_weight, **params)
        return self


class BoostedClassifier(LGBMClassifier):
    """LightGBM's classifier. Beside a data frame LightGBM does not look at targets; this does."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit, as ``LGBMClassifier`` does.

        Raises:
            ValueError: a target that is missing or infinite, or too few or many of them.
        """
        targets = take_labels(y)
        check_consistent_length(X, targets)
        super().fit(X, targets, sample_weight=sample_weight, **params)
        return self


_MODELS: Final = {"regression": BoostedRegressor, "classification": BoostedClassifier}


def tabular(task: Literal["regression", "classification"] = "regression", **params: Any) -> Pipeline:
    """Return an unfitted pipeline of an encoder and LightGBM: steps ``encode`` and ``model``.

    It takes data frames and arrays with numbers, texts, categories, times and missing values.

    Args:
        task: what is predicted.
        params: parameters of LightGBM over :data:`CURATED`, under the names of LightGBM or of its scikit-learn
            estimators. A ``bagging_fraction`` below 1 draws anew for each tree unless ``bagging_freq`` is given.

    Raises:
        InvalidParameter: there is no such task, or a parameter was given under two names.
    """
    if task not in _MODELS:
        raise InvalidParameter("tabular", f"task {task!r}", f"Give one of: {', '.join(_MODELS)}.")
    return Pipeline([("encode", TabularEncoder()), ("model", _MODELS[task](**{**CURATED, **estimator_names(params)}))])


def estimator_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters under the names of LightGBM's scikit-learn estimators.

    Raises:
        InvalidParameter: one was given under two names.
    """
    named: dict[str, Any] = {}
    for name, value in params.items():
        target = NATIVE.get(name, name)
        if target in named:
            raise InvalidParameter("LightGBM", f"{target!r} was given under two names", "Give it once.")
        named[target] = value
    if named.get("subsample", 1.0) < 1.0:
        named.setdefault("subsample_freq", 1)
    return named
