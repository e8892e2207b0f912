"""What is scikit-learn's own about the trainer."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import Predictor, Signature
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_sklearn.plugin import SklearnConfig
from stackwright_sklearn.trainer import SklearnTrainer

Fit = Callable[..., FittedModel]
Load = Callable[..., Predictor]

RIDGE = "sklearn.linear_model.Ridge"
FOREST = "sklearn.ensemble.RandomForestRegressor"
STRANGE = Homes.make(60, seed=3, missing=0.3, unknown=True).inputs("matrix")
UNKNOWN = len(SIGNATURE.categories["place"])
PLACE = [field.name for field in SIGNATURE.inputs].index("place")

REGRESSORS: dict[str, dict[str, Any]] = {
    "sklearn.dummy.DummyRegressor": {},
    "sklearn.ensemble.AdaBoostRegressor": {"n_estimators": 3},
    "sklearn.ensemble.BaggingRegressor": {"n_estimators": 3, "max_features": 0.5},
    "sklearn.ensemble.ExtraTreesRegressor": {"n_estimators": 3},
    "sklearn.ensemble.GradientBoostingRegressor": {"n_estimators": 3},
    "sklearn.linear_model.HuberRegressor": {"max_iter": 1000},
    "sklearn.linear_model.Lasso": {},
    "sklearn.linear_model.TweedieRegressor": {"power": 0},
    "sklearn.neighbors.KNeighborsRegressor": {"algorithm": "brute"},
    "sklearn.neural_network.MLPRegressor": {"hidden_layer_sizes": [5], "learning_rate_init": 0.3, "tol": 1.0},
    "sklearn.svm.SVR": {},
    "sklearn.tree.DecisionTreeRegressor": {},
}

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "sklearn.ensemble.GradientBoostingClassifier": {"n_estimators": 3},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 3},
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.naive_bayes.GaussianNB": {},
}


def error_of(fitted: FittedModel, rows: Homes) -> float:
    return float(np.abs(fitted.predictor().predict(rows.inputs("matrix")) - rows.price).mean())


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, TaskKind.REGRESSION) for name in REGRESSORS] + [(name, TaskKind.CLASSIFICATION) for name in CLASSIFIERS],
)
def test_an_estimator_bears_missing_and_unknown_values_and_predicts_the_same_after_a_load(
    fit: Fit, load: Load, tmp_path: Path, name: str, kind: TaskKind
) -> None:
    fitted = fit({"estimator": name, **{**REGRESSORS, **CLASSIFIERS}[name]}, kind=kind)
    fitted.save(tmp_path)
    predicted = load(tmp_path, task=kind.value).predict(STRANGE)
    assert predicted.shape == (60,)
    assert np.isfinite(predicted).all()
    assert np.array_equal(predicted, fitted.predictor().predict(STRANGE))


def test_ridge_learns_numbers_and_categories_beside_missing_values(fit: Fit) -> None:
    rows, newer = Homes.make(400, seed=5), Homes.make(200, seed=6, missing=0.0)
    fitted = fit({"estimator": RIDGE}, rows=rows)
    median = float(np.abs(np.median(rows.price) - newer.price).mean())
    assert error_of(fitted, newer) < 0.15 * median


def test_the_estimator_is_chosen_by_the_task(fit: Fit) -> None:
    assert fit().parameters["estimator"] == "sklearn.ensemble.HistGradientBoostingRegressor"
    classifier = fit(kind=TaskKind.CLASSIFICATION).parameters["estimator"]
    assert classifier == "sklearn.ensemble.HistGradientBoostingClassifier"


def test_a_parameter_goes_over_an_option_and_an_option_over_the_configuration(fit: Fit) -> None:
    config = SklearnConfig(estimator="sklearn.linear_model.Lasso", params={"alpha": 5.0, "max_iter": 700, "tol": 0.1})
    options = {"estimator": RIDGE, "params": {"alpha": 3.0, "max_iter": 800}}
    fitted = fit({"alpha": 2.0}, config=config, options=options)
    chosen = {name: fitted.parameters[name] for name in ("estimator", "alpha", "max_iter", "tol")}
    assert chosen == {"estimator": RIDGE, "alpha": 2.0, "max_iter": 800, "tol": 0.1}


def test_an_empty_option_counts_as_not_given(fit: Fit) -> None:
    config = SklearnConfig(estimator=RIDGE, params={"alpha": 5.0})
    assert fit(config=config, options={"estimator": "", "params": {}}).parameters["alpha"] == 5.0


def test_the_arguments_are_those_of_scikit_learn(fit: Fit, homes: Homes) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    params = {"learning_rate": 0.2, "max_leaf_nodes": 5, "l2_regularization": 0.5, "max_iter": 20, "max_features": 0.5}
    matrix = homes.inputs("matrix")
    plain = HistGradientBoostingRegressor(**params, categorical_features=[PLACE], random_state=3, early_stopping=False)
    expected = plain.fit(matrix, homes.price).predict(STRANGE)
    assert np.array_equal(fit(params).predictor().predict(STRANGE), expected)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sklearn.linear_model.Rigde", RIDGE),
        ("sklearn.ensembles.RandomForestRegressor", FOREST),
        ("ElasticNett", "sklearn.linear_model.ElasticNet"),
        ("sklearn.linear_model._ridge.Ridge", RIDGE),
        ("sklearn.ensemble.RandomForestClassifier", FOREST),
        ("sklearn.metrics.r2_score", "scikit-learn"),
        ("sklearn.preprocessing.StandardScaler", "scikit-learn"),
        ("subprocess.Popen", "scikit-learn"),
    ],
)
def test_what_is_no_estimator_for_the_task_is_refused_with_the_nearest_one(fit: Fit, name: str, near: str) -> None:
    with pytest.raises(TrainingError, match=f"parameter 'estimator': '{name}' is .*{near}"):
        fit({"estimator": name})


def test_naming_a_module_does_not_import_it(fit: Fit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "never_imported.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainingError):
        fit({"estimator": "never_imported.Model"})
    assert "never_imported" not in sys.modules


def test_an_argument_that_the_constructor_does_not_take_is_refused_with_the_nearest_one(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"parameter 'alfa': Ridge takes no such argument.*'alpha'"):
        fit({"estimator": RIDGE, "alfa": 1.0})


def test_an_estimator_that_needs_others_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"StackingRegressor cannot be made.*'estimators'"):
        fit({"estimator": "sklearn.ensemble.StackingRegressor"})


def test_an_estimator_inside_of_another_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="inside of another"):
        fit({"params": {"estimator": RIDGE}})


def test_a_classifier_without_probabilities_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="RidgeClassifier gives no probabilities"):
        fit({"estimator": "sklearn.linear_model.RidgeClassifier"}, kind=TaskKind.CLASSIFICATION)


def test_a_value_that_is_no_json_value_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="parameter 'alpha'"):
        fit({"estimator": RIDGE, "alpha": float("inf")})


def test_ranking_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="ranking"):
        fit(kind=TaskKind.RANKING)


def test_weights_for_an_estimator_that_takes_none_are_refused(fit: Fit, homes: Homes) -> None:
    weighted = homes.data(TaskKind.REGRESSION, "matrix", weight=np.ones(len(homes)))
    with pytest.raises(TrainingError, match="KNeighborsRegressor takes no weights"):
        fit({"estimator": "sklearn.neighbors.KNeighborsRegressor"}, rows=weighted)


def test_what_cannot_be_stored_is_refused_by_name_when_it_is_fitted(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"sklearn\.neighbors\._kd_tree\.KDTree.*brute"):
        fit({"estimator": "sklearn.neighbors.KNeighborsRegressor"})


def test_an_infinite_input_is_refused_by_name_where_the_estimator_does_not_take_it(fit: Fit, homes: Homes) -> None:
    homes.columns["area"][7] = np.inf
    with pytest.raises(TrainingError, match="area is infinite in row 7"):
        fit({"estimator": RIDGE}, rows=homes)
    assert np.isfinite(fit(rows=homes).predictor().predict(STRANGE)).all()


def test_gradient_boosting_splits_on_categories_as_such(fit: Fit) -> None:
    rows = Homes.make(300, seed=2, missing=0.0)
    outer = np.isin(rows.columns["place"], ["harbour", "mill"]).astype(np.float64)
    stumps = {"max_iter": 1, "max_leaf_nodes": 2, "learning_rate": 1.0}
    predicted = fit(stumps, rows=Homes(rows.columns, outer)).predictor().predict(rows.inputs("matrix"))
    assert predicted == pytest.approx(outer, abs=1e-6)


def with_place(code: float) -> Any:
    matrix = Homes.make(40, seed=8, missing=0.0).inputs("matrix")
    matrix[:, PLACE] = code
    return matrix


def test_gradient_boosting_treats_a_category_that_no_row_had_like_a_missing_one(fit: Fit) -> None:
    predictor = fit().predictor()
    assert np.array_equal(predictor.predict(with_place(UNKNOWN)), predictor.predict(with_place(np.nan)))


def test_gradient_boosting_learns_unknown_as_a_category_where_rows_have_it(fit: Fit) -> None:
    rows = Homes.make(300, seed=2, missing=0.2, unknown=True)
    moon = (rows.columns["place"] == "moon").astype(np.float64)
    predictor = fit({"max_iter": 1, "learning_rate": 1.0}, rows=Homes(rows.columns, moon)).predictor()
    assert predictor.predict(with_place(UNKNOWN)) == pytest.approx(np.ones(40), abs=1e-6)
    assert predictor.predict(with_place(np.nan)) == pytest.approx(np.zeros(40), abs=1e-6)


def test_a_linear_model_has_a_value_for_missing_and_none_for_unknown(fit: Fit) -> None:
    rows = Homes.make(300, seed=2, missing=0.2, unknown=True)
    value = {"harbour": 3.0, "hill": 1.0, "mill": 5.0, None: 9.0, "moon": 0.0}
    target = np.array([value[place] for place in rows.columns["place"]])
    predictor = fit(
        {"estimator": "sklearn.linear_model.LinearRegression"}, rows=Homes(rows.columns, target)
    ).predictor()
    for code, wanted in ((0, 3.0), (1, 1.0), (2, 5.0), (np.nan, 9.0), (UNKNOWN, 0.0)):
        assert predictor.predict(with_place(code)) == pytest.approx(np.full(40, wanted), abs=1e-9)


@pytest.mark.parametrize("params", [{"max_iter": 30, "learning_rate": 0.5}, {"estimator": RIDGE, "alpha": 1e-6}])
def test_of_very_many_categories_the_rarest_are_pooled(fit: Fit, params: dict[str, Any]) -> None:
    known = tuple(f"street {number:04}" for number in range(600))
    signature = Signature(inputs=SIGNATURE.inputs, outputs=SIGNATURE.outputs, categories={"place": known})
    rows = np.zeros((1400, len(SIGNATURE.inputs)))
    rows[:, PLACE] = np.r_[np.zeros(400), np.ones(400), np.arange(600)]
    target = np.select([rows[:, PLACE] == 0, rows[:, PLACE] == 1], [10.0, 20.0], 50.0)
    predictor = fit(params, rows=TrainingData(inputs=rows, target=target), signature=signature).predictor()
    asked = rows[[0, 400, 900, 1399]]
    asked[2, PLACE] = 500
    assert predictor.predict(asked) == pytest.approx([10, 20, 50, 50], rel=0.05)


@pytest.mark.parametrize("streets", [3, 600])
def test_a_monotone_input_never_lowers_the_prediction(fit: Fit, homes: Homes, streets: int) -> None:
    known = tuple(f"street {number:04}" for number in range(streets))
    signature = Signature(inputs=SIGNATURE.inputs, outputs=SIGNATURE.outputs, categories={"place": known})
    noisy = Homes(homes.columns, homes.price + np.random.default_rng(0).normal(0, 100, len(homes)))
    predictor = fit({"monotonic_cst": {"area": 1}, "max_iter": 40}, rows=noisy, signature=signature).predictor()
    matrix = np.repeat(Homes.make(20, missing=0.0).inputs("matrix"), 30, axis=0)
    matrix[:, 0] = np.tile(np.linspace(30, 250, 30), 20)
    assert (np.diff(predictor.predict(matrix).reshape(20, 30), axis=1) >= 0).all()


def test_early_stopping_goes_by_the_validation_rows_and_says_how_many_trees_it_grew(fit: Fit, homes: Homes) -> None:
    noise = Homes(homes.columns, np.random.default_rng(0).normal(size=len(homes)))
    params = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 300, "learning_rate": 0.3}
    stopped = fit(params, rows=noise, valid=homes.take(slice(50)))
    assert stopped.parameters["max_iter"] < 100
    assert stopped.parameters["early_stopping"] is False
    again = fit(dict(stopped.parameters), rows=noise)
    assert np.array_equal(again.predictor().predict(STRANGE), stopped.predictor().predict(STRANGE))


def test_the_parameters_of_any_fit_are_json_values_that_give_it_again(fit: Fit) -> None:
    first = fit({"estimator": "sklearn.ensemble.AdaBoostRegressor", "n_estimators": 3})
    told = json.loads(json.dumps(dict(first.parameters)))
    assert told == dict(first.parameters)
    assert "loss" in told
    assert np.array_equal(fit(told).predictor().predict(STRANGE), first.predictor().predict(STRANGE))


def test_the_seed_and_the_threads_reach_the_estimator(fit: Fit) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit({"estimator": "sklearn.linear_model.LogisticRegression"}, kind=TaskKind.CLASSIFICATION, threads=2)
    with pytest.raises(TrainingError, match="parameter 'random_state'"):
        fit({"estimator": FOREST, "random_state": 0})
    with pytest.raises(TrainingError, match="parameter 'n_jobs'"):
        fit({"estimator": FOREST, "n_jobs": 2})


def test_validation_rows_are_measured(fit: Fit) -> None:
    newer = Homes.make(50, seed=9)
    fitted = fit(valid=newer)
    assert fitted.metrics["valid_mae"] == pytest.approx(error_of(fitted, newer))
    assert set(fit(kind=TaskKind.CLASSIFICATION, valid=newer).metrics) == {"train_log_loss", "valid_log_loss"}


def test_tuning_starts_at_what_the_blueprint_says(tmp_path: Path) -> None:
    trainer = SklearnTrainer(SklearnConfig(params={"max_iter": 2000, "max_leaf_nodes": None}), make_context(tmp_path))
    space = trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE, options={"learning_rate": 0.5}))
    assert (space["max_iter"].default, space["max_iter"].high) == (2000, 2000)
    assert (space["learning_rate"].default, space["learning_rate"].high) == (0.5, 0.5)
    assert "max_leaf_nodes" not in space


def test_without_tuning_the_default_estimators_run_at_the_defaults_of_the_space(fit: Fit, tmp_path: Path) -> None:
    trainer = SklearnTrainer(SklearnConfig(), make_context(tmp_path))
    for kind in (TaskKind.REGRESSION, TaskKind.CLASSIFICATION):
        space = trainer.space(Task(kind=kind, signature=SIGNATURE))
        chosen = fit(kind=kind, config=SklearnConfig()).parameters
        assert {name: chosen[name] for name in space} == {name: span.default for name, span in space.items()}


def test_other_estimators_have_nothing_to_tune(tmp_path: Path) -> None:
    trainer = SklearnTrainer(SklearnConfig(estimator=RIDGE), make_context(tmp_path))
    assert trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE)) == {}


def test_nothing_imports_scikit_learn_before_a_fit_or_a_load(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from stackwright_interfaces.testing.context import make_context\n"
        "from stackwright_interfaces.testing.trainer_rows import SIGNATURE\n"
        "from stackwright_interfaces.trainer import Task, TaskKind\n"
        "from stackwright_sklearn.plugin import SklearnConfig, SklearnFormatConfig\n"
        "from stackwright_sklearn.format import SklearnFormat\n"
        "from stackwright_sklearn.trainer import SklearnTrainer\n"
        "context = make_context(Path(sys.argv[1]))\n"
        "SklearnFormat(SklearnFormatConfig(), context)\n"
        "SklearnTrainer(SklearnConfig(), context).space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE))\n"
        "print({'sklearn', 'skops', 'scipy', 'pandas', 'threadpoolctl'} & set(sys.modules))\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "set()"


def test_every_option_is_described() -> None:
    for option in dataclasses.fields(SklearnConfig):
        assert f"\n        {option.name}:" in (SklearnConfig.__doc__ or ""), option.name
