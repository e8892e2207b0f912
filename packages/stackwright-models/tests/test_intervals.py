"""Intervals hold what they say they hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from stackwright_models import IntervalRegressor, TemporalSplit, tabular
from stackwright_models.errors import InvalidData, InvalidParameter

DAY = timedelta(days=1)


def line(n: int, seed: int, spread: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows on a line with noise, which grows with the second column where ``spread``."""
    random = np.random.default_rng(seed)
    rows = random.uniform(0, 1, (n, 2))
    return rows, 10 + 3 * rows[:, 0] + random.normal(size=n) * (1 + spread * rows[:, 1])


def covered(model: IntervalRegressor, rows: Any, truth: Any) -> np.ndarray:
    low, high = model.predict_interval(rows).T
    return (low <= truth) & (truth <= high)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), level=st.sampled_from([0.5, 0.8, 0.9]), normalise=st.booleans())
def test_exchangeable_rows_are_covered_at_the_level(seed: int, level: float, normalise: bool) -> None:
    rows, truth = line(400, seed)
    fresh, answers = line(2000, seed + 1)
    model = IntervalRegressor(Ridge(), level=level, normalise=normalise).fit(rows, truth)
    # a fit of 400 rows covers level ± four standard errors: sqrt(level (1 - level) / 400) beside that of 2,000 tests
    error = 4 * np.sqrt(level * (1 - level) * (1 / 400 + 1 / 2000))
    assert abs(covered(model, fresh, answers).mean() - level) < error


@settings(max_examples=40)
@given(
    truth=st.lists(st.floats(-100, 100), min_size=20, max_size=60),
    level=st.sampled_from([0.5, 0.8, 0.9]),
)
def test_a_constant_model_gets_the_split_conformal_interval(truth: list[float], level: float) -> None:
    values = np.array(truth)
    model = IntervalRegressor(DummyRegressor(strategy="constant", constant=0.0), level=level, normalise=False)
    low, high = model.fit(np.zeros((values.size, 1)), values).predict_interval([[0.0]])[0]
    centre = np.median(values)
    width = np.sort(np.abs(values - centre))[int(np.ceil((values.size + 1) * level - 1e-9)) - 1]
    assert low == pytest.approx(min(centre - width, 0.0), abs=1e-6)
    assert high == pytest.approx(max(centre + width, 0.0), abs=1e-6)


def test_residuals_are_those_of_models_that_did_not_see_the_row() -> None:
    rows, truth = line(60, 3)
    model = IntervalRegressor(LinearRegression(), cv=KFold(4), normalise=False).fit(rows, truth)
    residual = np.empty(60)
    for train, test in KFold(4).split(rows):
        residual[test] = truth[test] - LinearRegression().fit(rows[train], truth[train]).predict(rows[test])
    centre = np.median(residual)
    assert model.table_.centre == pytest.approx(centre)
    assert model.table_.widths[0] == pytest.approx(np.sort(np.abs(residual - centre))[int(np.ceil(61 * 0.9)) - 1])


def test_a_model_that_learns_by_heart_still_gets_honest_intervals() -> None:
    rows, truth = line(300, 5)
    fresh, answers = line(1000, 6)
    model = IntervalRegressor(tabular(n_estimators=100, min_child_samples=1, n_jobs=1)).fit(rows, truth)
    assert covered(model, fresh, answers).mean() > 0.85


def test_hard_rows_get_wider_intervals_where_columns_tell_them() -> None:
    rows, truth = line(1500, 7, spread=8.0)
    fresh, answers = line(3000, 8, spread=8.0)
    hard = fresh[:, 1] > 0.8
    plain, normalised = (IntervalRegressor(Ridge(), normalise=way).fit(rows, truth) for way in (False, True))
    assert covered(normalised, fresh, answers)[hard].mean() > covered(plain, fresh, answers)[hard].mean() + 0.02
    widths = np.diff(normalised.predict_interval(fresh), axis=1)[:, 0]
    assert widths[hard].mean() > 1.5 * widths[fresh[:, 1] < 0.2].mean()


def test_predictions_lie_in_their_intervals_and_are_the_regressors_own() -> None:
    rows, truth = line(100, 9)
    model = IntervalRegressor(Ridge()).fit(rows, truth)
    np.testing.assert_array_equal(model.predict(rows), Ridge().fit(rows, truth).predict(rows))
    low, high = model.predict_interval(rows).T
    assert ((low <= model.predict(rows)) & (model.predict(rows) <= high)).all()


def test_relative_intervals_are_positive_and_scale_with_the_prediction() -> None:
    rows, truth = line(200, 10)
    model = IntervalRegressor(LinearRegression(), relative=True, normalise=False).fit(rows, np.exp(truth / 4))
    low, high = model.predict_interval(rows).T
    assert (low > 0).all()
    ratio = high / low
    np.testing.assert_allclose(ratio, ratio[0])


def test_relative_intervals_refuse_a_target_that_is_not_positive() -> None:
    rows, truth = line(50, 1)
    with pytest.raises(InvalidData, match="not positive"):
        IntervalRegressor(Ridge(), relative=True).fit(rows, truth - truth.min())
    with pytest.raises(InvalidData, match="not positive"):
        IntervalRegressor(Ridge(), relative=True, recentre=True).fit(rows, truth - truth.min())


def test_too_few_rows_for_the_level_are_refused() -> None:
    rows, truth = line(30, 1)
    with pytest.raises(InvalidData, match="needs 99"):
        IntervalRegressor(Ridge(), level=0.99).fit(rows, truth)


def test_a_temporal_splitter_makes_residuals_of_the_future() -> None:
    rows, truth = line(120, 2)
    time = np.datetime64("2026-01-01") + np.arange(120)
    model = IntervalRegressor(Ridge(), cv=TemporalSplit(3, holdout=0.5), normalise=False).fit(rows, truth, time=time)
    assert model.table_.n == 60
    frame = pd.DataFrame(rows, columns=["a", "b"], index=pd.DatetimeIndex(time))
    indexed = IntervalRegressor(Ridge(), cv=TemporalSplit(3, holdout=0.5), normalise=False).fit(frame, truth)
    np.testing.assert_allclose(indexed.predict_interval(frame), model.predict_interval(rows))


def test_recent_residuals_weigh_more_with_a_half_life_and_recentring_follows_the_level() -> None:
    rows = np.zeros((400, 1))
    time = np.datetime64("2026-01-01") + np.arange(400)
    truth = np.where(np.arange(400) < 350, 0.0, 5.0) + np.random.default_rng(0).normal(size=400) / 10
    still = IntervalRegressor(DummyRegressor(), cv=10, normalise=False)
    following = IntervalRegressor(DummyRegressor(), cv=10, normalise=False, recentre=True, half_life=10 * DAY)
    assert abs(still.fit(rows, truth).predict([[0.0]])[0] - truth.mean()) < 1e-9
    assert abs(following.fit(rows, truth, time=time).predict([[0.0]])[0] - 5.0) < 0.3


def test_a_half_life_needs_times() -> None:
    rows, truth = line(50, 1)
    with pytest.raises(InvalidParameter, match="without time"):
        IntervalRegressor(Ridge(), half_life=DAY).fit(rows, truth)
    with pytest.raises(InvalidParameter, match="half_life is"):
        IntervalRegressor(Ridge(), half_life=-DAY).fit(rows, truth, time=pd.date_range("2026", periods=50))


def test_groups_reach_the_splitter() -> None:
    rows, truth = line(60, 4)
    group = np.arange(60) % 6
    model = IntervalRegressor(Ridge(), cv=GroupKFold(3), normalise=False).fit(rows, truth, groups=group)
    assert model.table_.n == 60


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    rows, truth = line(60, 4)
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    weighted = IntervalRegressor(Ridge()).fit(rows, truth, sample_weight=weight)
    twice = np.repeat(np.arange(60), weight.astype(int))
    np.testing.assert_allclose(weighted.predict(rows), Ridge().fit(rows[twice], truth[twice]).predict(rows))


def test_weights_reach_the_last_step_of_a_pipeline() -> None:
    rows, truth = line(80, 4)
    weight = np.where(truth > np.median(truth), 50.0, 1.0)
    model = IntervalRegressor(tabular(n_estimators=5, n_jobs=1), level=0.5)
    assert (
        model.fit(rows, truth, sample_weight=weight).predict(rows).mean() > model.fit(rows, truth).predict(rows).mean()
    )


def test_metadata_are_routed_as_requested() -> None:
    rows, truth = line(80, 4)
    time = pd.date_range("2026", periods=80)
    weight = np.linspace(1, 2, 80)
    with sklearn.config_context(enable_metadata_routing=True):
        model = IntervalRegressor(Ridge().set_fit_request(sample_weight=True), cv=TemporalSplit(2), half_life=30 * DAY)
        model.fit(rows, truth, time=time, sample_weight=weight)
        model.set_score_request(sample_weight=False)
        scores = cross_val_score(model, rows, truth, cv=3, params={"time": time, "sample_weight": weight})
    plain = IntervalRegressor(Ridge(), cv=TemporalSplit(2), half_life=30 * DAY)
    plain.fit(rows, truth, time=time, sample_weight=weight)
    np.testing.assert_allclose(plain.predict_interval(rows), model.predict_interval(rows))
    assert np.isfinite(scores).all()


def test_columns_with_texts_tell_difficulty_too() -> None:
    random = np.random.default_rng(0)
    homes = pd.DataFrame({"area": random.uniform(50, 150, 600), "kind": random.choice(["flat", "castle", None], 600)})
    truth = homes["area"] + random.normal(size=600) * np.where(homes["kind"] == "castle", 20, 1)
    model = IntervalRegressor(tabular(n_estimators=80, learning_rate=0.1, n_jobs=1)).fit(homes, truth)
    widths = pd.Series(np.diff(model.predict_interval(homes), axis=1)[:, 0])
    assert widths[homes["kind"] == "castle"].median() > 2 * widths[homes["kind"] == "flat"].median()
