"""What is popular: how relevant the rows of equal keys were, whoever was shown them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset

_SHRINK: Final = 10.0
"""Rows of the mean of all that are added to those of a key: what was rarely shown is not popular by accident."""


def popularity(train: Dataset, newer: Dataset) -> NDArray[np.float64] | None:
    """Return the mean relevance that the keys of newer rows had, drawn towards that of all.

    Keys are those that tell rows of one list apart: an item's, not those of the search or of who searched.

    Returns:
        ``None`` where there are no lists, or no such keys that newer rows share with older ones.
    """
    if train.group is None:
        return None
    names = [name for name, column in train.keys.items() if name not in train.columns and not train.is_of_lists(column)]
    if not names:
        return None
    keys, asked = _keys(train, names), _keys(newer, names)
    shown: Counter[Any] = Counter(keys)
    if not any(key in shown for key in asked):
        return None
    taken: Counter[Any] = Counter()
    for key, relevance in zip(keys, train.target.tolist(), strict=True):
        taken[key] += relevance
    mean = float(train.target.mean())
    return np.array([(taken[key] + _SHRINK * mean) / (shown[key] + _SHRINK) for key in asked])


def _keys(rows: Dataset, names: list[str]) -> list[Any]:
    return list(zip(*(rows.keys[name].tolist() for name in names), strict=True))
