"""Whether rows can be fitted at all; LightGBM itself would take many that make no sense."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData

_GRADES: Final = 31
"""LightGBM's lambdarank knows gains for so many grades of relevance."""


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
    _check_target(task.kind, _column(where, "target", data.target, len(matrix)), where)
    if data.weight is not None:
        weight = _column(where, "weight", data.weight, len(matrix))
        if (weight < 0).any() or not weight.any():
            raise TrainingError(where, "weights that are negative or all zero", "Weights are positive.")
    if task.kind is TaskKind.RANKING:
        _check_groups(data.group, len(matrix), where)
        if data.position is not None:
            _column(where, "position", data.position, len(matrix))
    if task.kind is TaskKind.TIME_TO_EVENT and data.event is not None:
        _column(where, "event", data.event, len(matrix))


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
    if kind is TaskKind.TIME_TO_EVENT and (target < 0).any():
        row = int(np.flatnonzero(target < 0)[0])
        raise TrainingError(where, f"a duration of {target[row]:g} in row {row}", "Leave rows out that ended first.")
    if kind is TaskKind.RANKING and (target != np.clip(np.round(target), 0, _GRADES - 1)).any():
        found = "a grade of relevance that is no whole number from 0 to 30"
        raise TrainingError(where, found, "Turn the target into grades.")


def _check_groups(group: Any, rows: int, where: str) -> None:
    if group is None:
        raise TrainingError(where, "no groups", "Ranking needs the sizes of the consecutive query groups.")
    sizes = np.asarray(group)
    if (sizes <= 0).any() or int(sizes.sum()) != rows:
        found = f"groups of {int(sizes.sum())} rows in all, the data has {rows}"
        raise TrainingError(where, found, "Give positive sizes that add up to the rows.")
