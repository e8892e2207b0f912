"""Orders within queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from lightgbm import LGBMRanker
from sklearn.model_selection import GroupKFold, cross_val_score

from stackwright_models import Ranker
from stackwright_models.errors import InvalidData
from stackwright_models.metrics import ndcg

QUICK: dict[str, Any] = {"n_estimators": 30, "min_child_samples": 5, "n_jobs": 1}


def results(queries: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows of which quality and kind make the grade, but for noise; each query has a level of its own."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(queries), 12)
    rows = pd.DataFrame({"quality": random.normal(size=group.size), "kind": random.choice(["x", "y"], group.size)})
    rows["level"] = random.normal(size=queries)[group] * 10
    value = rows["quality"] + 2 * (rows["kind"] == "y") + random.normal(size=group.size) / 3
    return rows, np.clip(np.round(value + 1), 0, 4), group


def test_it_puts_results_in_order() -> None:
    rows, grades, group = results(60, 1)
    fresh, truth, held = results(60, 2)
    model = Ranker(**QUICK).fit(rows, grades, group=group)
    assert model.score(fresh, truth, group=held) == ndcg(truth, model.predict(fresh), held, k=10)
    assert model.score(fresh, truth, group=held) > 0.93


def test_it_answers_as_lightgbms_own_estimator() -> None:
    rows, grades, group = results(30, 3)
    numbers = rows[["quality", "level"]].to_numpy()
    ours = Ranker(**QUICK, random_state=7).fit(numbers, grades, group=group)
    theirs = LGBMRanker(**QUICK, random_state=7, deterministic=True, force_col_wise=True, verbosity=-1)
    theirs.fit(numbers, grades, group=np.unique(group, return_counts=True)[1])
    np.testing.assert_allclose(ours.predict(numbers), theirs.predict(numbers))


def test_rows_of_a_query_may_lie_anywhere() -> None:
    rows, grades, group = results(30, 4)
    mixed = np.random.default_rng(0).permutation(len(rows))
    labels = np.array([f"query {number:02}" for number in group])
    together = Ranker(**QUICK).fit(rows, grades, group=group)
    apart = Ranker(**QUICK).fit(rows.iloc[mixed], grades[mixed], group=labels[mixed])
    assert apart.score(rows, grades, group=labels) == pytest.approx(together.score(rows, grades, group=group), abs=0.02)


def test_positions_take_the_place_out_of_what_clicks_say() -> None:
    random = np.random.default_rng(5)
    group = np.repeat(np.arange(400), 8)
    shown = np.tile(np.arange(8), 400)
    quality = random.normal(size=group.size)
    cheap = (shown < 2).astype(float)  # a column that only tells the place
    clicks = (random.uniform(size=group.size) < 0.9 * 0.6**shown / (1 + np.exp(-2 * quality))).astype(float)
    rows = np.column_stack([quality, cheap])
    naive = Ranker(**QUICK).fit(rows, clicks, group=group)
    aware = Ranker(**QUICK).fit(rows, clicks, group=group, position=shown)
    truth = np.clip(np.round(quality + 2), 0, 4)
    assert aware.score(rows, truth, group=group) > naive.score(rows, truth, group=group)


@pytest.mark.filterwarnings("error")
def test_rows_whose_place_is_not_known_share_one() -> None:
    rows, grades, group = results(30, 7)
    shown = np.tile(np.arange(12), 30)
    zero, missing = (
        Ranker(**QUICK).fit(rows, grades, group=group, position=np.where(shown < 3, unknown, shown))
        for unknown in (0.0, np.nan)
    )
    assert missing.predict(rows).tolist() == zero.predict(rows).tolist()


@pytest.mark.parametrize("grades", [[0.5, 1.0], [-1.0, 1.0], [31.0, 0.0]])
def test_relevance_that_is_no_grade_is_refused(grades: list[float]) -> None:
    with pytest.raises(InvalidData, match="no grade"):
        Ranker().fit([[1.0], [2.0]], grades)


def test_a_query_that_is_too_long_for_lightgbm_is_refused() -> None:
    with pytest.raises(InvalidData, match="10,001 rows"):
        Ranker().fit(np.zeros((10_001, 1)), np.zeros(10_001))


def test_groups_are_routed_to_fit_and_score() -> None:
    rows, grades, group = results(20, 6)
    with sklearn.config_context(enable_metadata_routing=True):
        metadata = {"group": group, "groups": group, "position": np.tile(np.arange(12), 20)}
        scores = cross_val_score(Ranker(**QUICK), rows, grades, cv=GroupKFold(4), params=metadata)
    assert (scores > 0.8).all()
