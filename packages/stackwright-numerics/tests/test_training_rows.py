"""Rows that cannot be fitted, whoever fits them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_numerics.training_rows import check_rows

SIGNATURE = Signature(inputs=(Field("area", FLOAT64), Field("rooms", FLOAT64)), outputs=(Field("price", FLOAT64),))
MATRIX = np.arange(8.0).reshape(4, 2)
COLUMNS = {"area": MATRIX[:, 0], "rooms": MATRIX[:, 1]}
RIGHT = {
    TaskKind.REGRESSION: TrainingData(inputs=MATRIX, target=np.arange(4.0)),
    TaskKind.CLASSIFICATION: TrainingData(inputs=MATRIX, target=np.array([0.0, 1.0, 1.0, 0.0])),
    TaskKind.RANKING: TrainingData(inputs=MATRIX, target=np.array([0.0, 2.0, 0.5, 1.0]), group=np.array([1, 3])),
    TaskKind.TIME_TO_EVENT: TrainingData(inputs=MATRIX, target=np.arange(4.0), event=np.array([1, 0, 0, 1], np.bool_)),
}


def check(kind: TaskKind, **other: Any) -> None:
    check_rows(Task(kind=kind, signature=SIGNATURE), replace(RIGHT[kind], **other), "training rows")


@pytest.mark.parametrize("inputs", [MATRIX, COLUMNS], ids=["matrix", "columns"])
@pytest.mark.parametrize("kind", TaskKind)
def test_rows_that_are_right_are_taken(kind: TaskKind, inputs: Any) -> None:
    check(kind, inputs=inputs)
    check(kind, inputs=inputs, weight=np.array([0.0, 1.0, 2.0, 0.0]))


def test_missing_inputs_are_none_of_its_business() -> None:
    check(TaskKind.REGRESSION, inputs=np.full((4, 2), np.nan))
    check(TaskKind.REGRESSION, inputs={"rooms": MATRIX[:, 1]})


@pytest.mark.parametrize(
    ("kind", "other", "told"),
    [
        ("regression", {"inputs": MATRIX[:, 0]}, r"inputs of shape \(4,\), the signature has 2"),
        ("regression", {"inputs": MATRIX[:, :1]}, r"inputs of shape \(4, 1\), the signature has 2"),
        ("regression", {"inputs": MATRIX[:0], "target": np.empty(0)}, "there are none"),
        ("regression", {"inputs": {}}, "there are none"),
        ("regression", {"inputs": {**COLUMNS, "rooms": [1.0]}}, "column 'rooms' of 1 rows among 4"),
        ("regression", {"target": np.arange(3.0)}, r"target of shape \(3,\) for 4 rows"),
        ("regression", {"target": np.array([0, np.nan, np.inf, 1])}, r"target is nan in row 1 \(2 of 4 rows"),
        ("regression", {"weight": np.array([1.0, 1.0, 1.0])}, r"weight of shape \(3,\) for 4 rows"),
        ("regression", {"weight": np.array([1.0, -1.0, 1.0, 1.0])}, "weights that are negative"),
        ("regression", {"weight": np.zeros(4)}, "all zero"),
        ("classification", {"target": np.array([0.0, 2.0, 1.0, 0.0])}, "a target of 2"),
        ("classification", {"target": np.ones(4)}, "every target is 1"),
        ("ranking", {"target": np.array([0.0, 1.0, -1.0, 0.0])}, "a relevance of -1 in row 2"),
        ("ranking", {"group": None}, "sizes of the consecutive query groups"),
        ("ranking", {"group": np.array([1, 2])}, "groups of 3 rows in all, the data has 4"),
        ("ranking", {"group": np.array([5, -1])}, "positive sizes"),
        ("ranking", {"position": np.array([1, 2])}, r"position of shape \(2,\)"),
        ("time_to_event", {"target": np.array([0.0, 1.0, -1.0, 0.0])}, "a duration of -1 in row 2"),
        ("time_to_event", {"event": np.ones(3, np.bool_)}, r"event of shape \(3,\)"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(kind: str, other: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainingError, match=rf"training rows: .*{told}"):
        check(TaskKind(kind), **other)
