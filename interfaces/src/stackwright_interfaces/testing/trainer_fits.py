"""What the kits of trainers share: rows, fits, and how a fitted model is saved and asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from stackwright_interfaces.model import Manifest, ModelFormat, Predictor, Signature, describe_files
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.testing.adapters import AdapterCases, load_factory
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Report, Task, TaskKind, Trainer, TrainingData
from stackwright_interfaces.types import FLOAT64, Field

TRAIN: Final = Homes.make(400, seed=1)
"""Rows to fit on."""

TEST: Final = Homes.make(200, seed=2)
"""Rows to judge by."""

STRANGE: Final = Homes.make(200, seed=3, missing=0.3, unknown=True)
"""Rows with many missing values and with a category that no training row has."""


class Fitting(AdapterCases):
    """What the cases share."""

    format_spec: ClassVar[AdapterSpec]
    quick: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def trainer(self, tmp_path: Path) -> Iterator[Trainer]:
        """The trainer under test."""
        built: Trainer = self.build(tmp_path)
        yield built
        built.close()

    @pytest.fixture
    def model_format(self, tmp_path: Path) -> ModelFormat:
        """The format of the flavour that the trainer saves."""
        built: ModelFormat = load_factory(self.format_spec)(self.format_spec.config(), make_context(tmp_path))
        return built

    def fit(
        self,
        trainer: Trainer,
        rows: Homes | TrainingData = TRAIN,
        params: Mapping[str, Any] | None = None,
        *,
        kind: TaskKind = TaskKind.REGRESSION,
        valid: Homes | None = None,
        seed: int = 7,
        report: Report | None = None,
        horizons: tuple[float, ...] = (),
        quantiles: tuple[float, ...] = (),
    ) -> FittedModel:
        """Fit quickly."""
        return trainer.fit(
            Task(kind=kind, signature=signature_with(horizons, quantiles), horizons=horizons, quantiles=quantiles),
            rows.data(kind, trainer.input) if isinstance(rows, Homes) else rows,
            None if valid is None else valid.data(kind, trainer.input),
            {**self.quick, **(params or {})},
            seed=seed,
            threads=1,
            report=report,
        )


def predict(predictor: Predictor, rows: Homes) -> NDArray[np.float64]:
    """Predict rows in the form that the predictor asks for."""
    return np.asarray(predictor.predict(rows.inputs(predictor.input)))


def signature_with(horizons: tuple[float, ...] = (), quantiles: tuple[float, ...] = ()) -> Signature:
    """Return the signature of the homes, with one more output for each horizon, or each quantile."""
    names = [*(f"within_{horizon:g}" for horizon in horizons), *(f"quantile_{100 * share:g}" for share in quantiles)]
    further = tuple(Field(name.replace(".", "_"), FLOAT64) for name in names)
    return replace(SIGNATURE, outputs=(*SIGNATURE.outputs, *further))


def save(
    fitted: FittedModel,
    folder: Path,
    kind: TaskKind = TaskKind.REGRESSION,
    signature: Signature = SIGNATURE,
) -> Manifest:
    """Save into a new folder, with its manifest."""
    folder.mkdir()
    fitted.save(folder)
    files = describe_files(folder)
    manifest = Manifest(flavour=fitted.flavour, files=files, signature=signature, task=kind.value)
    manifest.write(folder)
    return manifest
