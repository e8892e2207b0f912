"""A loaded model with everything its manifest says: encoding, postprocessing, intervals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import MissingColumn, ModelError
from stackwright_interfaces.model import Manifest, ModelFormat, Predictor
from stackwright_interfaces.registry import ModelVersion
from stackwright_numerics.categories import MatrixEncoder
from stackwright_numerics.conformal import IntervalTable
from stackwright_serving.postprocess import Step, compile_steps
from stackwright_serving.refused import RowRefused
from stackwright_serving.rules import KEY, Rules

log = logging.getLogger("stackwright.serving")

Floats = NDArray[np.float64]

QUANTILES: Final = "quantiles"
"""Parameter of a manifest whose further outputs are values of the target: what is done to the first is done to them."""

CLOSING: Final = 5.0
"""Seconds that what is to be closed is waited for, where a thread still asks it."""

_PART: Final = 4096
"""Rows that the payload is asked for at once."""


@dataclass(frozen=True)
class Prediction:
    """Answers for n rows.

    Args:
        value: the predictions, float64 of n.
        lower: lower ends of the intervals, or ``None`` where the model has none.
        upper: upper ends.
        unknown: text input → how many rows held a category that training did not know.
        outside: row → inputs that lie outside of what the model answers for.
        further: name → n values of each output beyond the first; NaN where the row has the fallback.
    """

    value: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)
    outside: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    further: Mapping[str, Floats] = field(default_factory=dict)


class LoadedModel:
    """A model ready to predict, in any thread.

    Args:
        manifest: what the folder says of itself.
        predictor: its payload, loaded.
        name: the model's name.
        version: its number; 0 for a model that is not published.

    Attributes:
        turn: held by the thread that asks the payload.
    """

    def __init__(self, manifest: Manifest, predictor: Predictor, *, name: str = "", version: int = 0) -> None:
        self.manifest = manifest
        self.predictor = predictor
        self.name = name
        self.version = version
        self.digest = manifest.digest
        self.inputs = tuple(item.name for item in manifest.signature.inputs)
        self._needed = frozenset(self.inputs)
        self._further = tuple(item.name for item in manifest.signature.outputs[1:])
        self.turn = Lock()
        self._closed = False
        self._encode = MatrixEncoder(manifest.signature)
        self.postprocess: Step = compile_steps(manifest.postprocess)
        self._alike = manifest.task == "regression" and QUANTILES in manifest.parameters
        self._ends: Step = compile_steps([step for step in manifest.postprocess if step["op"] == "clip"])
        self._rules = Rules(manifest.parameters.get(KEY, {}))
        self._intervals = None if manifest.intervals is None else IntervalTable.from_json(manifest.intervals)
        known = manifest.signature.categories
        self._categories = [(place, name, len(known[name])) for place, name in enumerate(self.inputs) if name in known]
        self._refused = [name for name, policy in manifest.signature.missing.items() if policy == "refuse"]

    @classmethod
    def load(cls, folder: Path, format_: ModelFormat, *, name: str = "", version: int = 0) -> LoadedModel:
        """Verify a folder, then load it.

        Raises:
            ArtifactError: the folder is not what its manifest says; nothing of it was parsed.
        """
        manifest = Manifest.read(folder)
        return cls(manifest, format_.load(folder, manifest), name=name, version=version)

    @classmethod
    def published(cls, version: ModelVersion, folder: Path, format_: ModelFormat) -> LoadedModel:
        """Load a published version."""
        return cls.load(folder, format_, name=version.name, version=version.version)

    @property
    def ref(self) -> str:
        """``name@version``, or the digest of a model that is not published."""
        return f"{self.name}@{self.version}" if self.version else self.digest

    def predict(self, columns: Mapping[str, Any]) -> Prediction:
        """Predict.

        Args:
            columns: model columns (see ``FeatureRows.columns``) for every input; others are passed over.

        Raises:
            MissingColumn: an input is not there.
            RowRefused: a value is missing that must not be.
            ModelError: the model answered with NaN or infinity.
        """
        self._check(columns)
        outside = self._rules.outside(columns)
        columns = self._rules.clipped(columns)
        matrix = self._encode(columns)
        inputs = matrix if self.predictor.input == "matrix" else {name: columns[name] for name in self.inputs}
        first, further = self._outputs(self._predicted(inputs, len(matrix)), outside)
        value = self._fallen_back(self.postprocess(first), outside)
        if not (isfinite(value.item()) if len(value) == 1 else np.isfinite(value).all()):
            row = int(np.flatnonzero(~np.isfinite(value))[0])
            raise ModelError(f"model {self.ref}", f"row {row} got {value[row]}", "Look at its inputs.")
        unknown = {name: int(np.count_nonzero(matrix[:, place] == count)) for place, name, count in self._categories}
        unknown = {name: count for name, count in unknown.items() if count}
        if self._intervals is None:
            return Prediction(value, unknown=unknown, outside=outside, further=further)
        lower, upper = (
            self._fallen_back(self._ends(end), outside) for end in self._intervals.apply(value, matrix=matrix)
        )
        return Prediction(value, lower, upper, unknown, outside, further)

    def given(self, columns: Mapping[str, Any]) -> Any:
        """Return what the payload is given of model columns: a matrix, or columns by name.

        Raises:
            MissingColumn: an input is not there.
            PredictionError: a value is missing that must not be.
        """
        self._check(columns)
        columns = self._rules.clipped(columns)
        by_name = self.predictor.input == "columns"
        return {name: columns[name] for name in self.inputs} if by_name else self._encode(columns)

    def _check(self, columns: Mapping[str, Any]) -> None:
        if not columns.keys() >= self._needed:
            missing = next(name for name in self.inputs if name not in columns)
            raise MissingColumn.of(f"model {self.name}", missing, list(columns))
        self._refuse_missing(columns)

    def _predicted(self, inputs: Any, count: int) -> Floats:
        """Return the payload's answers. One thread at a time asks it, and none for so long that others wait."""
        answers = []
        for start in range(0, max(count, 1), _PART):
            part = inputs if count <= _PART else _rows(inputs, start, start + _PART)
            with self.turn:
                if self._closed:
                    raise ModelError(f"model {self.ref}", "it is closed: the server ends", "Ask again in a moment.")
                answers.append(np.asarray(self.predictor.predict(part), dtype=np.float64))
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def _outputs(self, answer: Floats, outside: Mapping[int, Any]) -> tuple[Floats, Mapping[str, Floats]]:
        """Return the first output as the payload gave it, and the others by name.

        Raises:
            ModelError: there are others than the signature names, or one is NaN or infinite.
        """
        names = self._further
        columns = answer[:, None] if answer.ndim == 1 else answer
        if columns.shape[1] != 1 + len(names):
            found = f"it gave {columns.shape[1]} outputs, its signature names {1 + len(names)}"
            raise ModelError(f"model {self.ref}", found, "Train and publish it again.")
        if not names:
            return columns[:, 0], {}
        if self._alike:
            columns = np.column_stack([columns[:, 0], self.postprocess(columns[:, 1:])])
        bad = np.flatnonzero(~np.isfinite(columns[:, 1:]).all(axis=1))
        if bad.size:
            raise ModelError(f"model {self.ref}", f"row {bad[0]} got {columns[bad[0], 1:]}", "Look at its inputs.")
        if outside and self._rules.fallback is not None:
            columns = columns.copy()
            columns[list(outside), 1:] = np.nan
        return columns[:, 0], {name: columns[:, place] for place, name in enumerate(names, 1)}

    def _fallen_back(self, values: Floats, outside: Mapping[int, Any]) -> Floats:
        """Return the values, with the fallback where there is one for a row that the model does not answer for."""
        if outside and self._rules.fallback is not None:
            values = values.copy()
            values[list(outside)] = self._rules.fallback
        return values

    def _refuse_missing(self, columns: Mapping[str, Any]) -> None:
        for name in self._refused:
            column = columns[name]
            missing = column_is_missing(column)
            if missing.any():
                row = int(np.flatnonzero(missing)[0])
                raise RowRefused(f"row {row}", f"{name} is missing", "The model refuses rows without it.")

    def close(self) -> None:
        """Release the payload once no thread asks it; one that is asked for too long is left as it is."""
        if not self.turn.acquire(timeout=CLOSING):
            log.warning("model %s is still asked and is not closed", self.ref)
            return
        try:
            self._closed = True
            self.predictor.close()
        finally:
            self.turn.release()


def _rows(inputs: Any, start: int, stop: int) -> Any:
    if isinstance(inputs, Mapping):
        return {name: column[start:stop] for name, column in inputs.items()}
    return inputs[start:stop]


def column_is_missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of a model column are missing."""
    if column.dtype == object:
        return np.array([value is None for value in column.tolist()], dtype=np.bool_)
    missing: NDArray[np.bool_] = np.isnan(column)
    return missing
