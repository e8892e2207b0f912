"""Fitted estimators survive copying, pickle and skops, and nothing else is built."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_models import IntervalRegressor, Ranker, TemporalSplit, TimeToEvent, tabular
from stackwright_models.storing import ALLOWED, dumps, loads

pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set'")

QUICK: dict[str, Any] = {"n_estimators": 5, "min_child_samples": 2, "n_jobs": 1}
RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"area": RANDOM.normal(size=80), "zip": RANDOM.choice(["x", "y", None], 80)})
TARGET = 2 * ROWS["area"].to_numpy() + (ROWS["zip"] == "x")
TIME = pd.date_range("2026", periods=80)
OUTCOME = np.array(list(zip(TARGET < 1, np.exp(TARGET), strict=True)), dtype=[("event", bool), ("duration", float)])

FITS: dict[str, Callable[[], Any]] = {
    "regression": lambda: tabular(**QUICK).fit(ROWS, TARGET),
    "classification": lambda: tabular("classification", **QUICK).fit(ROWS, TARGET > 0),
    "classes": lambda: tabular("classification", **QUICK).fit(ROWS, np.digitize(TARGET, [-1, 1])),
    "intervals": lambda: IntervalRegressor(
        tabular(**QUICK), cv=TemporalSplit(2, horizon=timedelta(days=1)), half_life=timedelta(days=30)
    ).fit(ROWS, TARGET, time=TIME),
    "logarithms": lambda: IntervalRegressor(
        TransformedTargetRegressor(tabular(**QUICK), func=np.log, inverse_func=np.exp), relative=True
    ).fit(ROWS, np.exp(TARGET)),
    "early stopping": lambda: IntervalRegressor(LGBMRegressor(**QUICK, verbosity=-1)).fit(
        ROWS[["area"]], TARGET, eval_set=[(ROWS[["area"]], TARGET)]
    ),
    "plain classifier": lambda: TimeToEvent(LGBMClassifier(**QUICK, verbosity=-1)).fit(ROWS[["area"]], OUTCOME),
    "plain intervals": lambda: IntervalRegressor(Ridge(), normalise=False).fit(ROWS[["area"]], TARGET),
    "time to event": lambda: TimeToEvent(tabular("classification", **QUICK)).fit(ROWS, OUTCOME),
    "ranker": lambda: Ranker(n_estimators=5, n_jobs=1).fit(ROWS, TARGET > 0, group=np.arange(80) // 10),
}


def rows_for(model: Any) -> pd.DataFrame:
    return ROWS[list(model.feature_names_in_)]


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_a_fitted_estimator_answers_alike_after_a_round_trip(name: str, way: str) -> None:
    model = FITS[name]()
    back = pickle.loads(pickle.dumps(model)) if way == "pickle" else loads(dumps(model))
    np.testing.assert_array_equal(back.predict(rows_for(model)), model.predict(rows_for(model)))
    if isinstance(model, IntervalRegressor):
        rows = rows_for(model)
        np.testing.assert_array_equal(back.predict_interval(rows), model.predict_interval(rows))


@pytest.mark.parametrize("name", FITS)
def test_a_clone_is_unfitted_and_has_the_same_parameters(name: str) -> None:
    model = FITS[name]()
    copy = clone(model)
    assert not any(attribute.endswith("_") and not attribute.startswith("_") for attribute in vars(copy))
    assert repr(copy) == repr(clone(copy))


@pytest.mark.parametrize("name", FITS)
def test_names_of_columns_are_kept_and_demanded(name: str) -> None:
    model = FITS[name]()
    rows = rows_for(model)
    assert list(model.feature_names_in_) == list(rows.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(rows.rename(columns={"area": "size"}))


def test_the_list_holds_no_type_that_nothing_needs() -> None:
    content = [skops.io.dumps(fit()) for fit in FITS.values()]
    needed = {name for dump in content for name in skops.io.get_untrusted_types(data=dump)}
    assert needed == set(ALLOWED)


def test_a_model_with_a_type_that_is_not_on_the_list_is_not_stored() -> None:
    model = make_pipeline(FunctionTransformer(np.log1p, kw_args={"casting": Fraction(1, 2)}), Ridge())
    with pytest.raises(TrainingError, match=r"fractions\.Fraction"):
        dumps(model)


def test_bytes_that_need_a_type_that_is_not_on_the_list_are_refused_before_anything_is_built() -> None:
    with pytest.raises(ArtifactError, match=r"fractions\.Fraction"):
        loads(skops.io.dumps({"model": Fraction(1, 2)}))


@pytest.mark.parametrize("content", [b"", b"no archive", dumps(Ridge())[:200]], ids=["empty", "text", "cut off"])
def test_damaged_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        loads(content)
