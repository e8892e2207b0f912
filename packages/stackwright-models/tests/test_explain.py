"""Contributions that add up to the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import stackwright_models as sm
from stackwright_interfaces.errors import StackwrightError

QUICK = {"n_estimators": 20, "min_child_samples": 5, "n_jobs": 1}


def prepared(model: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    parts = [("k", OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("n", numbers, ["area", "rooms"])]
    return make_pipeline(ColumnTransformer(parts), model)


def log_odds(model: Any, rows: Any) -> Any:
    chance = model.predict_proba(rows)[:, 1]
    return np.log(chance / (1 - chance))


CASES = {
    "lightgbm": (sm.tabular(**QUICK), "lightgbm", "prediction"),
    "lightgbm of a logarithm": (
        TransformedTargetRegressor(sm.tabular(**QUICK), func=np.log, inverse_func=np.exp),
        *("lightgbm", "log of the target"),
    ),
    "poisson": (sm.tabular(**QUICK, objective="poisson"), "lightgbm", "log of the prediction"),
    "intervals": (sm.IntervalRegressor(sm.tabular(**QUICK), cv=2), "lightgbm", "prediction"),
    "linear": (prepared(Ridge()), "linear", "prediction"),
    "forest": (prepared(RandomForestRegressor(5, random_state=0)), "permutation", "prediction"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_contributions_and_base_add_up_to_the_prediction(homes: Any, name: str) -> None:
    estimator, method, scale = CASES[name]
    model = estimator.fit(homes.X, homes.y)
    rows = homes.X.iloc[:25]
    found = sm.explain(model, rows)
    assert (found.method, found.scale) == (method, scale)
    said = model.predict(rows)
    said = np.log(said) if "log" in scale else said
    assert found.prediction == pytest.approx(said, rel=1e-9)
    assert found.base + found.values.sum(axis=1).to_numpy() == pytest.approx(said, rel=1e-9)
    assert list(found.values.columns) == ["area", "kind", "rooms"]
    assert (found.importance > 0).all()


@pytest.mark.parametrize(
    ("model", "method"),
    [(sm.tabular("classification", **QUICK), "lightgbm"), (prepared(LogisticRegression()), "linear")],
)
def test_a_classifier_is_explained_in_log_odds(homes: Any, model: Any, method: str) -> None:
    model.fit(homes.X, homes.y > np.median(homes.y))
    rows = homes.X.iloc[:25]
    for found in (sm.explain(model, rows), sm.explain(model, rows, method="permutation", permutations=2)):
        assert found.scale == "log-odds"
        assert found.prediction == pytest.approx(log_odds(model, rows), rel=1e-6, abs=1e-9)
    assert sm.explain(model, rows).method == method


def test_a_ranker_is_explained_by_its_trees(homes: Any) -> None:
    ranker = sm.Ranker(n_estimators=10, n_jobs=1).fit(homes.X, homes.X["rooms"] // 3, group=np.arange(400) // 20)
    found = sm.explain(ranker, homes.X.iloc[:25])
    assert found.method == "lightgbm"
    assert found.prediction == pytest.approx(ranker.predict(homes.X.iloc[:25]))


@settings(max_examples=15)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 99))
def test_orders_of_a_linear_model_give_its_coefficients(weights: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(12, 3))
    model = LinearRegression().fit(random.normal(size=(30, 3)), random.normal(size=30))
    model.coef_, model.intercept_ = np.array(weights), 1.0
    background = np.zeros((1, 3))
    exact = sm.explain(model, rows, background=background)
    sampled = sm.explain(model, rows, background=background, method="permutation", permutations=1)
    assert exact.method == "linear"
    assert sampled.values.to_numpy() == pytest.approx(exact.values.to_numpy(), abs=1e-9)
    assert exact.values.to_numpy() == pytest.approx(rows * np.array(weights), abs=1e-9)
    assert exact.base == pytest.approx(np.ones(12))


def test_an_input_that_the_model_passes_over_contributes_nothing(homes: Any) -> None:
    model = KNeighborsRegressor().fit(homes.X[["rooms"]], homes.y)

    class Narrow(RegressorMixin, BaseEstimator):
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, X: Any, y: Any) -> None: ...  # noqa: N803 (scikit-learn's name)

        def predict(self, X: Any) -> Any:  # noqa: N803
            return model.predict(X[["rooms"]])

    found = sm.explain(Narrow(), homes.X.iloc[:10])
    assert (found.values[["area", "kind"]] == 0).all(axis=None)
    assert found.values["rooms"].abs().sum() > 0


def test_arrays_are_explained_as_they_are_given() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(50, 2))
    found = sm.explain(KNeighborsRegressor().fit(rows, rows[:, 0]), rows[:5])
    assert list(found.values.columns) == ["x0", "x1"]
    assert found.importance.index[0] == "x0"


def test_the_html_shows_what_matters_and_one_row(homes: Any) -> None:
    found = sm.explain(sm.tabular(**QUICK).fit(homes.X, homes.y), homes.X.iloc[:5])
    page = found._repr_html_()
    assert "What matters" in page
    assert "kind = None" in page
    assert page.count("<svg") == 2
    assert list(found.row(1).columns) == ["value", "contribution"]
    assert "area" in str(found)


def test_what_cannot_be_explained_is_told(homes: Any) -> None:
    with pytest.raises(NotFittedError):
        sm.explain(sm.tabular(), homes.X)
    three = LogisticRegression().fit(homes.X[["rooms"]], np.arange(400) % 3)
    with pytest.raises(StackwrightError, match="3 classes"):
        sm.explain(three, homes.X[["rooms"]])
