"""Trees and linear models of scikit-learn as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from operator import methodcaller
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import BaseDecisionTree
from sklearn.utils import get_tags

from stackwright_sklearn.linear import LINKS

Floats = NDArray[np.float64]
Document = dict[str, Any]

_FORESTS: Final = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
_BOOSTED: Final = (GradientBoostingClassifier, GradientBoostingRegressor)
_HISTOGRAMS: Final = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_LINKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("squared_error", "absolute_error", "huber", "quantile"), "identity"),
    **dict.fromkeys(("poisson", "gamma"), "exp"),
    "log_loss": "logistic",
    "exponential": "logistic of twice",
}
"""Loss of a boosted model → how its answer follows from the sum."""

_BITS: Final = 32


def trees(estimator: Any, *, dense: bool) -> Document | None:
    """Return a tree, forest or boosted trees, as ``SupportsPortable`` says; ``None`` of another estimator.

    Args:
        estimator: fitted, with one output; a classifier of 0 and 1.
        dense: whether its columns come as a dense matrix, in which alone it takes missing values.
    """
    if isinstance(estimator, BaseDecisionTree):
        return _grown([estimator], estimator, dense=dense)
    if isinstance(estimator, _FORESTS):
        return _grown(estimator.estimators_, estimator, dense=dense)
    if isinstance(estimator, _BOOSTED):
        return _boosted(estimator)
    return _histograms(estimator) if isinstance(estimator, _HISTOGRAMS) else None


def linear(estimator: Any, columns: Floats) -> Document | None:
    """Return a linear model, as ``SupportsPortable`` says; ``None`` of another estimator.

    The link is the one that turns its sums into its answers.

    Args:
        estimator: fitted, with one output; a classifier of 0 and 1.
        columns: rows as the estimator takes them, none missing.
    """
    coefficients = np.asarray(getattr(estimator, "coef_", ()), dtype=np.float64).ravel()
    intercept = np.asarray(getattr(estimator, "intercept_", ()), dtype=np.float64).ravel()
    if coefficients.size != columns.shape[1] or intercept.size != 1:
        return None
    chances = is_classifier(estimator)
    answers = estimator.predict_proba(columns)[:, 1] if chances else np.ravel(estimator.predict(columns))
    raw = columns @ coefficients + intercept[0]
    for link, inverse in LINKS.items():
        with np.errstate(over="ignore"):
            told = inverse(raw)
        if np.allclose(told, answers, rtol=1e-9, atol=1e-12):
            sums = {"coefficients": coefficients.tolist(), "intercept": float(intercept[0])}
            return {"kind": "linear", **sums, "link": link}
    return None


def _grown(members: list[Any], model: Any, *, dense: bool) -> Document:
    """Return trees whose leaves are averaged: they hold means, or the share of each class."""
    output = int(is_classifier(model))
    return _document(
        [_tree(member.tree_, output) for member in members],
        share=len(members),
        single=True,
        takes_missing=dense and bool(get_tags(model).input_tags.allow_nan),
    )


def _boosted(model: Any) -> Document | None:
    if isinstance(model.init_, str):
        base = 0.0
    elif isinstance(model.init_, DummyClassifier | DummyRegressor):
        base = float(methodcaller("_raw_predict_init", np.zeros((1, model.n_features_in_)))(model)[0, 0])
    else:
        return None
    grown = [_tree(member.tree_, 0) for member in model.estimators_.ravel()]
    return _document(grown, base=base, factor=float(model.learning_rate), single=True, link=_LINKS[model.loss])


def _histograms(model: Any) -> Document:
    inside = vars(model)
    bins = vars(inside["_bin_mapper"])
    known = {
        str(column): [int(category) for category in bins["bin_thresholds_"][column]]
        for column in np.flatnonzero(bins["is_categorical_"])
    }
    return _document(
        [_histogram(tree) for (tree,) in inside["_predictors"]],
        base=float(np.ravel(inside["_baseline_prediction"])[0]),
        takes_missing=True,
        known=known,
        link=_LINKS[model.loss],
    )


def _document(
    grown: list[Document],
    *,
    base: float = 0.0,
    factor: float = 1.0,
    share: int = 1,
    single: bool = False,
    takes_missing: bool = False,
    known: Mapping[str, list[int]] | None = None,
    link: str = "identity",
) -> Document:
    return {
        "kind": "trees", "base": base, "factor": factor, "share": share, "single": single,
        "takes_missing": takes_missing, "known": known or {}, "link": link, "trees": grown,
    }  # fmt: skip


def _tree(tree: Any, output: int) -> Document:
    nodes = tree.__getstate__()["nodes"]
    inner = tree.children_left >= 0
    return {
        "feature": np.where(inner, tree.feature, -1).tolist(),
        "threshold": _thresholds(np.where(inner, tree.threshold, 0.0)),
        "left": tree.children_left.tolist(),
        "right": tree.children_right.tolist(),
        "missing_left": nodes["missing_go_to_left"].astype(int).tolist(),
        "value": tree.value[:, 0, output].tolist(),
    }


def _histogram(tree: Any) -> Document:
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    thresholds = _thresholds(nodes["num_threshold"])
    for place in np.flatnonzero(inner & (nodes["is_categorical"] != 0)):
        thresholds[place] = _categories(tree.raw_left_cat_bitsets[nodes["bitset_idx"][place]])
    return {
        "feature": np.where(inner, nodes["feature_idx"].astype(np.int64), -1).tolist(),
        "threshold": thresholds,
        "left": nodes["left"].tolist(),
        "right": nodes["right"].tolist(),
        "missing_left": nodes["missing_go_to_left"].astype(int).tolist(),
        "value": nodes["value"].tolist(),
    }


def _thresholds(values: Any) -> list[Any]:
    """Return thresholds; ``None`` of the endless ones, which part what is missing from all else."""
    return [None if np.isinf(value) else value for value in values.tolist()]


def _categories(words: Any) -> list[int]:
    return [
        number * _BITS + bit for number, word in enumerate(words.tolist()) for bit in range(_BITS) if word >> bit & 1
    ]
