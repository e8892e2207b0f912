"""A class as a project has one, in numpy alone: what the conformance kit lets the trainer run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Nearest:
    """The mean over the nearest rows."""

    takes: ClassVar[str] = "numpy"

    def get_parameters(self) -> dict[str, Any]:
        """Return what can be tuned."""
        return {"count": {"low": 1, "high": 25, "default": 5, "log": True}, "scaled": [True, False]}

    def train(
        self,
        inputs: Numbers,
        target: Numbers,
        params: Mapping[str, Any],
        weight: Numbers | None,
        event: NDArray[np.bool_] | None,
        horizons: Sequence[float],
    ) -> Nearest:
        """Keep the rows; one that still waits is taken for one that waits as long as those which waited longer."""
        if event is not None:
            later = [target[event & (target > limit)] for limit in target]
            waited = [rows.mean() if rows.size else limit for rows, limit in zip(later, target, strict=True)]
            target = np.where(event, target, waited)
        if horizons:
            target = np.column_stack([target, *(target <= limit for limit in horizons)]).astype(float)
        self.params = params
        self.middle = np.nanmean(inputs, axis=0)
        self.spread = np.maximum(np.nanstd(inputs, axis=0), 1e-9) if params["scaled"] else np.ones(inputs.shape[1])
        self.rows, self.target = self.scale(inputs), target
        self.weight = np.ones(len(target)) if weight is None else weight
        return self

    def scale(self, inputs: Numbers) -> Numbers:
        """Return inputs as distances from the middle, which stands for what is missing."""
        scaled: Numbers = (np.where(np.isnan(inputs), self.middle, inputs) - self.middle) / self.spread
        return scaled

    def predict(self, inputs: Numbers) -> Numbers:
        """Return the mean over the nearest rows of each row."""
        answers = []
        for row in self.scale(inputs):
            distance = ((self.rows - row) ** 2).sum(axis=1)
            count = min(self.params["count"], len(distance))
            near = distance <= np.partition(distance, count - 1)[count - 1]
            answers.append(np.average(self.target[near], axis=0, weights=self.weight[near]))
        return np.array(answers)
