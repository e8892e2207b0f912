"""Models that a good one must beat.

Inputs are the float64 matrix of the scorer: codes for categories, NaN for missing values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_numerics.metrics import weighted_mean, weighted_quantile

Floats = NDArray[np.float64]
TaskName = Literal["regression", "classification"]

_CELLS: Final = 4_000_000
_STEPS: Final = 25
_NEVER: Final = 1e-6


class Dummy:
    """The median of the target (the mean, for classification), of all rows or of each group.

    Args:
        task: ``"regression"`` or ``"classification"``.
        group: column of the matrix that holds the groups' codes, or ``None``.
        minimum: rows below which a group is answered like all rows.
    """

    def __init__(self, task: TaskName = "regression", *, group: int | None = None, minimum: int = 5) -> None:
        self.task = task
        self.group = group
        self.minimum = minimum

    def fit(self, matrix: Floats, target: Floats, weight: Floats | None = None) -> Self:
        """Fit to n × d inputs and n targets.

        Raises:
            TrainingError: there are no rows.
        """
        if not target.size:
            raise TrainingError("baseline", "no rows", "Widen the training window.")
        self.overall_ = self._middle(target, weight)
        self.groups_: dict[float, float] = {}
        if self.group is not None:
            codes = matrix[:, self.group]
            order = np.argsort(codes, kind="stable")
            values, starts = np.unique(codes[order], return_index=True)
            for value, rows in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
                if rows.size >= self.minimum and value == value:
                    self.groups_[value] = self._middle(target[rows], None if weight is None else weight[rows])
        return self

    def predict(self, matrix: Floats) -> Floats:
        """Return n answers."""
        answer = np.full(len(matrix), self.overall_)
        if self.group is not None and self.groups_:
            known = np.fromiter(self.groups_, dtype=np.float64)
            values = np.fromiter(self.groups_.values(), dtype=np.float64)
            place = np.minimum(np.searchsorted(known, matrix[:, self.group]), known.size - 1)
            found = known[place] == matrix[:, self.group]
            answer[found] = values[place[found]]
        return answer

    def _middle(self, target: Floats, weight: Floats | None) -> float:
        return (
            weighted_mean(target, weight) if self.task == "classification" else weighted_quantile(target, 0.5, weight)
        )


class Linear:
    """Ridge regression, or ridge logistic regression, on standardised inputs (Hoerl and Kennard 1970).

    Numbers are standardised, missing ones take the median and set a flag; each code of a category is a column. It
    minimises ``sum w (y - b - x'a)^2 + alpha sum(w) / n |a|^2``, for classification the logistic loss instead, by
    Newton's method.

    Args:
        task: ``"regression"`` or ``"classification"`` (targets 0 and 1).
        categorical: columns of the matrix that hold codes. A code that was not fitted sets no column.
        alpha: strength of the penalty, in rows.
    """

    def __init__(self, task: TaskName = "regression", *, categorical: Collection[int] = (), alpha: float = 1.0) -> None:
        self.task = task
        self.categorical = frozenset(categorical)
        self.alpha = alpha

    def fit(self, matrix: Floats, target: Floats, weight: Floats | None = None) -> Self:
        """Fit to n × d inputs and n targets.

        Raises:
            TrainingError: there are no rows, or the target is not finite.
        """
        if not target.size or not np.isfinite(target).all():
            raise TrainingError("baseline", "no rows, or a target that is not finite", "Leave such rows out.")
        weights = np.ones(len(matrix)) if weight is None else weight
        self._prepare(matrix)
        width = self._expand(matrix[:1]).shape[1]
        self.coefficients_ = np.zeros(width)
        start = float(np.average(target, weights=weights))
        if self.task == "regression":
            self.coefficients_[0] = start
            self.coefficients_ += self._step(matrix, target, weights)
            return self
        share = min(max(start, _NEVER), 1 - _NEVER)
        self.coefficients_[0] = np.log(share / (1 - share))
        for _ in range(_STEPS):
            step = self._step(matrix, target, weights)
            self.coefficients_ += step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-300))
            if np.abs(step).max() < 1e-8:
                break
        return self

    def predict(self, matrix: Floats) -> Floats:
        """Return n answers; for classification the probability of 1."""
        linear = np.empty(len(matrix))
        for rows in self._blocks(len(matrix)):
            linear[rows] = self._expand(matrix[rows]) @ self.coefficients_
        return self._answer(linear)

    def _answer(self, linear: Floats) -> Floats:
        return linear if self.task == "regression" else 1 / (1 + np.exp(-np.clip(linear, -700, 700)))

    def _step(self, matrix: Floats, target: Floats, weight: Floats) -> Floats:
        """Return Newton's step from the present coefficients; for regression it leads to the solution."""
        width = self.coefficients_.size
        gram, slope = np.zeros((width, width)), np.zeros(width)
        for rows in self._blocks(len(matrix)):
            columns = self._expand(matrix[rows])
            answer = self._answer(columns @ self.coefficients_)
            curve = weight[rows] * (answer * (1 - answer) if self.task == "classification" else 1.0)
            gram += columns.T @ (columns * curve[:, None])
            slope += columns.T @ (weight[rows] * (target[rows] - answer))
        penalty = np.full(width, self.alpha * float(weight.mean()))
        penalty[0] = _NEVER * float(weight.mean())
        slope[1:] -= penalty[1:] * self.coefficients_[1:]
        return np.asarray(np.linalg.solve(gram + np.diag(penalty), slope), dtype=np.float64)

    def _blocks(self, rows: int) -> Iterator[slice]:
        """Give parts of the rows whose expanded columns fit into memory."""
        size = max(1, _CELLS // self.coefficients_.size)
        return (slice(begin, begin + size) for begin in range(0, rows, size))

    def _prepare(self, matrix: Floats) -> None:
        self._numbers: list[tuple[int, float, float, float, bool]] = []
        self._codes: list[tuple[int, int]] = []
        for place in range(matrix.shape[1]):
            values = matrix[:, place]
            known = values[np.isfinite(values)]
            if place in self.categorical:
                self._codes.append((place, int(known.max()) + 1 if known.size else 0))
            elif known.size:
                spread = float(known.std())
                gaps = bool(known.size < values.size)
                self._numbers.append((place, float(np.median(known)), float(known.mean()), spread or 1.0, gaps))

    def _expand(self, matrix: Floats) -> Floats:
        """Return the columns of the linear model: one of ones, numbers and their flags, then codes."""
        columns: list[Any] = [np.ones(len(matrix))]
        for place, median, mean, spread, gaps in self._numbers:
            values = matrix[:, place]
            missing = ~np.isfinite(values)
            columns.append((np.where(missing, median, values) - mean) / spread)
            if gaps:
                columns.append(missing.astype(np.float64))
        for place, count in self._codes:
            columns.append((matrix[:, place, None] == np.arange(count)).astype(np.float64))
        return np.column_stack(columns)
