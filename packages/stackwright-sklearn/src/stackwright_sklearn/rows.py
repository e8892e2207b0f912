"""Whether rows can be fitted at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData


def check_rows(task: Task, data: TrainingData, where: str) -> None:
    """Check shapes and values.

    Args:
        where: what the error calls the rows.

    Raises:
        TrainingError: there are no rows, columns of different lengths, or values that the task does not allow.
    """
    width = len(task.signature.inputs)
    matrix = np.asarray(data.inputs)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        found = f"inputs of shape {matrix.shape}, the signature has {width}"
        raise TrainingError(where, found, "Give a float64 matrix of rows × inputs.")
    if not len(matrix):
        raise TrainingError(where, "there are none", "Train on a longer span, or check the filters.")
    _check_columns(task, data, len(matrix), where)


def check_columns(task: Task, data: TrainingData, where: str) -> None:
    """Check rows whose inputs are arrays by name.

    Raises:
        As :func:`check_rows`.
    """
    lengths = {len(data.inputs[field.name]) for field in task.signature.inputs if field.name in data.inputs}
    if len(lengths) != 1 or lengths == {0}:
        raise TrainingError(where, f"columns of {sorted(lengths)} rows", "Give columns of one length, with rows.")
    _check_columns(task, data, lengths.pop(), where)


def _check_columns(task: Task, data: TrainingData, rows: int, where: str) -> None:
    _check_target(task.kind, _column(where, "target", data.target, rows), where)
    if data.weight is not None:
        weight = _column(where, "weight", data.weight, rows)
        if (weight < 0).any() or not weight.any():
            raise TrainingError(where, "weights that are negative or all zero", "Weights are positive.")


def refuse_infinite(task: Task, data: TrainingData, where: str) -> None:
    """Check that inputs are finite or missing.

    Raises:
        TrainingError: one is infinite.
    """
    endless = np.argwhere(np.isinf(np.asarray(data.inputs)))
    if endless.size:
        row, place = endless[0]
        found = f"{task.signature.inputs[place].name} is infinite in row {row}, which this estimator does not take"
        raise TrainingError(where, found, "Leave these values missing.")


def _column(where: str, name: str, values: Any, rows: int) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (rows,):
        raise TrainingError(where, f"{name} of shape {column.shape} for {rows} rows", f"Give one {name} a row.")
    bad = np.flatnonzero(~np.isfinite(column))
    if bad.size:
        found = f"{name} is {column[bad[0]]} in row {bad[0]} ({bad.size} of {rows} rows are not finite)"
        raise TrainingError(where, found, "Leave these rows out.")
    return column


def _check_target(kind: TaskKind, target: NDArray[np.float64], where: str) -> None:
    if kind is TaskKind.CLASSIFICATION:
        classes = np.unique(target)
        if not np.isin(classes, (0.0, 1.0)).all():
            found = f"a target of {classes[~np.isin(classes, (0.0, 1.0))][0]:g}"
            raise TrainingError(where, found, "Classification takes targets of 0 and 1.")
        if classes.size == 1:
            raise TrainingError(where, f"every target is {classes[0]:g}", "Train on rows of both classes.")
