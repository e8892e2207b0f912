"""The adapters ``sklearn``: a trainer, and the format that loads what it saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stackwright_interfaces.model import CONTRACT as MODEL_CONTRACT
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.trainer import CONTRACT, Trainer


@dataclass(frozen=True, kw_only=True)
class SklearnConfig:
    """Options of the trainer.

    Args:
        estimator: a regressor or classifier of scikit-learn by its public name, ``sklearn.linear_model.Ridge`` say.
            Empty takes ``sklearn.ensemble.HistGradientBoostingRegressor``, or its classifier, by the task.
        pipeline: a function of the project that builds the estimator or pipeline, ``my_model:build`` for ``build`` in
            ``my_model.py``; instead of ``estimator``.
        params: arguments of the estimator's constructor, under scikit-learn's own names; of a pipeline's parts as
            ``ridge__alpha``.

    Raises:
        ValueError: both an estimator and a pipeline.
    """

    estimator: str = ""
    pipeline: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.estimator and self.pipeline:
            raise ValueError("estimator and pipeline are both given: name one of them")


@dataclass(frozen=True, kw_only=True)
class SklearnFormatConfig:
    """The format has no options."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the trainer and the model format."""
    return (
        AdapterSpec(
            name="sklearn",
            provides=Trainer,
            contract=CONTRACT,
            config=SklearnConfig,
            factory="stackwright_sklearn.trainer:SklearnTrainer",
            conformance="stackwright_sklearn.conformance:SklearnConformance",
            description="Any regressor or classifier of scikit-learn, or a pipeline built in Python.",
        ),
        AdapterSpec(
            name="sklearn",
            provides=ModelFormat,
            contract=MODEL_CONTRACT,
            config=SklearnFormatConfig,
            factory="stackwright_sklearn.format:SklearnFormat",
            description="Loads scikit-learn models stored by skops, of a pinned list of types and no others.",
        ),
    )
