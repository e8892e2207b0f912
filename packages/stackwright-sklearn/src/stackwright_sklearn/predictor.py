"""Predicts with a fitted model: a row gets the same bits whatever rows come with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import Predictor, Signature
from stackwright_sklearn.payload import Payload, steps
from stackwright_sklearn.threads import native_threads

Floats = NDArray[np.float64]

_BY_ROW: Final = (
    *("sklearn.tree.", "sklearn.ensemble._forest.", "sklearn.ensemble._gb."),
    *("sklearn.ensemble._hist_gradient_boosting.", "sklearn.dummy."),
)
"""Modules whose estimators predict row by row. Others multiply matrices, and how a row's products are summed up may
depend on how many rows there are and on the row's place among them."""

_BLOCK: Final = 32
"""Rows that are multiplied at a time, always so many: one row costs little more, many are still fast."""


class SklearnPredictor(Predictor):
    """Predicts on one thread.

    Args:
        payload: what to predict with; shared, never changed.
        where: what an error calls the model.
    """

    input = "matrix"

    def __init__(self, payload: Payload, where: str = "scikit-learn model") -> None:
        from sklearn.base import is_classifier

        self._inputs = payload.inputs
        self._where = where
        self._model = payload.model
        *self._preparing, self._estimator = steps(payload.model)
        self._one: int | None = None
        if is_classifier(self._estimator):
            self._one = list(self._estimator.classes_).index(1)
        self._block = self._rows_at_a_time()

    def _rows_at_a_time(self) -> int:
        """Return 0 for any number, the block where a row's place in it makes no difference, and else 1."""
        module = type(self._estimator).__module__ + "."
        if module.startswith(_BY_ROW):
            return 0
        rows = np.random.default_rng(0).normal(size=(_BLOCK, len(self._inputs)))
        with native_threads().limit(limits=1), np.errstate(all="ignore"):
            here, there = (self._answer(self._prepared(np.roll(rows, shift, axis=0))) for shift in (0, 1))
        return _BLOCK if np.array_equal(np.roll(here, 1), there, equal_nan=True) else 1

    def predict(self, inputs: Any) -> Any:
        """Return n predictions, or probabilities of 1, for a float64 matrix of n × inputs.

        Raises:
            PredictionError: the matrix has another shape, or the estimator does not take a value of it.
        """
        rows = self._checked(inputs)
        if not len(rows):
            return np.empty(0)
        with self._guarded(rows):
            return self._predict(self._prepared(rows))

    def portable(self, signature: Signature) -> Mapping[str, bytes]:
        """Return the model written down, as ``SupportsPortable`` says.

        Raises:
            UsageError: a step or the estimator has no such form.
        """
        from stackwright_sklearn.portable import portable

        model = Payload(self._inputs, self._model)
        with native_threads().limit(limits=1):
            return portable(model, signature, lambda rows: np.array(rows, dtype=np.float64))

    def _checked(self, inputs: Any) -> Floats:
        rows: Floats = np.ascontiguousarray(inputs, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self._inputs):
            found = f"an array of shape {rows.shape}, the model takes n × {len(self._inputs)}"
            raise PredictionError("model input", found, "Give the inputs of the model's signature, in order.")
        if self._estimator is None:
            raise PredictionError(self._where, "used after it was closed")
        return rows

    @contextmanager
    def _guarded(self, rows: Floats) -> Iterator[None]:
        """Keep scikit-learn to one thread, and tell of its errors in our words."""
        try:
            with native_threads().limit(limits=1):
                yield
        except (ValueError, TypeError, ArithmeticError) as error:
            raise self._failed(rows, error) from error

    def _prepared(self, rows: Any) -> Any:
        for step in self._preparing:
            rows = step.transform(rows)
        return rows

    def _predict(self, rows: Any) -> Floats:
        if not self._block:
            return self._answer(rows)
        answer = np.empty(len(rows))
        for start in range(0, len(rows), self._block):
            block = rows[start : start + self._block]
            filled = np.concatenate([block, np.repeat(block[:1], self._block - len(block), axis=0)])
            answer[start : start + len(block)] = self._answer(filled)[: len(block)]
        return answer

    def _answer(self, rows: Any) -> Floats:
        if self._one is None:
            return np.asarray(self._estimator.predict(rows), dtype=np.float64).ravel()
        return np.asarray(self._estimator.predict_proba(rows)[:, self._one], dtype=np.float64)

    def _failed(self, rows: Floats, error: Exception) -> PredictionError:
        endless = np.argwhere(np.isinf(rows))
        if endless.size:
            row, place = endless[0]
            found = f"{self._inputs[place]} is infinite, which this model does not take"
            return PredictionError(f"row {row}", found, "Leave the value missing.")
        return PredictionError(self._where, str(error))

    def close(self) -> None:
        """Let go of the model. Closing twice is allowed."""
        self._model, self._preparing, self._estimator = None, [], None
