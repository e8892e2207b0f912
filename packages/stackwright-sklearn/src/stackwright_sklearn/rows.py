"""What estimators without a code for missing values refuse."""

from __future__ import annotations

import numpy as np

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.trainer import Task, TrainingData


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
