"""Machine code that passes over the rows with some trees at a time: sums are those of one tree after the other."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from stackwright_lightgbm.compiler import compiled
from stackwright_lightgbm.machine_code import MachineCode
from stackwright_lightgbm.native import NativeBooster

ROWS = np.random.default_rng(3).normal(size=(1000, 6))
ROWS[::7, 2] = np.nan
PRICES = np.exp(ROWS[:, 0] + 0.3 * np.nan_to_num(ROWS[:, 2]) * ROWS[:, 1])


def grown(trees: int, **options: Any) -> bytes:
    rows = lightgbm.Dataset(ROWS, PRICES)
    booster = lightgbm.train({"verbosity": -1, "num_leaves": 5, **options}, rows, trees)
    assert booster.num_trees() == trees
    text: str = booster.model_to_string()
    return text.encode()


@pytest.mark.parametrize("trees", [1, 15, 16, 17, 32, 50])
def test_trees_are_added_one_after_the_other(trees: int) -> None:
    text = grown(trees)
    assert np.array_equal(MachineCode(compiled(text)).predict(ROWS), NativeBooster(text).predict(ROWS))


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "gamma"},
        {"objective": "quantile"},
        {"reg_sqrt": True},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting": "dart"},
    ],
    ids=str,
)
def test_what_is_made_of_the_sum_is_made_of_the_sum_of_all(options: dict[str, Any]) -> None:
    text = grown(40, **options)
    assert np.array_equal(MachineCode(compiled(text)).predict(ROWS), NativeBooster(text).predict(ROWS))
