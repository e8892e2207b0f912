"""Whether rows can be fitted at all; many a library would take rows that make no sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData


def check_rows(task: Task, data: TrainingData, where: str, *, quantiles: bool = False, whole: bool = True) -> None:
    """Check shapes and values.

    Args:
        task: what is fitted.
        data: the rows; their inputs are a matrix of n × inputs, or arrays of n by the names of inputs.
        where: what the error calls the rows.
        quantiles: whether the trainer answers quantiles.
        whole: whether these are all rows; some of them may be of one class alone, or weigh nothing.

    Raises:
        TrainingError: there are no rows, columns of different lengths, or values that the task does not allow; or
            quantiles are asked for that the trainer or the task does not have.
    """
    if task.quantiles and not (quantiles and task.kind is TaskKind.REGRESSION):
        todo = 'Leave quantiles out, or use the trainer "lightgbm" for a regression.'
        raise TrainingError("quantiles", f"there are none of this trainer's {task.kind.value}", todo)
    rows = _columns(task, data.inputs, where) if isinstance(data.inputs, Mapping) else _matrix(task, data.inputs, where)
    if not rows:
        raise TrainingError(where, "there are none", "Train on a longer span, or check the filters.")
    target = finite_column(where, "target", data.target, rows)
    _check_target(task.kind, target, where)
    if whole and task.kind is TaskKind.CLASSIFICATION:
        check_classes(np.unique(target), where)
    if data.weight is not None:
        weight = finite_column(where, "weight", data.weight, rows)
        if (weight < 0).any() or (whole and not weight.any()):
            raise unweighted(where)
    if task.kind is TaskKind.RANKING:
        _check_groups(data.group, rows, where)
        if data.position is not None:
            finite_column(where, "position", data.position, rows)
    if task.kind is TaskKind.TIME_TO_EVENT and data.event is not None:
        finite_column(where, "event", data.event, rows)


def check_classes(classes: NDArray[np.float64], where: str) -> None:
    """Check that there are both classes.

    Args:
        classes: those that were seen.

    Raises:
        TrainingError: there is one alone.
    """
    if classes.size == 1:
        raise TrainingError(where, f"every target is {classes[0]:g}", "Train on rows of both classes.")


def unweighted(where: str) -> TrainingError:
    """Return the error of weights by which nothing can be learned."""
    return TrainingError(where, "weights that are negative or all zero", "Weights are positive.")


def finite_column(where: str, name: str, values: Any, rows: int) -> NDArray[np.float64]:
    """Return values, one a row, as float64.

    Raises:
        TrainingError: there are more or fewer, or one is not finite.
    """
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (rows,):
        raise TrainingError(where, f"{name} of shape {column.shape} for {rows} rows", f"Give one {name} a row.")
    bad = np.flatnonzero(~np.isfinite(column))
    if bad.size:
        found = f"{name} is {column[bad[0]]} in row {bad[0]} ({bad.size} of {rows} rows are not finite)"
        raise TrainingError(where, found, "Leave these rows out.")
    return column


def _matrix(task: Task, inputs: Any, where: str) -> int:
    width = len(task.signature.inputs)
    matrix = np.asarray(inputs)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        found = f"inputs of shape {matrix.shape}, the signature has {width}"
        raise TrainingError(where, found, "Give a float64 matrix of rows × inputs.")
    return len(matrix)


def _columns(task: Task, inputs: Mapping[str, Any], where: str) -> int:
    lengths = {field.name: len(inputs[field.name]) for field in task.signature.inputs if field.name in inputs}
    count = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != count:
            found = f"column {name!r} of {length} rows among {count}"
            raise TrainingError(where, found, "Give columns of one length.")
    return count


def _check_target(kind: TaskKind, target: NDArray[np.float64], where: str) -> None:
    if kind in (TaskKind.RANKING, TaskKind.TIME_TO_EVENT) and (target < 0).any():
        row = int(np.flatnonzero(target < 0)[0])
        what = "relevance" if kind is TaskKind.RANKING else "duration"
        raise TrainingError(where, f"a {what} of {target[row]:g} in row {row}", "Give none below 0.")
    if kind is TaskKind.CLASSIFICATION:
        classes = np.unique(target)
        if not np.isin(classes, (0.0, 1.0)).all():
            found = f"a target of {classes[~np.isin(classes, (0.0, 1.0))][0]:g}"
            raise TrainingError(where, found, "Classification takes targets of 0 and 1.")


def _check_groups(group: Any, rows: int, where: str) -> None:
    if group is None:
        raise TrainingError(where, "no groups", "Ranking needs the sizes of the consecutive query groups.")
    sizes = np.asarray(group)
    if (sizes <= 0).any() or int(sizes.sum()) != rows:
        found = f"groups of {int(sizes.sum())} rows in all, the data has {rows}"
        raise TrainingError(where, found, "Give positive sizes that add up to the rows.")
