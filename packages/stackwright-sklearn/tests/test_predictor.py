"""Prediction: each row by itself, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from threadpoolctl import threadpool_info

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.testing.trainer_rows import Homes
from stackwright_interfaces.trainer import FittedModel, TaskKind
from stackwright_sklearn.payload import Payload
from stackwright_sklearn.predictor import SklearnPredictor

Fit = Callable[..., FittedModel]

RIDGE = {"estimator": "sklearn.linear_model.Ridge"}
STRANGE = Homes.make(70, seed=3, missing=0.3, unknown=True).inputs("matrix")

MULTIPLYING: list[dict[str, Any]] = [
    RIDGE,
    {"estimator": "sklearn.svm.SVR"},
    {"estimator": "sklearn.neural_network.MLPRegressor", "hidden_layer_sizes": [50, 20], "max_iter": 5},
    {"estimator": "sklearn.neighbors.KNeighborsRegressor", "algorithm": "brute", "weights": "distance"},
    {"estimator": "sklearn.kernel_ridge.KernelRidge"},
]


class Odd(RegressorMixin, BaseEstimator):
    """Predicts by the place of a row among the others, and remembers what it saw."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def predict(self, rows: Any) -> Any:
        self.sizes.append(len(rows))
        self.threads |= {pool["num_threads"] for pool in threadpool_info()}
        return rows[:, 0] + np.arange(len(rows))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("params", MULTIPLYING, ids=lambda params: params["estimator"])
def test_a_row_is_predicted_alike_in_any_batch(fit: Fit, params: dict[str, Any]) -> None:
    predictor = fit(params).predictor()
    whole = predictor.predict(STRANGE)
    random = np.random.default_rng(0)
    for size in (1, 31, 32, 33, 50):
        order = random.permutation(len(STRANGE))
        parts = [predictor.predict(STRANGE[order[at : at + size]]) for at in range(0, len(order), size)]
        assert np.array_equal(np.concatenate(parts), whole[order]), size


def test_a_classifier_predicts_a_row_alike_in_any_batch(fit: Fit) -> None:
    predictor = fit({"estimator": "sklearn.linear_model.LogisticRegression"}, kind=TaskKind.CLASSIFICATION).predictor()
    alone = [predictor.predict(STRANGE[row : row + 1])[0] for row in range(len(STRANGE))]
    assert np.array_equal(alone, predictor.predict(STRANGE))


@pytest.fixture
def ridge(fit: Fit, tmp_path: Path) -> tuple[Predictor, Any]:
    """Our predictor, and the pipeline that skops makes of the same payload."""
    import skops.io

    fitted = fit(RIDGE)
    fitted.save(tmp_path)
    return fitted.predictor(), skops.io.load(tmp_path / "model.skops", trusted=["numpy.dtype"])["model"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(STRANGE) - 1), min_size=1, max_size=80))
def test_any_choice_of_rows_gets_what_scikit_learn_says(ridge: tuple[Predictor, Any], chosen: list[int]) -> None:
    predictor, pipeline = ridge
    np.testing.assert_allclose(predictor.predict(STRANGE[chosen]), pipeline.predict(STRANGE[chosen]), rtol=1e-12)


def test_where_the_place_of_a_row_matters_rows_are_predicted_one_by_one() -> None:
    odd = Odd()
    predictor = SklearnPredictor(Payload(("a",), odd))
    odd.sizes.clear()
    assert predictor.predict(np.array([[5.0], [7.0], [9.0]])).tolist() == [5.0, 7.0, 9.0]
    assert odd.sizes == [1, 1, 1]


def test_prediction_uses_one_thread() -> None:
    odd = Odd()
    SklearnPredictor(Payload(("a",), odd)).predict(np.zeros((4, 1)))
    assert odd.threads == {1}


@pytest.mark.parametrize("params", [{}, RIDGE])
@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (4,), (2, 2, 4)])
def test_an_input_of_another_shape_is_refused(fit: Fit, params: dict[str, Any], shape: tuple[int, ...]) -> None:
    with pytest.raises(PredictionError, match="n × 4"):
        fit(params).predictor().predict(np.zeros(shape))


def test_an_infinite_input_is_named_where_the_model_does_not_take_it(fit: Fit) -> None:
    rows = Homes.make(3, missing=0.0).inputs("matrix")
    rows[1, 0] = np.inf
    assert np.isfinite(fit().predictor().predict(rows)).all()
    with pytest.raises(PredictionError, match="row 1: area is infinite"):
        fit(RIDGE).predictor().predict(rows)


@pytest.mark.parametrize("params", [{}, RIDGE])
def test_a_closed_predictor_refuses_to_predict(fit: Fit, params: dict[str, Any]) -> None:
    fitted = fit(params)
    predictor = fitted.predictor()
    predictor.close()
    with pytest.raises(PredictionError, match="closed"):
        predictor.predict(np.zeros((1, 4)))
    assert np.isfinite(fitted.predictor().predict(np.zeros((1, 4)))).all()
