"""Estimators that were made in Python: fitted as they are on named columns, kept and loaded like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.model import Manifest, Predictor
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_sklearn.plugin import SklearnConfig
from stackwright_sklearn.trainer import SklearnTrainer

Load = Callable[..., Predictor]
Fit = Callable[..., FittedModel]

NUMBERS = [field.name for field in SIGNATURE.inputs if field.name not in SIGNATURE.categories]
TEXTS = list(SIGNATURE.categories)


class Mean(RegressorMixin, BaseEstimator):
    """An estimator of the user's own, which no model folder may hold."""

    def fit(self, X: Any, y: Any) -> Mean:  # noqa: N803 (scikit-learn's name)
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.full(len(X), self.mean_)


def encoded(model: Any) -> Any:
    """Return a pipeline that chooses its columns by name."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    numbers = SimpleImputer(keep_empty_features=True)
    return make_pipeline(ColumnTransformer([("texts", codes, TEXTS), ("numbers", numbers, NUMBERS)]), model)


def scaled(model: Any) -> Any:
    """Return a pipeline that multiplies matrices."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(ColumnTransformer([("texts", one_hot, TEXTS), ("numbers", numbers, NUMBERS)]), model)


ESTIMATORS = {
    "trees": encoded(RandomForestRegressor(4)),
    "linear": scaled(Ridge()),
    "transformed target": TransformedTargetRegressor(scaled(Ridge()), func=np.log, inverse_func=np.exp),
}


@pytest.fixture
def fit_ready(tmp_path: Path, homes: Homes) -> Fit:
    def run(estimator: Any, kind: TaskKind = TaskKind.REGRESSION, rows: TrainingData | None = None) -> FittedModel:
        trainer = SklearnTrainer(SklearnConfig(), make_context(tmp_path)).of(estimator)
        task = Task(kind=kind, signature=SIGNATURE)
        return trainer.fit(task, rows or homes.data(kind, "columns"), None, {}, seed=3, threads=1)

    return run


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_is_loaded_answers_as_what_was_fitted(
    fit_ready: Fit, load: Load, tmp_path: Path, homes: Homes, name: str
) -> None:
    rows = homes.data(TaskKind.REGRESSION, "columns").inputs
    fitted = fit_ready(ESTIMATORS[name])
    fitted.save(tmp_path)
    loaded = load(tmp_path)
    assert loaded.input == "columns"
    assert np.array_equal(loaded.predict(rows), fitted.predictor().predict(rows))
    assert np.ptp(loaded.predict(rows)) > 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_row_gets_the_same_bits_whatever_rows_come_with_it(fit_ready: Fit, homes: Homes, name: str) -> None:
    rows = homes.data(TaskKind.REGRESSION, "columns").inputs
    predictor = fit_ready(ESTIMATORS[name]).predictor()
    whole = predictor.predict(rows)
    for places in (np.arange(1), np.arange(7, 40), np.arange(len(whole))[::-1]):
        assert np.array_equal(predictor.predict({key: value[places] for key, value in rows.items()}), whole[places])
    assert predictor.predict({key: value[:0] for key, value in rows.items()}).shape == (0,)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_fit_writes_the_same_bytes(fit_ready: Fit, tmp_path: Path, name: str) -> None:
    found = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        fit_ready(ESTIMATORS[name]).save(folder)
        found.add(hashlib.sha256((folder / "model.skops").read_bytes()).hexdigest())
    assert len(found) == 1


def test_a_classifier_gives_the_probability_of_one(fit_ready: Fit, homes: Homes) -> None:
    rows = homes.data(TaskKind.CLASSIFICATION, "columns")
    for model in (encoded(HistGradientBoostingClassifier(max_iter=10)), scaled(LogisticRegression())):
        answer = fit_ready(model, TaskKind.CLASSIFICATION).predictor().predict(rows.inputs)
        assert ((answer >= 0) & (answer <= 1)).all()
        assert answer[rows.target == 1].mean() > answer[rows.target == 0].mean()


def test_the_estimator_itself_is_not_touched(fit_ready: Fit) -> None:
    estimator = encoded(RandomForestRegressor(4))
    fitted = fit_ready(estimator)
    assert not hasattr(estimator[-1], "estimators_")
    assert estimator[-1].random_state is None
    assert "RandomForestRegressor(n_estimators=4)" in fitted.parameters["estimator"]
    assert fitted.parameters["params"]["randomforestregressor__n_estimators"] == 4
    assert list(fitted.parameters["libraries"]) == ["scikit-learn"]


@pytest.mark.parametrize(
    ("estimator", "kind", "message"),
    [
        (encoded(RandomForestRegressor(4)), TaskKind.CLASSIFICATION, "does not fit the task classification"),
        (scaled(LogisticRegression()), TaskKind.REGRESSION, "does not fit the task regression"),
        (scaled(Ridge()), TaskKind.RANKING, "does not fit the task ranking"),
        (scaled(LinearSVC()), TaskKind.CLASSIFICATION, "gives no probabilities"),
        (Ridge(), TaskKind.REGRESSION, "encode them inside of a pipeline"),
        (Mean(), TaskKind.REGRESSION, "which no model folder may hold"),
        (scaled(KMeans("many")), TaskKind.REGRESSION, "many"),
        ("ridge", TaskKind.REGRESSION, "a str that scikit-learn cannot copy"),
        (StandardScaler(), TaskKind.REGRESSION, "does not fit and predict"),
    ],
)
def test_what_cannot_be_fitted_or_kept_is_told(fit_ready: Fit, estimator: Any, kind: TaskKind, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit_ready(estimator, kind)


def test_columns_of_different_lengths_are_refused(fit_ready: Fit, homes: Homes) -> None:
    rows = homes.data(TaskKind.REGRESSION, "columns")
    inputs = {**rows.inputs, NUMBERS[0]: rows.inputs[NUMBERS[0]][:-1]}
    with pytest.raises(TrainingError, match="columns of"):
        fit_ready(ESTIMATORS["linear"], rows=TrainingData(inputs=inputs, target=rows.target))


def test_a_column_that_is_missing_is_named(fit_ready: Fit, homes: Homes) -> None:
    rows = dict(homes.data(TaskKind.REGRESSION, "columns").inputs)
    del rows[NUMBERS[0]]
    with pytest.raises(PredictionError, match=NUMBERS[0]):
        fit_ready(ESTIMATORS["linear"]).predictor().predict(rows)


def test_a_closed_predictor_says_so(fit_ready: Fit, homes: Homes) -> None:
    predictor = fit_ready(ESTIMATORS["linear"]).predictor()
    predictor.close()
    with pytest.raises(PredictionError, match="used after it was closed"):
        predictor.predict(homes.data(TaskKind.REGRESSION, "columns").inputs)


def test_a_payload_of_other_inputs_is_refused(fit_ready: Fit, load: Load, tmp_path: Path) -> None:
    fit_ready(ESTIMATORS["linear"]).save(tmp_path)
    fewer = Manifest(flavour="sklearn", files={}, signature=SIGNATURE, task="classification")
    with pytest.raises(ArtifactError, match="the manifest says classification"):
        load(tmp_path, task=fewer.task)
