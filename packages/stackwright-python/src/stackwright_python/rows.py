"""Rows as a user's class takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

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


def check_seen(task: Task, data: TrainingData, where: str) -> None:
    """Check that times to an event hold an event.

    Raises:
        TrainingError: none was seen.
    """
    if task.kind is TaskKind.TIME_TO_EVENT and data.event is not None and not np.any(data.event):
        raise TrainingError(where, "no event was seen in any row", "Train when some have come.")
