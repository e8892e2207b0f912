"""What each input adds to the answer of a linear model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import SupportsContributions
from stackwright_interfaces.testing.trainer_rows import Homes
from stackwright_interfaces.trainer import FittedModel, TaskKind

Fit = Callable[..., FittedModel]

LINKS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda raw: raw,
    "exp": np.exp,
    "logistic": lambda raw: 1 / (1 + np.exp(-raw)),
}


@pytest.mark.parametrize(
    ("kind", "estimator", "link"),
    [
        (TaskKind.REGRESSION, "sklearn.linear_model.LinearRegression", "identity"),
        (TaskKind.REGRESSION, "sklearn.linear_model.Ridge", "identity"),
        (TaskKind.REGRESSION, "sklearn.linear_model.HuberRegressor", "identity"),
        (TaskKind.REGRESSION, "sklearn.linear_model.PoissonRegressor", "exp"),
        (TaskKind.CLASSIFICATION, "sklearn.linear_model.LogisticRegression", "logistic"),
    ],
)
def test_contributions_and_base_add_up_to_what_the_prediction_follows_from(
    fit: Fit, kind: TaskKind, estimator: str, link: str
) -> None:
    predictor = fit({"estimator": estimator}, kind=kind).predictor()
    assert isinstance(predictor, SupportsContributions)
    matrix = Homes.make(60, seed=2, unknown=True).inputs("matrix")
    assert np.isnan(matrix).any(), "missing values have columns of their own"
    found = predictor.contributions(matrix)
    assert found.values.shape == matrix.shape
    assert found.link == link
    raw = found.base + found.values.sum(axis=1)
    assert np.allclose(LINKS[link](raw), predictor.predict(matrix), rtol=1e-9)
    assert predictor.contributions(matrix[:0]).values.shape == (0, matrix.shape[1])


def test_an_input_adds_by_its_own_columns_alone(fit: Fit) -> None:
    predictor = fit({"estimator": "sklearn.linear_model.Ridge"}).predictor()
    assert isinstance(predictor, SupportsContributions)
    matrix = Homes.make(30, seed=2).inputs("matrix")
    before = predictor.contributions(matrix).values
    for place in range(matrix.shape[1]):
        changed = matrix.copy()
        changed[:, place] = np.nan
        after = predictor.contributions(changed).values
        others = [other for other in range(matrix.shape[1]) if other != place]
        assert np.array_equal(after[:, others], before[:, others])


@pytest.mark.parametrize(
    "estimator", ["sklearn.ensemble.HistGradientBoostingRegressor", "sklearn.neural_network.MLPRegressor"]
)
def test_a_model_that_is_not_linear_explains_nothing(fit: Fit, estimator: str) -> None:
    assert not isinstance(fit({"estimator": estimator}).predictor(), SupportsContributions)


def test_it_refuses_what_predicting_refuses(fit: Fit) -> None:
    predictor = fit({"estimator": "sklearn.linear_model.Ridge"}).predictor()
    assert isinstance(predictor, SupportsContributions)
    with pytest.raises(PredictionError, match="n × 4"):
        predictor.contributions(np.zeros((1, 3)))
    with pytest.raises(PredictionError, match="is infinite"):
        predictor.contributions(np.full((1, 4), np.inf))
    predictor.close()
    with pytest.raises(PredictionError, match="closed"):
        predictor.contributions(np.zeros((1, 4)))
