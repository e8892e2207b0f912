"""From a notebook to the registry, past the same gates as any model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import stackwright_models as sm
from stackwright_interfaces.errors import (
    BlueprintError,
    DataError,
    MissingColumn,
    PluginError,
    StackwrightError,
    TrainingError,
)
from stackwright_interfaces.model import Manifest

QUICK = {"n_estimators": 60, "learning_rate": 0.1, "min_child_samples": 5, "n_jobs": 1}


def publish(stack: Any, estimator: Any, name: str = "valuation", **given: Any) -> Any:
    found = sm.training_set(stack, name)
    rows = {"time": found.time, "keys": found.keys, "observed": found.observed, **given}
    return sm.publish(stack, estimator, name, rows.pop("X", found.X), rows.pop("y", found.y), **rows)


def quick_gates(stack: Any) -> None:
    """Run but two gates of the model, where the others are not what is tested."""
    from stackwright.assembly.gate_options import GATE_OPTIONS

    path = stack.project.blueprint
    gates = ", ".join(f"{gate} = false" for gate in GATE_OPTIONS if gate not in {"contract", "baseline"})
    text = path.read_text()
    for line in ("interval = 0.8\n", 'task = "classification"\n'):
        text = text.replace(line, f"{line}gates = {{ {gates} }}\n")
    path.write_text(text)


def manifest_of(stack: Any, ref: str) -> Manifest:
    from stackwright_interfaces.model import ModelRef

    return Manifest.read(stack.registry.fetch(stack.registry.resolve(ModelRef.parse(ref))))


def test_an_estimator_passes_the_gates_is_promoted_and_answers(stack: Any) -> None:
    outcome = publish(stack, sm.tabular(**QUICK), about={"intended use": "Advice to sellers."})
    assert outcome.ok, str(outcome)
    assert outcome.data["model"] == "valuation@1"
    assert {"contract", "smoke", "reproducible", "baseline", "artifact", "servable"} <= set(outcome.data["gates"])
    stack.promote("valuation")
    answer = stack.predict(model_ref="valuation@champion", home_id="0003", rooms=3)
    assert "valuation@1" in str(answer.data)
    versions, events = stack.registry.history("valuation")
    assert [event.kind for event in events][:2] == ["published", "evidence"]
    assert versions[0].record["metrics"]["mape"] < 0.2


def test_the_record_says_that_it_came_from_a_notebook_and_of_which_rows(stack: Any) -> None:
    quick_gates(stack)
    outcome = publish(stack, sm.tabular(**QUICK), about={"limits": "Not for castles."})
    manifest = manifest_of(stack, "valuation@1")
    record = stack.registry.history("valuation")[0][0].record
    assert record["origin"]["kind"] == "notebook"
    assert record["origin"]["data"]["rows"] == 342
    assert record["origin"]["parameters"]["model__n_estimators"] == "60"
    assert manifest.flavour == "sklearn"
    assert manifest.postprocess == ()
    assert manifest.data["rows"] + record["data"]["holdout"]["rows"] <= 342
    assert manifest.parameters["libraries"].keys() >= {"lightgbm", "scikit-learn"}
    assert stack.runs("valuation").data["runs"][0]["status"] == "finished"
    card = record["card"]
    assert outcome.data["card"] == card
    for text in ("# valuation", "## Limits", "Not for castles.", "homes@1:area", "| mape |", "notebook"):
        assert text in card


def test_it_is_judged_again_as_it_was_fitted_and_not_as_the_blueprint_would(stack: Any) -> None:
    from stackwright.workflows.lineage.rejudging import rejudge

    assert publish(stack, sm.tabular(**QUICK)).ok
    again = rejudge(stack, "valuation@1")
    found, recorded = again.judge("baseline"), again.recorded["baseline"]
    assert found.state == "green"
    assert found.evidence["constant"] == pytest.approx(recorded["evidence"]["constant"], rel=0.3), "in the same unit"
    refitted = again.judge("reproducible")
    assert refitted.detail == f"{again.recorded['reproducible']['detail']} (when it was published)"
    again.close()


def test_exactly_the_same_is_not_published_twice(stack: Any) -> None:
    quick_gates(stack)
    first = publish(stack, sm.tabular(**QUICK))
    again = publish(stack, sm.tabular(**QUICK))
    other = publish(stack, sm.tabular(**{**QUICK, "n_estimators": 61}))
    forced = publish(stack, sm.tabular(**QUICK), force=True)
    assert (first.data["changed"], again.data["changed"]) == (True, False)
    assert first.data["digest"] == again.data["digest"] == forced.data["digest"]
    assert other.data["model"] == "valuation@2"


def test_a_pipeline_of_scikit_learn_is_published_as_it_is(stack: Any) -> None:
    quick_gates(stack)
    parts = [("k", OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("n", StandardScaler(), ["area", "rooms"])]
    pipeline = TransformedTargetRegressor(
        make_pipeline(ColumnTransformer(parts), Ridge()), func=np.log, inverse_func=np.exp
    )
    outcome = publish(stack, pipeline)
    assert outcome.data["model"] == "valuation@1"
    from stackwright.workflows.live.scoring import load, resolve

    model = load(stack, resolve(stack, "valuation@1"))
    found = sm.training_set(stack, "valuation")
    learned = manifest_of(stack, "valuation@1").data["rows"]
    said = pipeline.fit(found.X.iloc[:learned], found.y.iloc[:learned]).predict(found.X)
    columns = {name: found.X[name].to_numpy() for name in found.X}
    assert model.predict(columns).value == pytest.approx(said, rel=1e-9)


def test_an_interval_regressor_is_published_with_intervals_of_its_level(stack: Any) -> None:
    quick_gates(stack)
    publish(stack, sm.IntervalRegressor(sm.tabular(**QUICK), level=0.7))
    manifest = manifest_of(stack, "valuation@1")
    assert manifest.intervals is not None
    assert manifest.intervals["level"] == 0.7
    assert manifest.parameters["estimator"].startswith("Pipeline(")


def test_a_classifier_is_published_by_the_probability_of_one(stack: Any) -> None:
    quick_gates(stack)
    outcome = publish(stack, sm.tabular("classification", **QUICK), "cheap")
    assert outcome.data["model"] == "cheap@1"
    assert outcome.data["metrics"]["auc"] > 0.9


def test_a_model_that_is_no_better_than_a_constant_is_published_red_and_not_promoted(stack: Any) -> None:
    quick_gates(stack)
    outcome = publish(stack, DummyRegressor(strategy="median"))
    assert not outcome.ok
    assert not outcome.data["gates"]["baseline"]
    with pytest.raises(StackwrightError, match="gate baseline is red"):
        stack.promote("valuation")


class Own(RegressorMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Own:  # noqa: N803 (scikit-learn's name)
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.full(len(X), self.mean_)


def test_what_no_folder_may_hold_is_refused_and_the_run_has_failed(stack: Any) -> None:
    with pytest.raises(TrainingError, match="which no model folder may hold"):
        publish(stack, Own())
    assert stack.runs("valuation").data["runs"][0]["status"] == "failed"
    assert stack.registry.history("valuation")[0] == []


def test_a_trainer_that_takes_no_estimators_says_so(stack: Any) -> None:
    found = sm.training_set(stack, "valuation")
    rows = {"target": found.y.to_numpy(), "asked": found.time.dt.tz_localize(None).to_numpy().astype("datetime64[us]")}
    keys = {name: found.keys[name].to_numpy() for name in found.keys}
    columns = {name: found.X[name].to_numpy() for name in found.X}
    with pytest.raises(PluginError, match="takes no estimators"):
        stack.publish(sm.tabular(), "valuation", columns=columns, keys=keys, adapter="lightgbm", **rows)


def test_frames_of_another_library_are_taken_and_what_is_no_frame_is_named(stack: Any) -> None:
    class Frame:
        """A data frame as other libraries have them."""

        def __init__(self, rows: Any) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def to_pandas(self) -> Any:
            return self.rows

    quick_gates(stack)
    found = sm.training_set(stack, "valuation")
    outcome = publish(stack, sm.tabular(**QUICK), X=Frame(found.X), keys=Frame(found.keys))
    assert outcome.data["model"] == "valuation@1"
    for given in ({"X": found.X.to_numpy()}, {"keys": found.keys["home_id"]}):
        with pytest.raises(StackwrightError, match=f"{next(iter(given))} is a (ndarray|Series)"):
            publish(stack, sm.tabular(**QUICK), **given)


@pytest.mark.parametrize(("zero", "one"), [("dear", "cheap"), (1.0, 2.0)])
def test_classes_other_than_0_and_1_are_refused(stack: Any, zero: Any, one: Any) -> None:
    found = sm.training_set(stack, "cheap")
    classes = found.y.map({0.0: zero, 1.0: one})
    with pytest.raises(StackwrightError, match="Call one of two classes 1 and the other 0"):
        publish(stack, sm.tabular("classification", **QUICK), "cheap", y=classes)


def test_mistakes_are_named(stack: Any) -> None:
    found = sm.training_set(stack, "valuation")
    with pytest.raises(BlueprintError, match="no model 'value'"):
        sm.publish(stack, sm.tabular(), "value", found.X, found.y, time=found.time, keys=found.keys)
    with pytest.raises(MissingColumn, match="'area' is missing"):
        publish(stack, sm.tabular(), X=found.X.drop(columns="area"))
    with pytest.raises(DataError, match="'extra' is no output of valuation@1"):
        publish(stack, sm.tabular(), X=found.X.assign(extra=1.0))
    with pytest.raises(MissingColumn, match="'home_id' is missing"):
        publish(stack, sm.tabular(), keys=found.keys[["rooms"]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        publish(stack, sm.tabular(), y=found.y[:-1])
    few = found.rows(np.arange(50))
    with pytest.raises(TrainingError, match="at least 100 are needed"):
        sm.publish(stack, sm.tabular(), "valuation", few.X, few.y, time=few.time, keys=few.keys)
