"""A project folder with a class in it, and ways to fit, save and load it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.model import Manifest, Predictor, describe_files
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_python.format import PythonFormat
from stackwright_python.plugin import PythonConfig, PythonFormatConfig
from stackwright_python.trainer import PythonTrainer


class Desk:
    """A project that is worked on."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self._saved = 0

    def write(self, source: str, name: str = "my_model.py") -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def trainer(self, reference: str = "my_model:MyModel", **options: Any) -> PythonTrainer:
        return PythonTrainer(PythonConfig(**{"class": reference, **options}), make_context(self.project))

    def fit(
        self,
        source: str = "",
        params: dict[str, Any] | None = None,
        *,
        reference: str = "my_model:MyModel",
        kind: TaskKind = TaskKind.REGRESSION,
        rows: TrainingData | None = None,
        valid: TrainingData | None = None,
        **options: Any,
    ) -> FittedModel:
        if source:
            self.write(source)
        task = Task(kind=kind, signature=SIGNATURE)
        rows = rows or Homes.make(200, seed=1).data(kind, "columns")
        return self.trainer(reference, **options).fit(task, rows, valid, params or {}, seed=3, threads=1)

    def save(self, fitted: FittedModel, task: str = "regression", **more: Any) -> Path:
        self._saved += 1
        folder = self.project.parent / f"model-{self._saved}"
        folder.mkdir()
        fitted.save(folder)
        files = describe_files(folder)
        Manifest(flavour=fitted.flavour, files=files, signature=SIGNATURE, task=task, **more).write(folder)
        return folder

    def load(self, folder: Path) -> Predictor:
        return PythonFormat(PythonFormatConfig(), make_context(self.project)).load(folder, Manifest.read(folder))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def columns() -> Callable[..., dict[str, Any]]:
    return lambda rows=30, seed=2, **more: Homes.make(rows, seed=seed, **more).inputs("columns")
