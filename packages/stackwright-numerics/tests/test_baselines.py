"""Baselines: what the dummy says, and that the linear model is ridge regression."""

import numpy as np
import pytest

from stackwright_interfaces.errors import TrainingError
from stackwright_numerics import metrics
from stackwright_numerics.baselines import Dummy, Linear

RANDOM = np.random.default_rng(0)
NAN = float("nan")


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_a_dummy_answers_the_median_and_for_classes_the_share():
    target = np.array([1.0, 2.0, 30.0])
    assert Dummy().fit(np.ones((3, 1)), target).predict(np.ones((2, 1))).tolist() == [2.0, 2.0]
    shares = Dummy("classification").fit(np.ones((4, 1)), np.array([0.0, 0, 0, 1])).predict(np.ones((1, 1)))
    assert shares.tolist() == [0.25]


def test_a_dummy_answers_the_median_of_a_group_that_is_large_enough():
    codes = column(0, 0, 0, 1, 1, 1, 2)
    target = np.array([1.0, 2, 3, 11, 12, 13, 99])
    answer = Dummy(group=0, minimum=2).fit(codes, target).predict(column(0, 1, 2, 3, NAN))
    assert answer.tolist() == [2.0, 12.0, 11.0, 11.0, 11.0]


def test_weights_move_the_median_of_a_dummy():
    target = np.array([1.0, 5.0, 9.0])
    assert Dummy().fit(np.ones((3, 1)), target, np.array([1.0, 1, 10])).predict(np.ones((1, 1))).tolist() == [9.0]


def test_the_linear_model_is_ridge_regression_on_standardised_inputs():
    matrix = RANDOM.normal(3, 2, (200, 3))
    target = matrix @ [1.0, -2.0, 0.5] + 7 + RANDOM.normal(0, 0.1, 200)
    scaled = (matrix - matrix.mean(0)) / matrix.std(0)
    solved = np.linalg.solve(scaled.T @ scaled + 10 * np.eye(3), scaled.T @ (target - target.mean()))
    answer = Linear(alpha=10.0).fit(matrix, target).predict(matrix)
    assert answer == pytest.approx(target.mean() + scaled @ solved, rel=1e-6)


def test_the_linear_model_learns_categories_and_ignores_unknown_codes():
    codes = column(*([0] * 50 + [1] * 50))
    target = np.r_[np.full(50, 10.0), np.full(50, 20.0)]
    answer = Linear(categorical=[0], alpha=1e-6).fit(codes, target).predict(column(0, 1, 2, NAN))
    assert answer[:2] == pytest.approx([10, 20], abs=1e-3)
    assert answer[2] == answer[3]


def test_a_missing_number_takes_the_median_and_sets_a_flag():
    matrix = column(*range(100), *[NAN] * 20)
    target = np.r_[np.arange(100.0), np.full(20, 500.0)]
    answer = Linear(alpha=1e-6).fit(matrix, target).predict(column(40, NAN))
    assert answer == pytest.approx([40, 500], rel=1e-3)


def test_a_column_without_any_value_is_passed_over():
    matrix = np.column_stack([np.arange(50.0), np.full(50, NAN)])
    answer = Linear(alpha=1e-9).fit(matrix, np.arange(50.0)).predict(matrix)
    assert answer == pytest.approx(np.arange(50.0), abs=1e-4)


def test_collinear_and_constant_columns_do_not_hurt():
    base = RANDOM.normal(size=100)
    matrix = np.column_stack([base, base, np.ones(100)])
    assert Linear(alpha=1e-3).fit(matrix, base).predict(matrix) == pytest.approx(base, abs=1e-3)


def test_a_weight_counts_a_row_as_so_many_rows():
    matrix, times = RANDOM.normal(size=(60, 2)), RANDOM.integers(1, 4, 60)
    target = matrix[:, 0] + RANDOM.normal(size=60)
    matrix -= np.average(matrix, axis=0, weights=times)
    probe = np.zeros((1, 2))
    weighted = Linear(alpha=1e-9).fit(matrix, target, times.astype(float)).predict(probe)
    repeated = Linear(alpha=1e-9).fit(np.repeat(matrix, times, 0), np.repeat(target, times)).predict(probe)
    assert weighted == pytest.approx(repeated, rel=1e-5)


def test_the_logistic_model_finds_the_probabilities():
    matrix = RANDOM.normal(size=(20_000, 2))
    chance = 1 / (1 + np.exp(-(0.5 + matrix @ [1.0, -2.0])))
    target = (RANDOM.random(20_000) < chance).astype(float)
    answer = Linear("classification").fit(matrix, target).predict(matrix)
    assert np.abs(answer - chance).mean() < 0.01
    assert metrics.ece(target, answer) < 0.02


@pytest.mark.parametrize("target", [np.ones(50), np.r_[np.zeros(25), np.ones(25)]])
def test_the_logistic_model_bears_one_class_and_perfect_separation(target):
    answer = Linear("classification").fit(column(*range(50)), target).predict(column(0, 49))
    assert np.isfinite(answer).all()
    assert answer[1] > 0.9


@pytest.mark.parametrize("model", [Dummy(), Linear()])
def test_no_rows_are_refused(model):
    with pytest.raises(TrainingError, match="no rows"):
        model.fit(np.empty((0, 2)), np.empty(0))


def test_predicting_no_rows_gives_none():
    assert Linear().fit(np.ones((3, 2)), np.arange(3.0)).predict(np.empty((0, 2))).size == 0
