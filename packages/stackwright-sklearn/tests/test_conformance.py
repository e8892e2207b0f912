"""The kit of trainers and their format."""

from __future__ import annotations

from typing import Any, ClassVar

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_interfaces.testing.trainer import TrainerCases
from stackwright_interfaces.trainer import Trainer
from stackwright_sklearn import plugin

TestSklearnTrainer = cases_of(spec_of(plugin, Trainer))
TestSklearnFormat = cases_of(spec_of(plugin, ModelFormat))


class TestRidge(TrainerCases):
    """An estimator that refuses missing values and multiplies matrices."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    options: ClassVar[dict[str, Any]] = {"estimator": "sklearn.linear_model.Ridge"}
    overfit: ClassVar[dict[str, Any]] = {"estimator": "sklearn.svm.SVR", "C": 1e6}
    nonsense = ({"alpha": -1.0}, {"alfa": 1.0}, {"random_state": 3})
