"""Times to an event as LightGBM learns them: the hazard of each period, a classification of rows and periods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.trainer import Task, TrainingData
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_lightgbm.compilation import booster_of
from stackwright_numerics import hazard

ELAPSED: Final = "elapsed"
"""The input that LightGBM gets beside those of the signature: the middle of the period."""

FILE: Final = "hazard.json"

_CELLS: Final = 2_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hazards:
    """The periods of a model, and what it is asked.

    Args:
        ends: ends of the periods, ascending.
        horizons: durations within which the chance of the event is an output.
    """

    ends: Floats
    horizons: tuple[float, ...]

    @classmethod
    def of(cls, task: Task, train: TrainingData, periods: int) -> Self:
        """Return the periods at equal shares of the events of training rows.

        Raises:
            TrainingError: no event was seen, or a horizon lies beyond all of them.
        """
        if any(field.name == ELAPSED for field in task.signature.inputs):
            found = f"an input is named {ELAPSED!r}, which is ours"
            raise TrainingError("training rows", found, "Select it with a prefix.")
        duration = np.asarray(train.target, dtype=np.float64)
        seen = duration[_events(train)]
        if not seen.size:
            todo = "Train when some have come, or look at the column that says which rows are censored."
            raise TrainingError("training rows", "no event was seen in any row", todo)
        ends = hazard.period_ends(seen, periods)
        beyond = [horizon for horizon in task.horizons if horizon > ends[-1]]
        if beyond:
            found = f"no event was seen later than after {ends[-1]:g}, and a horizon is {beyond[0]:g}"
            raise TrainingError("horizons", found, "Ask for shorter ones: nothing is known of longer times.")
        return cls(ends, tuple(task.horizons))

    def task(self, task: Task) -> Task:
        """Return the task of learning the hazard: with the period as one more input."""
        inputs = (*task.signature.inputs, Field(ELAPSED, FLOAT64))
        return replace(task, signature=replace(task.signature, inputs=inputs))

    def rows(self, data: TrainingData) -> TrainingData:
        """Return a row for each period that a row lived into."""
        found = hazard.person_periods(_events(data), data.target, self.ends)
        elapsed = hazard.middles(self.ends)[found.period]
        weight = None if data.weight is None else np.asarray(data.weight)[found.row]
        inputs = np.column_stack([np.asarray(data.inputs, dtype=np.float64)[found.row], elapsed])
        return TrainingData(inputs=inputs, target=found.event.astype(np.float64), weight=weight)

    def answers(self, hazards: Floats) -> Floats:
        """Return the mean time up to the last end, and the chance of each horizon: n, or n × outputs."""
        lived = hazard.survival(hazards)
        expected = hazard.mean(lived, self.ends)
        if not self.horizons:
            return expected
        return np.column_stack([expected, 1 - hazard.at(lived, self.ends, self.horizons)])

    def save(self, folder: Path) -> None:
        """Write ``hazard.json``."""
        document = {"ends": self.ends.tolist(), "horizons": list(self.horizons)}
        (folder / FILE).write_text(json.dumps(document, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: it is damaged.
        """
        try:
            document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            ends = np.array(document["ends"], dtype=np.float64)
            horizons = tuple(float(horizon) for horizon in document["horizons"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(str(path), f"cannot be read ({error!r})", "Publish the model again.") from error
        if ends.ndim != 1 or not ends.size or not np.isfinite(ends).all() or (np.diff(ends, prepend=0.0) < 0).any():
            raise ArtifactError(str(path), "holds periods that do not ascend", "Publish the model again.")
        return cls(ends, horizons)


def _events(data: TrainingData) -> NDArray[np.bool_]:
    if data.event is None:
        return np.ones(len(data.target), dtype=np.bool_)
    return np.asarray(data.event, dtype=np.bool_)


class HazardPredictor(Predictor):
    """Predicts times; each row by itself, so its answer does not depend on the others."""

    input = "matrix"

    def __init__(self, text: bytes, hazards: Hazards, *, threads: int = 1, cache: Path | None = None) -> None:
        self._booster = booster_of(text, threads=threads, cache=cache)
        self._hazards = hazards
        self._middles = hazard.middles(hazards.ends)

    def predict(self, inputs: Any) -> Any:
        """Return n expected times, or n × outputs, for a float64 matrix of n × inputs.

        Raises:
            PredictionError: the matrix has another shape.
        """
        rows = np.asarray(inputs, dtype=np.float64)
        width = self._booster.inputs - 1
        if rows.ndim != 2 or rows.shape[1] != width:
            found = f"an array of shape {rows.shape}, the model takes n × {width}"
            raise PredictionError("model input", found, "Give the inputs of the model's signature, in order.")
        periods = self._middles.size
        step = max(1, _CELLS // (periods * (width + 1)))
        found_hazards = [self._hazard(rows[start : start + step]) for start in range(0, len(rows), step)]
        return self._hazards.answers(np.concatenate([np.empty((0, periods)), *found_hazards]))

    def _hazard(self, rows: Floats) -> Floats:
        periods = self._middles.size
        repeated = np.column_stack([np.repeat(rows, periods, axis=0), np.tile(self._middles, len(rows))])
        return self._booster.predict(repeated).reshape(len(rows), periods)

    def close(self) -> None:
        """Free the model."""
        self._booster.close()
