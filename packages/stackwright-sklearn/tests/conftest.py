"""Made homes, a way to fit them, and a way to load what was fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.model import Manifest, Predictor, Signature
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_sklearn.format import SklearnFormat
from stackwright_sklearn.plugin import SklearnConfig, SklearnFormatConfig
from stackwright_sklearn.trainer import SklearnTrainer

Fit = Callable[..., FittedModel]


@pytest.fixture
def homes() -> Homes:
    return Homes.make(150, seed=1)


@pytest.fixture
def fit(tmp_path: Path, homes: Homes) -> Fit:
    """Fit homes: with a few small trees, or with the estimator that is named."""

    def run(
        params: dict[str, Any] | None = None,
        *,
        kind: TaskKind = TaskKind.REGRESSION,
        config: SklearnConfig | None = None,
        options: dict[str, Any] | None = None,
        signature: Signature = SIGNATURE,
        rows: Homes | TrainingData = homes,
        valid: Homes | None = None,
        threads: int = 1,
    ) -> FittedModel:
        params = params or {}
        quick = {} if config or "estimator" in params or "max_iter" in params else {"max_iter": 10}
        return SklearnTrainer(config or SklearnConfig(), make_context(tmp_path)).fit(
            Task(kind=kind, signature=signature, options=options or {}),
            rows.data(kind, "matrix") if isinstance(rows, Homes) else rows,
            None if valid is None else valid.data(kind, "matrix"),
            {**quick, **params},
            seed=3,
            threads=threads,
        )

    return run


@pytest.fixture
def load() -> Callable[..., Predictor]:
    """Load a folder whose files nobody verified."""

    def run(folder: Path, signature: Signature = SIGNATURE, task: str = "regression") -> Predictor:
        manifest = Manifest(flavour="sklearn", files={}, signature=signature, task=task)
        return SklearnFormat(SklearnFormatConfig(), make_context(folder)).load(folder, manifest)

    return run
