"""What is LightGBM's own about the trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, StopFit, Task, TaskKind
from stackwright_lightgbm.plugin import LightGBMConfig
from stackwright_lightgbm.trainer import LightGBMTrainer

Fit = Callable[..., FittedModel]


def text_of(fitted: FittedModel, folder: Path) -> str:
    fitted.save(folder)
    return (folder / "model.txt").read_text()


def trees_of(text: str) -> str:
    return text[: text.index("\nparameters:")]


def test_the_trees_are_those_of_lightgbm_train(fit: Fit, homes: Homes, tmp_path: Path) -> None:
    import lightgbm

    names = [field.name for field in SIGNATURE.inputs]
    rows = lightgbm.Dataset(homes.inputs("matrix"), homes.price, feature_name=names, categorical_feature=[2])
    params = {"learning_rate": 0.04, "feature_fraction": 0.5, "deterministic": True, "force_col_wise": True}
    params |= {"seed": 3, "num_threads": 1, "verbosity": -1, "alpha": 0.9, "objective": "regression"}
    plain = lightgbm.train(params, rows, num_boost_round=50)
    assert trees_of(text_of(fit(), tmp_path)) == trees_of(plain.model_to_string())


def test_more_threads_grow_the_same_trees(fit: Fit, tmp_path: Path) -> None:
    rows = Homes.make(5000, seed=5)
    texts = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        texts.append(trees_of(text_of(fit(rows=rows, threads=threads), folder)))
    assert texts[0] == texts[1]


def test_a_parameter_goes_over_an_option_and_an_option_over_the_configuration(fit: Fit) -> None:
    config = LightGBMConfig(num_iterations=5, num_leaves=4, params={"max_bin": 31})
    fitted = fit({"num_leaves": 8}, config=config, options={"num_leaves": 6, "max_bin": 63, "objective": ""})
    assert {name: fitted.parameters[name] for name in ("num_iterations", "num_leaves", "max_bin", "objective")} == {
        "num_iterations": 5,
        "num_leaves": 8,
        "max_bin": 63,
        "objective": "regression",
    }


def test_any_of_lightgbms_names_for_a_parameter_will_do(fit: Fit) -> None:
    fitted = fit({"n_estimators": 7, "eta": 0.1, "colsample_bytree": 0.9})
    chosen = [fitted.parameters[name] for name in ("num_iterations", "learning_rate", "feature_fraction")]
    assert chosen == [7, 0.1, 0.9]


@pytest.mark.parametrize(
    ("kind", "trees"), [(TaskKind.REGRESSION, 800), (TaskKind.RANKING, 100), (TaskKind.TIME_TO_EVENT, 150)]
)
def test_the_number_of_trees_follows_the_task(tmp_path: Path, kind: TaskKind, trees: int) -> None:
    trainer = LightGBMTrainer(LightGBMConfig(), make_context(tmp_path))
    assert trainer.space(Task(kind=kind, signature=SIGNATURE))["num_iterations"].default == trees


def test_tuning_starts_at_what_the_blueprint_says(tmp_path: Path) -> None:
    trainer = LightGBMTrainer(LightGBMConfig(num_leaves=300), make_context(tmp_path))
    space = trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE, options={"learning_rate": 0.3}))
    assert (space["num_leaves"].default, space["num_leaves"].high) == (300, 300)
    assert (space["learning_rate"].default, space["learning_rate"].high) == (0.3, 0.3)
    trainer = LightGBMTrainer(LightGBMConfig(params={"n_estimators": 12, "eta": 0.5}), make_context(tmp_path))
    space = trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE, options={"num_leaf": 4}))
    assert [space[name].default for name in ("num_iterations", "learning_rate", "num_leaves")] == [12, 0.5, 4]


@pytest.mark.parametrize("objective", ["regression", "l1", "mae", "huber", "quantile"])
def test_each_objective_of_regression_learns(fit: Fit, homes: Homes, objective: str) -> None:
    alpha = 0.5 if objective == "quantile" else 50.0
    fitted = fit({"objective": objective, "alpha": alpha, "num_iterations": 200}, rows=homes)
    error = np.abs(fitted.predictor().predict(homes.inputs("matrix")) - homes.price).mean()
    assert error < 0.6 * np.abs(np.median(homes.price) - homes.price).mean()


def test_a_quantile_lies_above_its_share_of_the_rows(fit: Fit, homes: Homes) -> None:
    predicted = fit({"objective": "quantile", "alpha": 0.8}).predictor().predict(homes.inputs("matrix"))
    assert np.mean(homes.price <= predicted) == pytest.approx(0.8, abs=0.06)


def test_an_objective_of_another_task_is_refused_with_those_that_fit(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"'lambdarank' is none for regression.*quantile"):
        fit({"objective": "lambdarank"})


def test_early_stopping_keeps_the_best_trees_and_says_how_many(fit: Fit, homes: Homes) -> None:
    noise = Homes(homes.columns, np.random.default_rng(0).normal(size=len(homes)))
    stopped = fit(
        {"early_stopping_round": 5, "num_iterations": 500, "eta": 0.3}, rows=noise, valid=homes.take(slice(99))
    )
    trees = stopped.parameters["num_iterations"]
    assert trees < 100
    assert stopped.parameters["early_stopping_round"] == 0


def test_early_stopping_stops_where_lightgbm_does(fit: Fit, homes: Homes) -> None:
    import lightgbm

    held = Homes.make(100, seed=9)
    params = {"learning_rate": 0.3, "feature_fraction": 0.5, "deterministic": True, "force_col_wise": True, "seed": 3}
    params |= {"num_threads": 1, "verbosity": -1, "objective": "regression"}
    layout = {"categorical_feature": [2], "params": params}
    rows = lightgbm.Dataset(homes.inputs("matrix"), homes.price, **layout)
    judge = lightgbm.Dataset(held.inputs("matrix"), held.price, reference=rows, **layout)
    stop = lightgbm.early_stopping(5, verbose=False)
    best = lightgbm.train(params, rows, 500, valid_sets=[judge], callbacks=[stop]).best_iteration
    fitted = fit({"early_stopping_round": 5, "num_iterations": 500, "eta": 0.3}, valid=held)
    assert fitted.parameters["num_iterations"] == best


def test_an_early_stopped_fit_is_the_fit_of_its_parameters(fit: Fit, tmp_path: Path) -> None:
    held = Homes.make(100, seed=9)
    stopped = fit({"early_stopping_round": 5, "num_iterations": 500, "eta": 0.3}, valid=held)
    texts = []
    for name, fitted in {"stopped": stopped, "again": fit(dict(stopped.parameters))}.items():
        (tmp_path / name).mkdir()
        texts.append(text_of(fitted, tmp_path / name))
    assert texts[0] == texts[1]
    assert fit(dict(stopped.parameters), valid=held).metrics == stopped.metrics


def test_early_stopping_without_validation_rows_grows_all_trees(fit: Fit) -> None:
    assert fit({"early_stopping_round": 5}).parameters["num_iterations"] == 50


def test_early_stopping_without_a_metric_is_refused(fit: Fit, homes: Homes) -> None:
    with pytest.raises(TrainingError, match="metric"):
        fit({"early_stopping_round": 5, "metric": "none"}, valid=homes)


def test_a_stopped_fit_holds_the_trees_grown_so_far(fit: Fit, tmp_path: Path) -> None:
    def stop_at_ten(step: int, steps: int, metrics: object) -> None:
        if step == 10:
            raise StopFit

    fitted = fit(report=stop_at_ten)
    assert fitted.parameters["num_iterations"] == 10
    assert text_of(fitted, tmp_path).count("\nTree=") == 10


def test_nothing_is_measured_at_a_step_whose_metrics_are_not_read(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm

    measured: list[str] = []
    measure = lightgbm.Booster.eval_train
    monkeypatch.setattr(lightgbm.Booster, "eval_train", lambda self: measured.append("train") or measure(self))
    fit(report=lambda step, steps, metrics: None)
    assert measured == ["train"]  # once, at the end


def test_metrics_read_at_every_step_fall_to_those_of_the_fit(fit: Fit) -> None:
    seen: list[float] = []
    fitted = fit(report=lambda step, steps, metrics: seen.append(metrics["train_l2"]))
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == fitted.metrics["train_l2"]


def test_a_monotone_input_never_lowers_the_prediction(fit: Fit, homes: Homes) -> None:
    noisy = Homes(homes.columns, homes.price + np.random.default_rng(0).normal(0, 100, len(homes)))
    predictor = fit({"monotone": {"area": 1}}, rows=noisy).predictor()
    matrix = np.repeat(homes.take(~np.isnan(homes.columns["area"])).inputs("matrix")[:20], 30, axis=0)
    matrix[:, 0] = np.tile(np.linspace(30, 250, 30), 20)
    assert (np.diff(predictor.predict(matrix).reshape(20, 30), axis=1) >= 0).all()


def test_bagging_draws_rows_anew_for_each_tree(fit: Fit, homes: Homes) -> None:
    whole, drawn = fit(), fit({"bagging_fraction": 0.5})
    matrix = homes.inputs("matrix")
    assert not np.array_equal(whole.predictor().predict(matrix), drawn.predictor().predict(matrix))


def test_an_infinite_parameter_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="lambda_l2"):
        fit({"lambda_l2": float("inf")})


def test_a_message_of_lightgbm_names_the_parameter_as_the_user_wrote_it(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"parameter 'max_leaves': 1 is refused .*num_leaves"):
        fit({"max_leaves": 1})


def test_lightgbm_prints_nothing(fit: Fit, homes: Homes, capfd: pytest.CaptureFixture[str]) -> None:
    fit({"early_stopping_round": 3}, valid=homes, report=lambda step, steps, metrics: None)
    fit({"min_data_in_leaf": 4000})
    fitted = fit(kind=TaskKind.CLASSIFICATION)
    fitted.predictor().predict(homes.inputs("matrix"))
    assert capfd.readouterr() == ("", "")


def test_rows_too_few_to_split_give_their_mean(fit: Fit, homes: Homes) -> None:
    few = homes.take(slice(5))
    assert fit(rows=few).predictor().predict(few.inputs("matrix")) == pytest.approx(np.full(5, few.price.mean()))


def test_every_option_is_described() -> None:
    for option in dataclasses.fields(LightGBMConfig):
        assert f"\n        {option.name}:" in (LightGBMConfig.__doc__ or ""), option.name


def ndcg(grade: np.ndarray, score: np.ndarray) -> float:
    """Mean NDCG over groups of ten, gains ``2^grade - 1`` (Järvelin and Kekäläinen 2002)."""
    discount = 1 / np.log2(np.arange(2, 12))
    gain = 2.0**grade - 1
    by_score = np.take_along_axis(gain, np.argsort(-score, axis=1, kind="stable"), axis=1)
    return float(np.mean((by_score @ discount) / (-np.sort(-gain, axis=1) @ discount)))


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_ranking_puts_the_best_first_far_more_often_than_chance(fit: Fit, objective: str) -> None:
    newer = Homes.make(500, seed=8)
    grade = newer.target(TaskKind.RANKING).reshape(-1, 10)
    fitted = fit({"objective": objective}, kind=TaskKind.RANKING)
    score = fitted.predictor().predict(newer.inputs("matrix")).reshape(-1, 10)
    chance = np.mean([ndcg(grade, np.random.default_rng(seed).random(grade.shape)) for seed in range(20)])
    assert chance < 0.75
    assert ndcg(grade, score) > 0.9


def test_a_group_is_ranked_by_itself(fit: Fit) -> None:
    rows = Homes.make(400, seed=1)
    lifted = Homes(rows.columns, rows.price + np.repeat(np.arange(40), 10) * 1e4)
    plain = fit(kind=TaskKind.RANKING, rows=rows).predictor().predict(rows.inputs("matrix"))
    assert np.array_equal(fit(kind=TaskKind.RANKING, rows=lifted).predictor().predict(rows.inputs("matrix")), plain)


def test_categories_are_split_as_such_and_not_as_numbers(fit: Fit) -> None:
    rows = Homes.make(400, seed=2, missing=0.0)
    outer = np.isin(rows.columns["place"], ["harbour", "mill"]).astype(np.float64)
    stump = {"num_iterations": 1, "num_leaves": 2, "learning_rate": 1.0, "feature_fraction": 1.0, "cat_smooth": 0}
    stump |= {"cat_l2": 0, "max_cat_to_onehot": 1}
    predicted = fit(stump, rows=Homes(rows.columns, outer)).predictor().predict(rows.inputs("matrix"))
    assert predicted == pytest.approx(outer, abs=1e-6)


def test_an_input_may_be_held_to_fall(fit: Fit, homes: Homes) -> None:
    predictor = fit({"monotone": {"area": -1}}).predictor()
    matrix = np.repeat(homes.take(~np.isnan(homes.columns["area"])).inputs("matrix")[:20], 30, axis=0)
    matrix[:, 0] = np.tile(np.linspace(30, 250, 30), 20)
    assert (np.diff(predictor.predict(matrix).reshape(20, 30), axis=1) <= 0).all()


def test_several_quantiles_are_several_models(fit: Fit, homes: Homes) -> None:
    matrix = homes.inputs("matrix")
    shares = [
        np.mean(homes.price <= fit({"objective": "quantile", "alpha": alpha}).predictor().predict(matrix))
        for alpha in (0.1, 0.5, 0.9)
    ]
    assert shares == pytest.approx([0.1, 0.5, 0.9], abs=0.08)


def test_it_declares_the_direction_that_lightgbm_gives_its_metrics() -> None:
    import lightgbm

    names = [
        "auc",
        "average_precision",
        "binary_logloss",
        "l1",
        "l2",
        "rmse",
        "mape",
        "huber",
        "cross_entropy",
        "ndcg",
        "map",
    ]
    values = np.arange(8.0) % 2
    rows = lightgbm.Dataset(values.reshape(-1, 1), values, group=[8], free_raw_data=False)
    booster = lightgbm.Booster({"metric": names, "objective": "binary", "min_data_in_leaf": 1, "verbosity": -1}, rows)
    booster.update()
    told = {name.partition("@")[0]: higher for _, name, _, higher, *_ in booster.eval_train()}
    assert set(names) <= set(told)
    assert {name for name, higher in told.items() if higher} == LightGBMTrainer.higher_is_better - {"auc_mu"}
