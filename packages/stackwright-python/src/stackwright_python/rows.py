"""Rows as a user's class takes them, and whether they can be fitted at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, PredictionError, TrainingError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
from stackwright_numerics.categories import MatrixEncoder


class Shape:
    """Turns model columns into what a class takes.

    Args:
        signature: the inputs, in order, with their categories.
        form: ``"pandas"``: a DataFrame, numbers and booleans as float64 with NaN where missing, everything else as
            objects with ``None``. ``"numpy"``: a float64 matrix, categories as their codes, an unknown one as the
            number of categories, NaN where missing.
    """

    def __init__(self, signature: Signature, form: Literal["pandas", "numpy"]) -> None:
        self._names = [field.name for field in signature.inputs]
        self._encode = MatrixEncoder(signature) if form == "numpy" else None

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """Return n rows.

        Raises:
            PredictionError: a column is missing, or of another length or type.
        """
        missing = [name for name in self._names if name not in columns]
        if missing:
            raise PredictionError("model input", f"column {missing[0]!r} is missing", "Give every input.")
        try:
            if self._encode is not None:
                return self._encode(columns)
            return pd.DataFrame({name: _series(columns[name]) for name in self._names}, columns=self._names)
        except (DataError, ValueError, TypeError) as error:
            raise PredictionError("model input", str(error), "Give one value a row in every column.") from error


def _series(values: Any) -> pd.Series:
    array = np.array(values)
    return pd.Series(array, dtype=object if array.dtype == object else None)


def check_rows(task: Task, data: TrainingData, where: str) -> None:
    """Check lengths and values.

    Args:
        where: what the error calls the rows.

    Raises:
        TrainingError: there are no rows, columns of different lengths, or values that the task does not allow.
    """
    lengths = {name: len(column) for name, column in data.inputs.items()}
    count = next(iter(lengths.values()), 0)
    other = next((name for name, length in lengths.items() if length != count), None)
    if other is not None:
        raise TrainingError(
            where, f"column {other!r} of {lengths[other]} rows among {count}", "Give columns of one length."
        )
    if not count:
        raise TrainingError(where, "there are none", "Train on a longer span, or check the filters.")
    _check_target(task.kind, _column(where, "target", data.target, count), where)
    if data.weight is not None:
        weight = _column(where, "weight", data.weight, count)
        if (weight < 0).any() or not weight.any():
            raise TrainingError(where, "weights that are negative or all zero", "Weights are positive.")
    if task.kind is TaskKind.RANKING:
        _check_groups(data.group, count, where)
        if data.position is not None:
            _column(where, "position", data.position, count)
    seen = None if data.event is None else _column(where, "event", data.event, count)
    if task.kind is TaskKind.TIME_TO_EVENT and seen is not None and not seen.any():
        raise TrainingError(where, "no event was seen in any row", "Train when some have come.")


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
    if kind in (TaskKind.RANKING, TaskKind.TIME_TO_EVENT) and (target < 0).any():
        row = int(np.flatnonzero(target < 0)[0])
        what = "relevance" if kind is TaskKind.RANKING else "duration"
        raise TrainingError(where, f"a {what} of {target[row]:g} in row {row}", "Give none below 0.")
    if kind is TaskKind.CLASSIFICATION:
        classes = np.unique(target)
        if not np.isin(classes, (0.0, 1.0)).all():
            found = f"a target of {classes[~np.isin(classes, (0.0, 1.0))][0]:g}"
            raise TrainingError(where, found, "Classification takes targets of 0 and 1.")
        if classes.size == 1:
            raise TrainingError(where, f"every target is {classes[0]:g}", "Train on rows of both classes.")


def _check_groups(group: Any, rows: int, where: str) -> None:
    sizes = np.asarray([] if group is None else group)
    if not sizes.size or (sizes <= 0).any() or int(sizes.sum()) != rows:
        found = f"groups of {int(sizes.sum())} rows in all, the data has {rows}"
        raise TrainingError(where, found, "Ranking needs the sizes of the consecutive query groups.")
