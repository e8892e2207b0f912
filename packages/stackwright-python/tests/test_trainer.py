"""What a class gets, what is made of it, and what each mistake in it is told as."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import Distribution, Task, TaskKind, TrainingData
from stackwright_python import plugin
from stackwright_python.plugin import PythonConfig

Columns = Callable[..., dict[str, Any]]

MEAN = """
    class MyModel:
        def get_parameters(self):
            return {"shift": 0.0}

        def train(self, inputs, target, params):
            self.mean = float(target.mean()) + params["shift"]
            return self

        def predict(self, inputs):
            return [self.mean] * len(inputs)
"""


def test_a_class_that_knows_nothing_of_stackwright_is_trained_saved_and_loaded(desk: Any, columns: Columns) -> None:
    fitted = desk.fit(MEAN, {"shift": 1.0})
    expected = Homes.make(200, seed=1).price.mean() + 1
    answer = desk.load(desk.save(fitted)).predict(columns())
    assert answer == pytest.approx(np.full(30, expected))
    assert np.array_equal(answer, fitted.predictor().predict(columns()))


def test_rows_come_as_a_data_frame_and_the_target_as_a_series(desk: Any) -> None:
    desk.fit("""
        import pandas as pd

        class MyModel:
            def get_parameters(self):
                return {}

            def train(self, inputs, target):
                assert list(inputs.columns) == ["area", "rooms", "place", "new"], inputs.columns
                assert [str(kind) for kind in inputs.dtypes] == ["float64", "float64", "object", "float64"]
                assert isinstance(target, pd.Series) and target.name == "price"
                assert inputs["place"].isna().any() and inputs["area"].isna().any()
                inputs["area"] = 0.0
                self.answer = 1.0
                return self

            def predict(self, inputs):
                return [self.answer] * len(inputs)
    """)


def test_a_class_that_takes_numpy_gets_a_matrix_of_codes(desk: Any, columns: Columns) -> None:
    fitted = desk.fit("""
        import numpy as np

        class MyModel:
            takes = "numpy"

            def get_parameters(self):
                return {}

            def train(self, inputs, target):
                assert inputs.dtype == target.dtype == np.float64
                assert inputs.shape == (200, 4)
                return self

            def predict(self, inputs):
                return np.nan_to_num(inputs[:, 2], nan=-1.0)
    """)
    rows = columns(60, seed=3, missing=0.3, unknown=True)
    codes = {"harbour": 0.0, "hill": 1.0, "mill": 2.0, "moon": 3.0, None: -1.0}
    assert fitted.predictor().predict(rows).tolist() == [codes[place] for place in rows["place"]]


def test_a_method_gets_what_it_names_and_nothing_else(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    source = """
        class MyModel:
            def __init__(self, config):
                self.note = config["note"]

            def get_parameters(self, config):
                return {"depth": config["depth"] + 1}

            def train(self, X, y, params, logger, seed, threads, valid, categories, weight, group, config):
                logger.info("training with %s", params)
                assert (seed, threads, weight, group, config["depth"]) == (3, 1, None, None, 4)
                assert valid[0].shape == (50, 4) and len(valid[1]) == 50
                assert categories == {"place": ["harbour", "hill", "mill"]}
                assert params == {"depth": 4}, params
                return self

            def predict(self, X):
                return [float(len(self.note))] * len(X)
    """
    valid = Homes.make(50, seed=9).data(TaskKind.REGRESSION, "columns")
    with caplog.at_level(logging.INFO, "my_model.MyModel"):
        fitted = desk.fit(source, valid=valid, config={"note": "four", "depth": 4})
    assert caplog.messages == ["training with {'depth': 4}"]
    assert set(fitted.metrics) == {"train_mae", "train_rmse", "valid_mae", "valid_rmse"}
    assert desk.load(desk.save(fitted)).predict(valid.inputs)[0] == 4.0


def test_any_other_option_is_configuration_of_the_class() -> None:
    config = PythonConfig(**{"class": "a:B", "depth": 3, "config": {"note": "x"}})
    assert (config.reference, config.config) == ("a:B", {"depth": 3, "note": "x"})


def test_ranges_and_choices_are_tuned_and_plain_values_are_not(desk: Any) -> None:
    desk.write("""
        class MyModel:
            def get_parameters(self):
                return {
                    "rate": {"low": 0.01, "high": 1.0, "log": True},
                    "depth": {"low": 2, "high": 8},
                    "loss": ["squared", "absolute"],
                    "kernel": {"choices": ["a", "b"], "default": "b"},
                    "note": "as it is",
                    "weights": {"left": 1, "right": 2},
                }

            def train(self, X, y): ...
    """)
    space = desk.trainer(config={"depth": 12}).space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE))
    assert space == {
        "rate": Distribution(low=0.01, high=1.0, log=True, default=pytest.approx(0.1)),
        "depth": Distribution(low=2, high=12, integer=True, default=12),
        "loss": Distribution(choices=("squared", "absolute"), default="squared"),
        "kernel": Distribution(choices=("a", "b"), default="b"),
    }


def test_parameters_of_the_call_go_over_the_configuration_and_this_over_the_defaults(desk: Any) -> None:
    source = MEAN.replace('{"shift": 0.0}', '{"shift": 0.0, "a": 1, "b": 1, "c": 1}')
    fitted = desk.fit(source, {"c": 3}, config={"b": 2, "c": 2})
    assert fitted.parameters == {"shift": 0.0, "a": 1, "b": 2, "c": 3}


def test_what_train_leaves_in_its_parameters_is_written_back(desk: Any) -> None:
    source = MEAN.replace("return self\n", 'params["shift"] = 7.5\n            return self\n', 1)
    assert desk.fit(source).parameters == {"shift": 7.5}


def test_an_estimator_that_train_returns_needs_no_predict(desk: Any, columns: Columns) -> None:
    source = """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.impute import SimpleImputer

        class MyModel:
            takes = "numpy"

            def get_parameters(self):
                return {"C": 1.0}

            def train(self, X, y, params):
                return make_pipeline(SimpleImputer(), LogisticRegression(**params, max_iter=1000)).fit(X, y.astype(int))
    """
    fitted = desk.fit(source, kind=TaskKind.CLASSIFICATION)
    truth = Homes.make(100, seed=5)
    answer = desk.load(desk.save(fitted, "classification")).predict(truth.inputs("columns"))
    dear = truth.target(TaskKind.CLASSIFICATION) == 1
    assert answer[dear].mean() > 0.7 > 0.3 > answer[~dear].mean()


def test_save_and_load_of_the_class_are_used_where_it_has_them(desk: Any, columns: Columns) -> None:
    source = """
        import json

        class MyModel:
            def get_parameters(self):
                return {}

            def train(self, X, y):
                return {"answer": float(y.max())}

            def predict(self, model, X):
                return [model["answer"]] * len(X)

            def save(self, model, folder):
                (folder / "deep").mkdir()
                (folder / "deep" / "answer.json").write_text(json.dumps(model))

            def load(self, folder):
                return json.loads((folder / "deep" / "answer.json").read_text())
    """
    folder = desk.save(desk.fit(source))
    assert (folder / "artifacts" / "deep" / "answer.json").is_file()
    assert desk.load(folder).predict(columns())[0] == Homes.make(200, seed=1).price.max()


def test_a_load_that_fills_the_object_itself_may_return_nothing(desk: Any, columns: Columns) -> None:
    source = (
        MEAN
        + """
        def save(self, folder):
            (folder / "mean.txt").write_text(repr(self.mean))

        def load(self, folder):
            self.mean = float((folder / "mean.txt").read_text())
    """
    )
    fitted = desk.fit(source)
    loaded = desk.load(desk.save(fitted))
    assert np.array_equal(loaded.predict(columns()), fitted.predictor().predict(columns()))


def test_weights_reach_a_class_that_asks_for_them_and_others_refuse(desk: Any, columns: Columns) -> None:
    rows = Homes.make(50, seed=1)
    weighted = rows.data(TaskKind.REGRESSION, "columns", np.arange(50.0))
    asking = MEAN.replace("params)", "params, weight)").replace(
        "target.mean()", "(target * weight).sum() / weight.sum()"
    )
    answer = desk.fit(asking, rows=weighted).predictor().predict(columns())[0]
    assert answer == pytest.approx(np.average(rows.price, weights=np.arange(50.0)))
    with pytest.raises(TrainingError, match=r"my_model:MyModel\.train: rows have weights.*half_life"):
        desk.fit(MEAN, rows=weighted)


def test_generators_that_a_class_does_not_seed_are_seeded_and_put_back(desk: Any, columns: Columns) -> None:
    source = MEAN.replace("    class", "    import random\n    import numpy as np\n\n    class")
    source = source.replace("float(target.mean())", "random.random() + np.random.rand()")
    np.random.seed(5)
    kept = np.random.get_state()[1]
    first, second = (desk.fit(source).predictor().predict(columns())[0] for _ in range(2))
    assert first == second
    assert np.array_equal(np.random.get_state()[1], kept)


BODY = """
class MyModel:
    def get_parameters(self):
        return {parameters}

    def train(self, {takes}):
        {train}

    def predict(self, X):
        {predict}

    {more}
"""


def source_of(**parts: str) -> str:
    plain = {"parameters": "{}", "takes": "X, y", "train": "return self", "predict": "return [1.0] * len(X)"}
    return BODY.format(**{**plain, "more": "", **parts})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("class Other: ...", r"my_model\.py: there is no 'MyModel'\. Classes there: Other"),
        ("class MyModell: ...", r"Did you mean 'MyModell'"),
        ("def MyModel(): ...", r"my_model:MyModel: a function, not a class"),
        (
            "class MyModel:\n    def get_parameters(self): return {}",
            r"my_model:MyModel: the class has no method 'train'",
        ),
        ("class MyModel:\n    def train(self, X, y): ...", r"no method 'get_parameters'"),
        ("class MyModel:\n    def trian(self): ...\n    def get_parameters(self): ...", r"Did you mean 'trian'"),
        ("import no_such_thing\nclass MyModel: ...", r"my_model\.py:1: ModuleNotFoundError.*Install it"),
        ("class MyModel\n    pass", r"my_model\.py:1: SyntaxError: expected ':'\. Correct the line"),
        ("1 / 0", r"my_model\.py:1: ZeroDivisionError"),
        ("raise SystemExit(3)", r"my_model\.py:1: SystemExit: 3"),
        (source_of(train="pass"), r"my_model:MyModel\.train: it returned nothing. Return the fitted model"),
        (source_of(train="return 5"), r"MyModel\.predict: takes no model, but train returned a int"),
        (source_of(train="raise KeyError('area')"), r"my_model\.py:7: KeyError: 'area'"),
        (source_of(takes="X, y, prams"), r"train: asks for 'prams'.*Did you mean 'params'"),
        (source_of(takes="X"), r"MyModel\.train: takes X.*2 of rows first"),
        (source_of(parameters="[1, 2]"), r"get_parameters: returned a list"),
        (source_of(parameters="{'a': {'low': 3, 'high': 1}}"), r"get_parameters 'a': low is 3, high is 1"),
        (source_of(parameters="{'a': {'low': 1, 'hihg': 3}}"), r"unknown key 'hihg'\. Did you mean 'high'"),
        (source_of(parameters="{'a': {'low': 0, 'high': 3, 'log': True}}"), r"with log both above 0"),
        (source_of(parameters="{'a': {'low': 1, 'high': 3, 'default': 5}}"), r"default is 5"),
        (source_of(parameters="{'a': []}"), r"choices are \[\]"),
        (source_of(parameters="{'a': {'choices': [1], 'default': 2}}"), r"none of the choices"),
        (source_of(parameters="{'a': object()}"), r"get_parameters 'a': .*no JSON value"),
        (source_of(parameters="1 / 0"), r"my_model\.py:4: ZeroDivisionError"),
        (source_of(predict="return [1.0]"), r"MyModel\.predict: returned shape \(1,\) for 200 rows"),
        (source_of(predict="return [[1.0, 2.0]] * len(X)"), r"returned shape \(200, 2\)"),
        (source_of(predict="return [float('nan')] * len(X)"), r"predict: returned nan for row 0 \(200 of 200 rows\)"),
        (source_of(predict="return None"), r"MyModel\.predict: returned nothing for 200 rows"),
        (source_of(predict="return ['dear'] * len(X)"), r"holds no numbers"),
        (source_of(predict="raise ValueError('no')"), r"my_model\.py:10: ValueError: no"),
        (source_of(more="takes = 'polars'"), r"MyModel\.takes: 'polars'\. Choose one of: pandas, numpy"),
        (source_of(more="def save(self, folder): ..."), r"it has 'save' and no 'load'"),
        (source_of(more="def __init__(self): raise RuntimeError('broken')"), r"my_model\.py:\d+: RuntimeError: broken"),
        (source_of(more="def __init__(self, deep): ..."), r"MyModel\.__init__: asks for 'deep'"),
    ],
)
def test_a_mistake_in_the_class_names_the_place_and_what_to_do(desk: Any, source: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told) as refused:
        desk.fit(source)
    assert refused.value.todo


def test_a_module_that_is_not_there_is_told_with_the_nearest_one(desk: Any) -> None:
    desk.write(MEAN)
    with pytest.raises(TrainingError, match=r"module 'my_modle': .*Did you mean 'my_model'"):
        desk.fit(reference="my_modle:MyModel")
    with pytest.raises(TrainingError, match="not of the form module:Class"):
        desk.fit(reference="my_model")
    with pytest.raises(TrainingError, match=r"Write it as json\.py in"):
        desk.fit(reference="json:JSONDecoder")


def test_a_model_without_predict_is_told_where_the_class_has_none_either(desk: Any) -> None:
    source = "class MyModel:\n    def get_parameters(self): return {}\n    def train(self, X, y): return {'a': 1}"
    with pytest.raises(TrainingError, match=r"train: returned a dict, which has no method 'predict'"):
        desk.fit(source)


def test_a_save_that_writes_nothing_is_told(desk: Any) -> None:
    fitted = desk.fit(source_of(more="def save(self, folder): ...\n    def load(self, folder): ..."))
    with pytest.raises(TrainingError, match=r"MyModel\.save: it wrote no file"):
        desk.save(fitted)


def test_a_save_that_fails_names_its_line(desk: Any) -> None:
    fitted = desk.fit(source_of(more="def save(self, folder): 1 / 0\n    def load(self, folder): ..."))
    with pytest.raises(TrainingError, match=r"my_model\.py:12: ZeroDivisionError"):
        desk.save(fitted)


def test_a_load_that_fails_names_its_line(desk: Any) -> None:
    more = "def save(self, folder): (folder / 'a').write_text('a')\n    def load(self, folder): 1 / 0"
    folder = desk.save(desk.fit(source_of(more=more)))
    with pytest.raises(ArtifactError, match=r"my_model\.py:13: ZeroDivisionError"):
        desk.load(folder)


def test_a_prediction_that_fails_names_its_line(desk: Any, columns: Columns) -> None:
    predict = "return [1 / (len(X) - 30)] * len(X)"
    predictor = desk.fit(source_of(predict=predict)).predictor()
    with pytest.raises(PredictionError, match=r"my_model\.py:10: ZeroDivisionError"):
        predictor.predict(columns(30))
    assert predictor.predict(columns(31)).tolist() == [1.0] * 31


def test_a_probability_out_of_its_range_is_told(desk: Any) -> None:
    with pytest.raises(TrainingError, match=r"predict: returned 1\.5.*probability of 1"):
        desk.fit(source_of(predict="return [1.5] * len(X)"), kind=TaskKind.CLASSIFICATION)


def test_a_classifier_that_was_fitted_on_other_classes_is_told(desk: Any) -> None:
    train = "from sklearn.dummy import DummyClassifier; return DummyClassifier().fit(X, y.astype(str))"
    source = f"class MyModel:\n    def get_parameters(self): return {{}}\n    def train(self, X, y): {train}"
    with pytest.raises(TrainingError, match=r"train: returned a DummyClassifier of the classes .*, and none is 1"):
        desk.fit(source, kind=TaskKind.CLASSIFICATION)


def test_a_parameter_that_train_leaves_as_no_json_value_is_told(desk: Any) -> None:
    source = source_of(parameters="{'a': 1}", takes="X, y, params", train="params['a'] = X; return self")
    with pytest.raises(TrainingError, match=r"train: params\['a'\]"):
        desk.fit(source)


def test_a_closed_predictor_refuses_to_predict(desk: Any, columns: Columns) -> None:
    predictor = desk.fit(source_of()).predictor()
    predictor.close()
    with pytest.raises(PredictionError, match="closed"):
        predictor.predict(columns())


def test_columns_of_different_lengths_are_refused(desk: Any, columns: Columns) -> None:
    rows = columns()
    with pytest.raises(PredictionError):
        desk.fit(source_of(more="takes = 'numpy'")).predictor().predict({**rows, "area": rows["area"][1:]})
    with pytest.raises(TrainingError, match="column 'rooms' of 30 rows among 29"):
        desk.fit(rows=TrainingData(inputs={**rows, "area": rows["area"][1:]}, target=np.ones(30)))


def test_ranking_gets_its_groups(desk: Any) -> None:
    source = source_of(takes="X, y, group", train="assert group.tolist() == [10] * 20; return self")
    assert desk.fit(source, kind=TaskKind.RANKING).metrics
    with pytest.raises(TrainingError, match="sizes of the consecutive query groups"):
        desk.fit(kind=TaskKind.RANKING, rows=Homes.make(20).data(TaskKind.REGRESSION, "columns"))


def test_every_option_is_described() -> None:
    for name in PythonConfig.__annotations__:
        assert f"\n        {name}:" in (plugin.PythonConfig.__doc__ or ""), name
