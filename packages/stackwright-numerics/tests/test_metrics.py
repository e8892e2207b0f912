"""Metrics: definitions by hand, oracles, and what happens where data are insufficient."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, UsageError
from stackwright_numerics import metrics

TRUTH = np.array([100.0, 200.0, 400.0, 500.0])
ANSWER = np.array([110.0, 190.0, 400.0, 350.0])


def test_relative_errors_are_signed_shares_of_the_truth():
    assert metrics.relative_error(TRUTH, ANSWER).tolist() == pytest.approx([0.1, -0.05, 0.0, -0.3])


def test_the_means_and_medians_follow_their_formulas():
    assert metrics.mape(TRUTH, ANSWER) == pytest.approx((0.1 + 0.05 + 0 + 0.3) / 4)
    assert metrics.mdape(TRUTH, ANSWER) == pytest.approx((0.05 + 0.1) / 2)
    assert metrics.signed_median_error(TRUTH, ANSWER) == pytest.approx((-0.05 + 0) / 2)
    assert metrics.rmse(TRUTH, ANSWER) == pytest.approx(np.sqrt((100 + 100 + 0 + 22500) / 4))
    assert metrics.mae(TRUTH, ANSWER) == pytest.approx((10 + 10 + 0 + 150) / 4)


def test_ppe_counts_the_edge_as_within():
    assert metrics.ppe(5, TRUTH, ANSWER) == 0.5
    assert metrics.ppe(10, [100.0], [90.0]) == 1.0


def test_the_sign_of_an_error_is_that_of_the_prediction_for_negative_truths_too():
    assert metrics.relative_error([-100.0], [-90.0]).tolist() == pytest.approx([0.1])


def test_a_truth_of_zero_spoils_the_mean_but_not_the_medians():
    found = metrics.score("regression", [0.0, 100.0, 100.0], [5.0, 110.0, 80.0])
    assert "mape" not in found
    assert found["mdape"] == pytest.approx(0.2)
    assert found["ppe10"] == pytest.approx(1 / 3)


def test_interval_coverage_includes_both_ends_and_width_is_relative_to_the_prediction():
    lower, upper = [100.0, 150.0, 401.0, 300.0], [120.0, 200.0, 500.0, 400.0]
    assert metrics.interval_coverage(TRUTH, lower, upper) == 0.5
    assert metrics.median_relative_width([100.0, 100.0], [90.0, 70.0], [110.0, 110.0]) == pytest.approx(0.3)


def test_hit_rate_is_the_share_of_rows_that_got_an_answer():
    found = metrics.score("regression", [1.0, 2.0, 3.0, np.nan], [1.0, np.nan, 3.0, 4.0])
    assert found["hit_rate"] == pytest.approx(2 / 3)
    assert found["n"] == 2
    assert found["rmse"] == 0.0


def test_auc_counts_a_tie_as_half():
    assert metrics.auc([0, 1, 0, 1], [0.1, 0.9, 0.5, 0.5]) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert metrics.auc([0, 1], [0.3, 0.3]) == 0.5


def test_log_loss_of_a_certain_miss_is_large_but_finite():
    assert metrics.log_loss([1], [0.0]) == pytest.approx(-np.log(1e-15))
    assert metrics.log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


def test_calibration_error_weighs_the_gap_of_each_bin_by_its_rows():
    truth, answer = [1, 1, 0, 0], [0.95, 0.85, 0.15, 0.25]
    gaps = [abs(1 - 0.95), abs(1 - 0.85), 0.15, 0.25]
    assert metrics.ece(truth, answer) == pytest.approx(sum(gaps) / 4)
    assert metrics.ece([1, 0], [1.0, 0.0]) == 0.0


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_no_rows_give_no_metric_but_the_count(task):
    assert metrics.score(task, [], []) == {"n": 0}


def test_auc_is_left_out_where_one_class_is_missing():
    found = metrics.score("classification", [1, 1, 1], [0.2, 0.3, 0.9])
    assert "auc" not in found
    assert "log_loss" in found


def test_a_score_is_json_whatever_the_data():
    found = metrics.score("regression", [0.0, np.inf, 1.0], [1.0, 1.0, np.nan], [0.0, np.nan, 0.0], [2.0, 1.0, 1.0])
    json.dumps(found, allow_nan=False)


def test_rows_without_an_interval_do_not_count_for_coverage():
    found = metrics.score("regression", [1.0, 2.0], [1.0, 2.0], [0.5, np.nan], [1.5, np.nan])
    assert found["interval_coverage"] == 1.0


def test_an_unknown_task_and_unequal_lengths_are_refused():
    with pytest.raises(UsageError, match="no metrics for it"):
        metrics.score("poetry", [1.0], [1.0])
    with pytest.raises(DataError, match="prediction has 2 rows"):
        metrics.score("regression", [1.0], [1.0, 2.0])


rows = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n),
        st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), min_size=n, max_size=n),
        st.lists(st.integers(1, 4), min_size=n, max_size=n),
    )
)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_a_weight_counts_a_row_as_so_many_rows(data):
    truth, answer, weight = (np.array(column, dtype=float) for column in data)
    times = weight.astype(int)
    for task in ("regression", "classification"):
        weighted = metrics.score(task, truth + 1, answer, answer - 1, answer + 1, weight)
        repeated = metrics.score(task, *(np.repeat(c, times) for c in (truth + 1, answer, answer - 1, answer + 1)))
        assert {**weighted, "n": 0} == pytest.approx({**repeated, "n": 0})


@given(rows)
@settings(max_examples=60, deadline=None)
def test_auc_is_the_chance_that_a_positive_row_outranks_a_negative_one(data):
    truth, answer, weight = (np.array(column, dtype=float) for column in data)
    up, down = truth == 1, truth == 0
    if not up.any() or not down.any():
        assert np.isnan(metrics.auc(truth, answer, weight))
        return
    wins = np.sign(answer[up][:, None] - answer[down][None, :]) / 2 + 0.5
    pairs = weight[up][:, None] * weight[down][None, :]
    assert metrics.auc(truth, answer, weight) == pytest.approx((wins * pairs).sum() / pairs.sum())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_median_of_equal_weights_is_the_median(values):
    assert metrics.weighted_quantile(values, 0.5, np.ones(len(values))) == pytest.approx(np.median(values))


def test_the_bootstrap_interval_holds_the_mean_and_narrows_with_rows():
    values = np.random.default_rng(1).normal(10, 2, 4000)

    def width(n):
        low, high = metrics.bootstrap(lambda index: values[:n][index].mean(), n)
        assert low < values[:n].mean() < high
        return high - low

    assert width(4000) < width(100) / 3


def test_a_paired_bootstrap_sees_a_small_gain_that_separate_ones_could_not():
    random = np.random.default_rng(2)
    noise = random.normal(0, 10, 500)
    worse, better = np.abs(noise) + 0.5, np.abs(noise)
    low, _ = metrics.bootstrap(lambda index: (worse[index] - better[index]).mean(), 500)
    assert low == pytest.approx(0.5)


def test_a_bootstrap_of_no_rows_is_nan():
    assert np.isnan(metrics.bootstrap(lambda index: 0.0, 0)).all()
