"""A search that starts from what is known to be good, and goes on where it was cut off."""

from __future__ import annotations

import builtins
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import stackwright_models as sm
from stackwright_interfaces.errors import PluginError, StackwrightError
from stackwright_interfaces.trainer import Distribution
from stackwright_models.tuning import curated_first, curated_space

RIDGE = make_pipeline(StandardScaler(), Ridge())
SPACE = {"ridge__alpha": Distribution(low=1e-3, high=1e4, log=True)}


def needs_optuna() -> None:
    if find_spec("optuna") is None:
        message = 'Optuna is not installed; run: pip install "stackwright-models[tune]"'
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)


def rows() -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    inputs = random.normal(size=(60, 20))
    return inputs, inputs[:, 0] + random.normal(0, 2.0, 60)


def tune(**given: Any) -> Any:
    needs_optuna()
    return sm.tune(*(RIDGE, *rows()), **{"cv": 3, "trials": 8, "progress": False, **given})


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "optuna":
            raise ImportError(name)
        return taken(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PluginError, match=r'pip install "stackwright-models\[tune\]"'):
        sm.tune(RIDGE, *rows(), trials=2)


def test_the_best_of_all_trials_is_returned_fitted() -> None:
    found = tune()
    done = found.trials[found.trials["state"] == "complete"]
    assert len(found.trials) == 8
    assert found.loss == done["loss"].min()
    assert found.params == {"ridge__alpha": done.loc[done["loss"].idxmin(), "ridge__alpha"]}
    assert found.best[-1].alpha == found.params["ridge__alpha"]
    assert found.best.predict(rows()[0]).shape == (60,)
    assert found.loss < done["loss"].iloc[0]


def test_the_estimator_as_it_stands_and_the_curated_sets_are_tried_first() -> None:
    tried = tune(trials=3).trials["ridge__alpha"].tolist()
    assert tried[:2] == [1.0, 30.0]
    own = tune(trials=2, first=[{"ridge__alpha": 7.0}]).trials["ridge__alpha"].tolist()
    assert own == [1.0, 7.0]


def test_the_same_seed_tries_the_same_sets() -> None:
    first, again, other = (tune(seed=seed).trials["ridge__alpha"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_search_that_was_cut_off_goes_on_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "searches" / "tune.db"
    calls = []

    def cut_off(fitted: Any, inputs: Any, target: Any) -> float:
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return float(fitted.score(inputs, target))

    with pytest.raises(KeyboardInterrupt):
        tune(storage=file, scoring=cut_off)
    found = tune(storage=file, scoring=cut_off)
    assert len(found.trials) >= 8
    assert (found.trials["state"] != "failed").sum() >= 7
    before = len(calls)
    again = tune(storage=file, scoring=cut_off)
    assert len(calls) == before
    assert again.params == found.params


def test_a_file_of_other_rows_is_refused(tmp_path: Path) -> None:
    tune(storage=tmp_path / "tune.db", trials=1)
    with pytest.raises(StackwrightError, match="of other rows"):
        tune(storage=tmp_path / "tune.db", cv=4)
    assert len(tune(storage=tmp_path / "tune.db", cv=4, name="four", trials=1).trials) == 1


def test_optuna_says_nothing_of_sets_that_are_alike(capfd: pytest.CaptureFixture[str]) -> None:
    tune(trials=1, first=[{}])
    assert "Skipping" not in capfd.readouterr().err


def by_r2(fitted: Any, inputs: Any, target: Any) -> float:
    return float(fitted.score(inputs, target))


def by_worst(fitted: Any, inputs: Any, target: Any) -> float:
    return -float(np.abs(fitted.predict(inputs) - target).max())


def test_a_file_of_another_score_or_of_other_weights_is_refused(tmp_path: Path) -> None:
    tune(storage=tmp_path / "tune.db", trials=1, scoring=by_r2)
    assert len(tune(storage=tmp_path / "tune.db", trials=1, scoring=by_r2).trials) == 1
    for other in ({"scoring": by_worst}, {"scoring": by_r2, "metadata": {"sample_weight": np.arange(60.0)}}):
        with pytest.raises(StackwrightError, match="of other rows, estimator, space, score or folds"):
            tune(storage=tmp_path / "tune.db", trials=1, **other)


def test_what_lightgbm_refuses_is_a_failed_trial_and_no_end_of_the_search() -> None:
    needs_optuna()
    model = sm.tabular(n_estimators=5, n_jobs=1)
    space = {"model__max_bin": [1, 31]}
    given = {"space": space, "trials": 2, "first": [{"model__max_bin": 1}], "cv": 3, "progress": False}
    found = sm.tune(model.set_params(model__max_bin=31), *rows(), **given)
    assert found.trials["state"].tolist() == ["complete", "failed"]
    assert found.params == {"model__max_bin": 31}


def test_a_file_of_rows_that_were_not_all_seen_to_end_is_another(tmp_path: Path) -> None:
    needs_optuna()
    inputs, _ = rows()
    y = pd.DataFrame({"event": np.arange(60) % 2 == 0, "duration": np.arange(1.0, 61.0)})
    model = sm.TimeToEvent(LogisticRegression(), periods=3)
    given = {"storage": tmp_path / "tune.db", "trials": 1, "cv": 3, "progress": False, "space": {"periods": [2, 3]}}
    sm.tune(model, inputs, y, **given)
    with pytest.raises(StackwrightError, match="of other rows"):
        sm.tune(model, inputs, y.assign(event=True), **given)


def test_trials_that_fall_behind_are_ended() -> None:
    def worse(fitted: Any, inputs: Any, target: Any) -> float:
        return -float(fitted[-1].alpha)

    falling = [{"ridge__alpha": float(alpha)} for alpha in range(2, 12)]
    found = tune(trials=11, first=falling, scoring=worse)
    assert found.trials["state"].tolist()[:5] == ["complete"] * 5
    assert "pruned" in found.trials["state"].tolist()[5:]
    assert found.params == {"ridge__alpha": 1.0}


def test_sets_that_cannot_be_fitted_do_not_end_the_search() -> None:
    found = tune(space={"ridge__alpha": [-1.0, 1.0, 2.0]}, first=[{"ridge__alpha": -1.0}], trials=4)
    assert found.trials["state"].tolist()[:2] == ["complete", "failed"]
    assert found.params["ridge__alpha"] > 0
    with pytest.raises(StackwrightError, match="none of 2 trials came to an end"):
        tune(space={"ridge__alpha": [-1.0]}, first=[], trials=2)


def test_folds_follow_time_where_it_is_given(homes: Any) -> None:
    needs_optuna()
    numbers = homes.X[["rooms"]]
    found = sm.tune(
        Ridge(), numbers, homes.y, cv=sm.TemporalSplit(2), time=homes.time, trials=2, progress=False, refit=False
    )
    assert len(found.trials) == 2
    assert found.metric == "mape"
    assert not hasattr(found.best, "coef_")


def test_what_was_tried_shows_itself() -> None:
    found = tune(trials=2)
    assert "2 trials" in str(found)
    assert "ridge__alpha" in found._repr_html_()


def test_curated_spaces_reach_through_pipelines_and_wrappers() -> None:
    assert "model__num_leaves" in curated_space(sm.tabular())
    inner = sm.IntervalRegressor(sm.tabular())
    assert "estimator__model__learning_rate" in curated_space(inner)
    assert "learning_rate" in curated_space(sm.Ranker())
    assert curated_space(HistGradientBoostingRegressor()).keys() >= {"max_iter", "max_leaf_nodes"}
    assert curated_space(RandomForestRegressor()).keys() == {"max_features", "min_samples_leaf"}
    assert curated_space(Lasso()).keys() == {"alpha"}
    for estimator in (sm.tabular(), inner, sm.Ranker(), HistGradientBoostingRegressor(), Ridge()):
        known, space = estimator.get_params(deep=True), curated_space(estimator)
        assert set(space) <= set(known)
        for first in curated_first(estimator):
            for name, value in first.items():
                assert space[name].low <= value <= space[name].high
    with pytest.raises(StackwrightError, match="no curated space for DummyRegressor"):
        curated_space(DummyRegressor())


def test_a_parameter_that_the_estimator_does_not_have_is_named() -> None:
    needs_optuna()
    with pytest.raises(StackwrightError, match=r"no parameter 'alfa'.*Did you mean"):
        sm.tune(Ridge(), *rows(), space={"alfa": [1.0]}, trials=1, progress=False)
