"""The kit of trainers and their format, on a model of the kit's rows that was trained before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import AdapterCases, spec_of
from stackwright_interfaces.testing.trainer import TrainerCases
from stackwright_interfaces.trainer import Trainer
from stackwright_onnx import plugin

_MODEL: dict[str, bytes] = {}


@pytest.fixture(autouse=True)
def model_is_there(homes_model: Callable[..., bytes]) -> None:
    _MODEL.setdefault("model", homes_model())


class TestOnnxTrainer(TrainerCases):
    """An imported model does not learn: the cases that fit it to other rows are none of its own."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    nonsense: ClassVar[tuple[dict[str, Any], ...]] = ({"num_leaves": 3}, {"file": "other.onnx"})

    test_twenty_rows_are_learned_by_heart = None
    test_rows_of_greater_weight_count_for_more = None

    def config(self, folder: Path) -> plugin.OnnxConfig:
        (folder / "homes.onnx").write_bytes(_MODEL["model"])
        return plugin.OnnxConfig(file=folder / "homes.onnx")


class TestOnnxFormat(AdapterCases):
    spec = spec_of(plugin, ModelFormat)
