"""Brings in a model that was trained elsewhere: nothing is fitted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    StopFit,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
)
from stackwright_numerics import metrics
from stackwright_onnx.format import OUTPUTS, PAYLOAD, OnnxFormat, load
from stackwright_onnx.plugin import OnnxConfig


class OnnxModel(FittedModel):
    """An imported model."""

    flavour: ClassVar[str] = OnnxFormat.flavour

    def __init__(self, content: bytes, outputs: Sequence[str], task: Task, where: str) -> None:
        self._content = content
        self._outputs = list(outputs)
        self._task = task
        self._where = where
        self.parameters: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}

    def predictor(self) -> Predictor:
        """Return a predictor over the model."""
        return load(self._content, self._task.signature, self._outputs, self._task.kind.value, self._where)

    def save(self, folder: Path) -> None:
        """Write ``model.onnx``, and ``outputs.json`` where outputs were named."""
        (folder / PAYLOAD).write_bytes(self._content)
        if self._outputs:
            (folder / OUTPUTS).write_text(json.dumps(self._outputs) + "\n", encoding="utf-8")


class OnnxTrainer(Trainer):
    """Takes a file instead of fitting. The rows serve to check it and to measure."""

    input = "columns"

    def __init__(self, config: OnnxConfig, context: Context) -> None:
        del context
        self._config = config

    def code(self) -> Mapping[str, str]:
        """Return the file's name → its SHA-256: what a fit depends on besides data and options.

        Raises:
            TrainingError: the file cannot be read.
        """
        return {self._config.file.name: hashlib.sha256(self._content()).hexdigest()}

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return nothing: there is nothing to tune."""
        del task
        return {}

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Read the model, check it against the signature, and measure it on the rows.

        Args:
            params: there are none.
            report: told once.

        Raises:
            TrainingError: the file cannot be read, or does not fit the signature, the task or the rows.
        """
        del seed, threads
        if task.kind not in (TaskKind.REGRESSION, TaskKind.CLASSIFICATION):
            todo = "Publish it as a regression: its scores are served alike."
            raise TrainingError("trainer onnx", f"it does no {task.kind.value}", todo)
        if task.quantiles:
            raise TrainingError("trainer onnx", "it answers no quantiles", "Leave quantiles out.")
        for name in params:
            raise TrainingError(f"parameter {name!r}", "an imported model has no parameters", "Leave it out.")
        content = self._content()
        where = self._config.file.name
        try:
            fitted = OnnxModel(content, self._config.outputs, task, where)
            predictor = fitted.predictor()
        except ArtifactError as error:
            raise TrainingError(error.where, error.found, error.todo) from error
        for name, rows in (("train", train), ("valid", valid)):
            if rows is not None:
                fitted.metrics |= _measure(name, predictor, task, rows)
        predictor.close()
        if report is not None:
            with suppress(StopFit):
                report(1, 1, fitted.metrics)
        return fitted

    def _content(self) -> bytes:
        path = self._config.file
        try:
            return path.read_bytes()
        except OSError as error:
            todo = "Name the ONNX model by its path in the project: file = ..."
            raise TrainingError(str(path), f"cannot be read ({error.strerror})", todo) from error


def _measure(name: str, predictor: Predictor, task: Task, rows: TrainingData) -> dict[str, float]:
    where = "training rows" if name == "train" else "validation rows"
    target = _checked(where, "target", rows.target)
    if any(len(column) != len(target) for column in rows.inputs.values()):
        raise TrainingError(where, f"{len(target)} targets for rows of another number", "Give one a row.")
    if task.kind is TaskKind.CLASSIFICATION and set(np.unique(target)) != {0.0, 1.0}:
        raise TrainingError(where, "targets that are not 0 and 1, both", "Give rows of both classes.")
    try:
        answer = predictor.predict(rows.inputs)
    except PredictionError as error:
        raise TrainingError(error.where, error.found, error.todo) from error
    bad = np.flatnonzero(~np.isfinite(answer.reshape(len(target), -1)).all(axis=1))
    if bad.size:
        found = f"the model gives {answer[bad[0]]} for row {bad[0]} ({bad.size} of {len(target)} rows)"
        raise TrainingError(where, found, "Export a model that takes missing values, or give the features defaults.")
    first = answer if answer.ndim == 1 else answer[:, 0]
    if task.kind is TaskKind.CLASSIFICATION:
        if ((first < 0) | (first > 1)).any():
            raise TrainingError(where, "the model gives no probabilities", "Name the output that does: outputs = [...]")
        return {f"{name}_log_loss": metrics.log_loss(target, first, rows.weight)}
    return {
        f"{name}_mae": metrics.mae(target, first, rows.weight),
        f"{name}_rmse": metrics.rmse(target, first, rows.weight),
    }


def _checked(where: str, name: str, values: Any) -> Any:
    column = np.asarray(values, dtype=np.float64)
    if not column.size:
        raise TrainingError(where, "there are none", "Bring labelled rows to measure the model on.")
    if not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise TrainingError(where, f"{name} is {column[row]} in row {row}", "Leave these rows out.")
    return column
