"""The indexes inside stored trees, checked before anything predicts with them.

scikit-learn follows a tree's indexes without looking whether they lie inside of its arrays, so an altered tree could
read any memory, end the process or never end at all. That is why skops does not trust the two types of trees; allowing
them takes this check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError

_BITSET: Final = 8
"""Words of 32 bits in the set of categories that go left at a node."""


def check_trees(model: Any, where: str) -> None:
    """Check every tree of a model.

    Raises:
        ArtifactError: an index of a tree leads out of its arrays, or back.
    """
    for part in parts_of(model):
        if hasattr(part, "tree_"):
            _check_tree(part.tree_, part.n_features_in_, where)
        if hasattr(part, "estimators_") and not hasattr(part, "estimators_features_"):
            for tree in _parts(part.estimators_, set()):
                if hasattr(tree, "tree_"):
                    _demand(tree.tree_.n_features == part.n_features_in_, where)
        if hasattr(part, "_predictors"):
            _check_histogram_model(part, where)


def parts_of(model: Any) -> Iterator[Any]:
    """Give every object that a model consists of, once."""
    yield from _parts(model, set())


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Give every object that a model consists of, once."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        children = list(value.values())
    elif isinstance(value, list | tuple):
        children = list(value)
    elif isinstance(value, np.ndarray):
        children = value.ravel().tolist() if value.dtype == object else []
    else:
        yield value
        children = list(getattr(value, "__dict__", {}).values())
    for child in children:
        yield from _parts(child, seen)


def _demand(holds: Any, where: str) -> None:
    if not holds:
        found = "a tree with an index that leads out of its arrays"
        raise ArtifactError(where, found, "Do not load it. Restore the file, or train the model again.")


def _check_tree(tree: Any, inputs: int, where: str) -> None:
    _demand(0 < tree.node_count == tree.capacity, where)
    _demand(tree.n_features == inputs, where)
    inner = tree.children_left != -1
    _check_children(tree.children_left[inner], tree.children_right[inner], np.flatnonzero(inner), tree.capacity, where)
    _check_within(tree.feature[inner], inputs, where)


def _check_histogram_model(model: Any, where: str) -> None:
    inputs, inside = model.n_features_in_, vars(model)
    encoder = inside["_preprocessor"]
    _demand(encoder is None or encoder.transform(np.zeros((1, inputs))).shape == (1, inputs), where)
    categorical = np.asarray(vars(inside["_bin_mapper"])["is_categorical_"])
    _demand(categorical.shape == (inputs,), where)
    for trees in inside["_predictors"]:
        for tree in trees:
            _check_histogram_tree(tree, categorical, where)


def _check_histogram_tree(tree: Any, categorical: NDArray[Any], where: str) -> None:
    _demand(len(tree.nodes), where)
    inner = tree.nodes["is_leaf"] == 0
    nodes, sets = tree.nodes[inner], tree.raw_left_cat_bitsets
    _check_children(nodes["left"], nodes["right"], np.flatnonzero(inner), len(tree.nodes), where)
    _check_within(nodes["feature_idx"], len(categorical), where)
    splits = nodes[nodes["is_categorical"] != 0]
    _demand(sets.ndim == 2 and sets.shape[1] == _BITSET, where)
    _check_within(splits["bitset_idx"], len(sets), where)
    _demand(categorical[splits["feature_idx"]].all(), where)


def _check_children(left: NDArray[Any], right: NDArray[Any], parents: NDArray[Any], count: int, where: str) -> None:
    """Children come after their parent, so that every way down ends."""
    for children in (left, right):
        _demand((children.astype(np.int64) > parents).all(), where)
        _check_within(children, count, where)


def _check_within(indexes: NDArray[Any], count: int, where: str) -> None:
    _demand(((indexes >= 0) & (indexes < count)).all(), where)
