"""The kit of trainers and their format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import AdapterCases, spec_of
from stackwright_interfaces.testing.trainer import ClassificationCases, TrainerCases
from stackwright_interfaces.trainer import Trainer
from stackwright_sklearn import plugin


class TestSklearnTrainer(ClassificationCases, TrainerCases):
    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    quick: ClassVar[dict[str, Any]] = {"max_iter": 40}
    overfit: ClassVar[dict[str, Any]] = {"min_samples_leaf": 1, "learning_rate": 0.3}
    nonsense = (
        {"max_iter": -1},
        {"max_itr": 100},
        {"learning_rate": "slow"},
        {"loss": "rank"},
        {"random_state": 3},
        {"n_jobs": 8},
        {"categorical_features": [0]},
        {"estimator": "sklearn.linear_model.Rigde"},
        {"monotonic_cst": {"areas": 1}},
        {"monotonic_cst": {"place": 1}},
        {"monotonic_cst": {"area": 2}},
    )


class TestRidge(TrainerCases):
    """An estimator that refuses missing values and multiplies matrices."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    overfit: ClassVar[dict[str, Any]] = {"estimator": "sklearn.svm.SVR", "C": 1e6}
    nonsense = ({"alpha": -1.0}, {"alfa": 1.0}, {"random_state": 3})

    def config(self, folder: Path) -> plugin.SklearnConfig:
        return plugin.SklearnConfig(estimator="sklearn.linear_model.Ridge")


class TestSklearnFormat(AdapterCases):
    spec = spec_of(plugin, ModelFormat)
