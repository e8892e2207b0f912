"""A trainer, made homes, and a task for each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind
from stackwright_lightgbm.plugin import LightGBMConfig
from stackwright_lightgbm.trainer import LightGBMTrainer

Fit = Callable[..., FittedModel]


@pytest.fixture
def homes() -> Homes:
    return Homes.make(400, seed=1)


@pytest.fixture
def fit(tmp_path: Path, homes: Homes) -> Fit:
    """Fit the homes: by configuration, options of the task, and parameters of the call."""

    def run(
        params: dict[str, Any] | None = None,
        *,
        kind: TaskKind = TaskKind.REGRESSION,
        config: LightGBMConfig | None = None,
        options: dict[str, Any] | None = None,
        valid: Homes | None = None,
        rows: Homes = homes,
        threads: int = 1,
        **more: Any,
    ) -> FittedModel:
        trainer = LightGBMTrainer(config or LightGBMConfig(num_iterations=50), make_context(tmp_path))
        task = Task(kind=kind, signature=SIGNATURE, options=options or {})
        held = None if valid is None else valid.data(kind, "matrix")
        return trainer.fit(task, rows.data(kind, "matrix"), held, params or {}, seed=3, threads=threads, **more)

    return run
