"""Whether rows can be fitted at all; LightGBM itself would take many that make no sense."""

from __future__ import annotations

from typing import Final

import numpy as np

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
from stackwright_numerics import training_rows

_GRADES: Final = 31
"""LightGBM's lambdarank knows gains for so many grades of relevance."""


def check_rows(task: Task, data: TrainingData, where: str, *, whole: bool = True) -> None:
    """Check shapes and values, and that the relevance of rankings is graded.

    Args:
        where: what the error calls the rows.
        whole: whether these are all rows; some of them may be of one class alone, or weigh nothing.

    Raises:
        TrainingError: there are no rows, columns of different lengths, or values that the task does not allow.
    """
    training_rows.check_rows(task, data, where, quantiles=True, whole=whole)
    if task.kind is TaskKind.RANKING:
        target = np.asarray(data.target, dtype=np.float64)
        if (target != np.clip(np.round(target), 0, _GRADES - 1)).any():
            found = "a grade of relevance that is no whole number from 0 to 30"
            raise TrainingError(where, found, "Turn the target into grades.")
