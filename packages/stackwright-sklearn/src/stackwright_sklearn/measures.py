"""What a fit measures."""

from __future__ import annotations

from stackwright_interfaces.model import Predictor
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
from stackwright_numerics import metrics


def measure(predictor: Predictor, task: Task, train: TrainingData, valid: TrainingData | None) -> dict[str, float]:
    """Return the errors on the training rows and the validation rows."""
    found: dict[str, float] = {}
    for name, rows in (("train", train), ("valid", valid)):
        if rows is not None:
            answer = predictor.predict(rows.inputs)
            if task.kind is TaskKind.CLASSIFICATION:
                found[f"{name}_log_loss"] = metrics.log_loss(rows.target, answer, rows.weight)
            else:
                found[f"{name}_mae"] = metrics.mae(rows.target, answer, rows.weight)
                found[f"{name}_rmse"] = metrics.rmse(rows.target, answer, rows.weight)
    return found
