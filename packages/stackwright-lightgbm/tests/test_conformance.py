"""The kit of trainers and their format."""

from __future__ import annotations

from typing import Any, ClassVar

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import AdapterCases, spec_of
from stackwright_interfaces.testing.trainer import (
    ClassificationCases,
    QuantileCases,
    RankingCases,
    TimeToEventCases,
    TrainerCases,
)
from stackwright_interfaces.trainer import Trainer
from stackwright_lightgbm import plugin


class TestLightGBMTrainer(QuantileCases, TimeToEventCases, RankingCases, ClassificationCases, TrainerCases):
    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    quick: ClassVar[dict[str, Any]] = {"num_iterations": 100}
    overfit: ClassVar[dict[str, Any]] = {"min_data_in_leaf": 1, "learning_rate": 0.2, "num_iterations": 200}
    nonsense = (
        {"num_leaves": -1},
        {"num_leaves": "many"},
        {"num_leavs": 31},
        {"n_estimators": 0},
        {"objective": "binary"},
        {"eta": -0.1},
        {"boosting": "upwards"},
        {"seed": 3},
        {"num_threads": 8},
        {"monotone": {"areas": 1}},
        {"monotone": {"area": 2}},
        {"monotone": {"place": 1}},
    )


class TestLightGBMFormat(AdapterCases):
    spec = spec_of(plugin, ModelFormat)
