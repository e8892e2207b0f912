"""Rows as frames of named columns, for estimators that were made in Python and choose their columns by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stackwright_interfaces.errors import MissingColumn, PluginError, PredictionError
from stackwright_interfaces.model import Predictor, Signature
from stackwright_sklearn.payload import Payload
from stackwright_sklearn.threads import native_threads
from stackwright_skops.trees import parts_of

_BY_ROW: Final = (
    *("sklearn.tree.", "sklearn.ensemble._forest.", "sklearn.ensemble._gb.", "sklearn.dummy.", "lightgbm."),
    *("sklearn.ensemble._hist_gradient_boosting.", "sklearn.pipeline.", "sklearn.compose.", "sklearn.impute._base."),
    *("sklearn.preprocessing._data.", "sklearn.preprocessing._encoders.", "sklearn.preprocessing._function_"),
    *("stackwright_models.encoding.", "stackwright_models.pipelines."),
    *("stackwright_models.ranking.", "stackwright_models.survival."),
)
"""Modules whose estimators treat each row by itself, element by element; others may multiply matrices."""

_BLOCK: Final = 32


def to_frame(columns: Mapping[str, Any], inputs: Sequence[str], texts: Collection[str]) -> Any:
    """Return model columns as a ``pandas.DataFrame``: numbers float64 with NaN, texts objects with ``None``.

    Raises:
        PluginError: pandas is not installed.
        MissingColumn: an input has no column.
    """
    try:
        import pandas as pd
    except ImportError as error:
        found = "this model takes named columns, and pandas is not installed"
        raise PluginError("flavour 'sklearn'", found, "Run: pip install 'stackwright-sklearn[frames]'") from error
    for name in inputs:
        if name not in columns:
            raise MissingColumn.of("model input", name, columns)
    kinds = {name: object if name in texts else np.float64 for name in inputs}
    return pd.DataFrame({name: pd.Series(columns[name], dtype=kinds[name]) for name in inputs})


class FramePredictor(Predictor):
    """Predicts on one thread; each row gets the same bits whatever rows come with it.

    Args:
        payload: what to predict with, of named columns; shared, never changed.
        where: what an error calls the model.
    """

    input = "columns"

    def __init__(self, payload: Payload, where: str = "scikit-learn model") -> None:
        from sklearn.base import is_classifier

        self._inputs = payload.inputs
        self._texts = payload.texts or {}
        self._where = where
        self._model = payload.model
        self._horizons = payload.horizons
        self._one = list(payload.model.classes_).index(1) if is_classifier(payload.model) else None
        self._block = self._rows_at_a_time()

    def _rows_at_a_time(self) -> int:
        """Return 0 for any number, the block where a row's place in it makes no difference, and else 1."""
        modules = [
            f"{type(part).__module__}."
            for part in parts_of(self._model)
            if hasattr(part, "predict") or hasattr(part, "transform")
        ]
        if all(module.startswith(_BY_ROW) for module in modules):
            return 0
        random = np.random.default_rng(0)
        columns: dict[str, Any] = {name: random.normal(size=_BLOCK) for name in self._inputs}
        columns |= {name: np.full(_BLOCK, text, dtype=object) for name, text in self._texts.items()}
        turned = {name: np.roll(column, 1) for name, column in columns.items()}
        try:
            with native_threads().limit(limits=1), np.errstate(all="ignore"):
                here, there = (self._answer(self._frame(rows)) for rows in (columns, turned))
        except (ValueError, TypeError, ArithmeticError):
            return 1
        return _BLOCK if np.array_equal(np.roll(here, 1, axis=0), there, equal_nan=True) else 1

    def predict(self, inputs: Any) -> Any:
        """Return n predictions, or probabilities of 1, for arrays of n by name; n × outputs where there are horizons.

        Raises:
            PredictionError: an input has no column, or the model does not take a value.
        """
        if self._model is None:
            raise PredictionError(self._where, "used after it was closed")
        frame = self._frame(inputs)
        if not len(frame):
            return np.empty(self._shape(0))
        try:
            with native_threads().limit(limits=1):
                return self._predict(frame)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise PredictionError(self._where, str(error)) from error

    def portable(self, signature: Signature) -> Mapping[str, bytes]:
        """Return the model written down, as ``SupportsPortable`` says.

        Raises:
            UsageError: a step or the estimator has no such form.
        """
        from stackwright_sklearn.portable import portable

        def columns(rows: list[list[Any]]) -> dict[str, Any]:
            return {name: [row[place] for row in rows] for place, name in enumerate(self._inputs)}

        model = Payload(self._inputs, self._model, self._texts)
        with native_threads().limit(limits=1):
            return portable(model, signature, lambda rows: self._frame(columns(rows)))

    def _frame(self, columns: Mapping[str, Any]) -> Any:
        try:
            return to_frame(columns, self._inputs, self._texts)
        except MissingColumn as error:
            raise PredictionError(error.where, error.found, error.todo) from error

    def _predict(self, frame: Any) -> Any:
        if not self._block:
            return self._answer(frame)
        answer = np.empty(self._shape(len(frame)))
        for start in range(0, len(frame), self._block):
            stop = min(start + self._block, len(frame))
            filled = np.r_[start:stop, np.full(self._block - (stop - start), start)]
            answer[start:stop] = self._answer(frame.iloc[filled].reset_index(drop=True))[: stop - start]
        return answer

    def _answer(self, frame: Any) -> Any:
        if self._one is not None:
            return np.asarray(self._model.predict_proba(frame)[:, self._one], dtype=np.float64)
        if self._horizons:
            return np.asarray(self._model.predict_outcomes(frame, self._horizons), dtype=np.float64)
        return np.asarray(self._model.predict(frame), dtype=np.float64).ravel()

    def _shape(self, rows: int) -> tuple[int, ...]:
        return (rows, 1 + len(self._horizons)) if self._horizons else (rows,)

    def close(self) -> None:
        """Let go of the model. Closing twice is allowed."""
        self._model = None
