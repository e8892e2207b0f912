"""Pipelines that a function of the project builds: the kit on one, what the function gets, and each mistake in it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_interfaces.model import Manifest, ModelFormat, Signature, describe_files
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer import ClassificationCases, TrainerCases
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, Trainer
from stackwright_sklearn import plugin
from stackwright_sklearn.format import SklearnFormat
from stackwright_sklearn.plugin import SklearnConfig, SklearnFormatConfig
from stackwright_sklearn.trainer import SklearnTrainer

FOREST = """
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


def build(numbers, texts):
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), numbers), ("texts", OneHotEncoder(handle_unknown="ignore"), texts)],
        sparse_threshold=0,
    )
    return Pipeline([("columns", columns), ("trees", ExtraTreesRegressor(10))])


def build_classifier(numbers, texts):
    return build(numbers, texts).set_params(trees=ExtraTreesClassifier(20))


def build_linear(numbers, texts):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    steps = build(numbers, texts).steps[:1]
    return Pipeline([*steps, ("scale", StandardScaler()), ("pca", PCA(4)), ("ridge", Ridge(alpha=1e-3))])
"""


class _Cases(TrainerCases):
    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    built: ClassVar[str] = "build"

    def config(self, folder: Path) -> SklearnConfig:
        (folder / "my_model.py").write_text(FOREST)
        return SklearnConfig(pipeline=f"my_model:{self.built}")


class TestForestOfTheProject(_Cases):
    nonsense = (
        {"trees__n_estimator": 3},
        {"trees__n_estimators": -1},
        {"trees__random_state": 3},
        {"trees__max_depth": float("inf")},
    )


class TestClassifierOfTheProject(ClassificationCases):
    spec = _Cases.spec
    format_spec = _Cases.format_spec

    def config(self, folder: Path) -> SklearnConfig:
        (folder / "my_model.py").write_text(FOREST)
        return SklearnConfig(pipeline="my_model:build_classifier")


Fit = Callable[..., FittedModel]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Fit what ``my_model:build`` of a source builds."""

    def run(
        source: str = FOREST,
        params: dict[str, Any] | None = None,
        *,
        name: str = "build",
        kind: TaskKind = TaskKind.REGRESSION,
        config: dict[str, Any] | None = None,
        rows: Homes | None = None,
        weight: Any = None,
    ) -> FittedModel:
        (tmp_path / "my_model.py").write_text(textwrap.dedent(source))
        trainer = SklearnTrainer(
            SklearnConfig(pipeline=f"my_model:{name}", params=config or {}), make_context(tmp_path)
        )
        data = (rows or Homes.make(150, seed=1)).data(kind, trainer.input, weight)
        return trainer.fit(Task(kind=kind, signature=SIGNATURE), data, None, params or {}, seed=3, threads=1)

    return run


def load(fitted: FittedModel, folder: Path, signature: Signature = SIGNATURE) -> Any:
    folder.mkdir()
    fitted.save(folder)
    manifest = Manifest(flavour="sklearn", files=describe_files(folder), signature=signature, task="regression")
    return SklearnFormat(SklearnFormatConfig(), make_context(folder)).load(folder, manifest)


def test_a_pipeline_that_multiplies_matrices_predicts_a_row_alike_in_any_batch(fit: Fit, tmp_path: Path) -> None:
    predictor = load(fit(name="build_linear"), tmp_path / "model")
    rows = Homes.make(100, seed=3, missing=0.3, unknown=True)
    whole = predictor.predict(rows.columns)
    assert np.abs(whole - rows.price).mean() < 60
    alone = [predictor.predict(rows.take(slice(row, row + 1)).columns)[0] for row in range(40)]
    assert np.array_equal(alone, whole[:40])


def test_loading_needs_nothing_of_the_project(fit: Fit, tmp_path: Path) -> None:
    fitted = fit()
    (tmp_path / "my_model.py").unlink()
    rows = Homes.make(20, seed=4).columns
    assert np.array_equal(load(fitted, tmp_path / "model").predict(rows), fitted.predictor().predict(rows))


def test_the_function_gets_numbers_texts_and_categories_by_name(fit: Fit) -> None:
    fitted = fit("""
        from sklearn.dummy import DummyRegressor

        def build(texts, categories, numbers, quick=True):
            assert (numbers, texts) == (["area", "rooms", "new"], ["place"])
            assert categories == {"place": ["harbour", "hill", "mill"]}
            return DummyRegressor()
    """)
    price = Homes.make(150, seed=1).price.mean()
    assert fitted.predictor().predict(Homes.make(3).columns) == pytest.approx(np.full(3, price))


def test_a_parameter_goes_over_the_configuration_and_both_over_the_function(fit: Fit) -> None:
    config = {"trees__n_estimators": 5, "trees__max_depth": 3}
    told = fit(params={"trees__n_estimators": 7}, config=config).parameters
    chosen = [told[name] for name in ("pipeline", "trees__n_estimators", "trees__max_depth", "trees__min_samples_leaf")]
    assert chosen == ["my_model:build", 7, 3, 1]


def test_open_seeds_are_the_seed_of_the_fit(fit: Fit) -> None:
    rows = Homes.make(20).columns
    first, second = (fit().predictor().predict(rows) for _ in range(2))
    assert np.array_equal(first, second)


def test_weights_for_a_last_step_that_takes_none_are_refused(fit: Fit) -> None:
    source = FOREST.replace("build_linear", "build_near").replace("Ridge(alpha=1e-3)", "KNeighborsRegressor()")
    source = source.replace("linear_model import Ridge", "neighbors import KNeighborsRegressor")
    with pytest.raises(TrainingError, match="KNeighborsRegressor takes no weights"):
        fit(source, name="build_near", weight=np.ones(150))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def built(): ...", r"option 'pipeline': 'my_model' has no function 'build'\. Did you mean 'built'"),
        ("import nothing_of_this_name", r"my_model\.py:1: ModuleNotFoundError"),
        ("def build(:", r"my_model\.py:1: SyntaxError"),
        ("def build():\n    return 1 / 0", r"my_model\.py:2: ZeroDivisionError"),
        ("def build(depth): ...", r"my_model:build: asks for 'depth'.*numbers, texts, categories"),
        ("def build(): ...", r"my_model:build: it returned nothing"),
        ("def build(): return 3", r"it returned a int"),
        ("from sklearn.linear_model import Ridge\ndef build(): return Ridge", r"it returned a class"),
        (
            "from sklearn.preprocessing import StandardScaler\ndef build(): return StandardScaler()",
            r"its last step, a StandardScaler, has no predict",
        ),
        ("from sklearn.linear_model import Ridge\ndef build(): return Ridge()", r"my_model:build: .*could not convert"),
    ],
)
def test_a_mistake_in_the_function_names_the_place(fit: Fit, source: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told) as refused:
        fit(source)
    assert refused.value.todo


def test_a_part_of_the_project_inside_of_the_pipeline_is_refused_by_name(fit: Fit) -> None:
    source = """
        from sklearn.base import BaseEstimator, TransformerMixin
        from sklearn.dummy import DummyRegressor
        from sklearn.pipeline import make_pipeline

        class Own(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                return self

            def transform(self, X):
                return X

        def build():
            return make_pipeline(Own(), DummyRegressor())
    """
    with pytest.raises(TrainingError, match=r"keeps my_model\.Own, .*take the trainer python"):
        fit(source)


def test_a_classifier_without_probabilities_is_refused(fit: Fit) -> None:
    source = "from sklearn.linear_model import RidgeClassifier\ndef build(): return RidgeClassifier()"
    with pytest.raises(TrainingError, match="a RidgeClassifier, has no predict_proba"):
        fit(source, kind=TaskKind.CLASSIFICATION)


def test_ranking_is_refused(fit: Fit) -> None:
    with pytest.raises(TrainingError, match="ranking"):
        fit(kind=TaskKind.RANKING)


@pytest.mark.parametrize("reference", ["my_model", "my model:build", "my_model:", ":build", "my_model:a.b"])
def test_a_reference_of_another_form_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(TrainingError, match="not of the form module:function"):
        SklearnTrainer(SklearnConfig(pipeline=reference), make_context(tmp_path)).code()


def test_a_module_that_is_not_in_the_project_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(FOREST)
    with pytest.raises(TrainingError, match=r"module 'my_modle': .* has no such module\. Did you mean 'my_model'"):
        SklearnTrainer(SklearnConfig(pipeline="my_modle:build"), make_context(tmp_path)).code()
    with pytest.raises(TrainingError, match=r"module 'os': .* has no such module"):
        SklearnTrainer(SklearnConfig(pipeline="os:getcwd"), make_context(tmp_path)).code()


def test_the_hash_covers_the_modules_that_come_along_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text("def build():\n    from helpers import build\nraise SystemExit('it ran')\n")
    (tmp_path / "helpers.py").write_text("def build(): ...\n")
    trainer = SklearnTrainer(SklearnConfig(pipeline="my_model:build"), make_context(tmp_path))
    before = trainer.code()
    assert trainer.code() == before
    (tmp_path / "helpers.py").write_text("def build(): return 1\n")
    assert trainer.code() != before
    assert not {"my_model", "helpers"} & set(sys.modules)
    assert SklearnTrainer(SklearnConfig(), make_context(tmp_path)).code() == {}


def test_an_estimator_and_a_pipeline_are_not_both_taken() -> None:
    with pytest.raises(ValueError, match="name one of them"):
        SklearnConfig(estimator="sklearn.linear_model.Ridge", pipeline="my_model:build")


def test_inputs_in_another_order_are_refused(fit: Fit, tmp_path: Path) -> None:
    turned = Signature(inputs=SIGNATURE.inputs[::-1], outputs=SIGNATURE.outputs)
    with pytest.raises(ArtifactError, match="the manifest names new, "):
        load(fit(), tmp_path / "model", turned)
