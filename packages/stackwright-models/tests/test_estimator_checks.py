"""Every estimator behaves as scikit-learn asks: its own checks, with no failure expected."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from stackwright_models import IntervalRegressor, Ranker, TimeToEvent, tabular
from stackwright_models.encoding import TabularEncoder

QUICK = {"n_estimators": 15, "learning_rate": 0.2, "min_child_samples": 2, "n_jobs": 1}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks(
    [
        TabularEncoder(),
        IntervalRegressor(Ridge()),
        IntervalRegressor(Ridge(), normalise=False, recentre=True),
        IntervalRegressor(tabular(**QUICK), cv=2),
        TimeToEvent(LogisticRegression()),
        TimeToEvent(tabular("classification", **QUICK), periods=5, predicts="median"),
        Ranker(n_estimators=10, min_child_samples=2, n_jobs=1),
    ]
)
def test_it_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (tabular("regression", **QUICK), Ridge()),
        (tabular("classification", **QUICK), LogisticRegression()),
    ],
    ids=["regression", "classification"],
)
def test_the_pipeline_fails_no_check_that_every_pipeline_of_scikit_learn_passes(ours: Pipeline, plain: Any) -> None:
    assert failing(ours) <= failing(make_pipeline(SimpleImputer(), plain))


def failing(estimator: Any) -> set[str]:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(results) > 40
    return {result["check_name"] for result in results if result["status"] == "failed"}
