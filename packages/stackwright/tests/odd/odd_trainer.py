"""A trainer that fits in a millisecond: least squares on logarithms, with one vice where a test wants it.

The file is put on the path by a fixture, so that child processes can load its models too.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_interfaces.model import FORMAT, Manifest, ModelFormat, Predictor
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import CONTRACT as REGISTRY
from stackwright_interfaces.registry import Event, ModelVersion, Registry
from stackwright_interfaces.trainer import (
    CONTRACT,
    Distribution,
    FittedModel,
    Report,
    Task,
    Trainer,
    TrainingData,
    TrainingParts,
)


@dataclass(frozen=True, kw_only=True)
class OddConfig:
    """Of a trainer.

    Args:
        vice: one of blind, mute, moody, dull, crashing, unloadable, failing.
        rows: one of given, spread, read.
    """

    vice: str = ""
    rows: str = "given"
    penalty: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    pass


def _columns(matrix: Any) -> Any:
    numbers = np.nan_to_num(np.asarray(matrix, dtype=np.float64))
    return np.column_stack([np.ones(len(numbers)), numbers, np.log1p(np.maximum(numbers, 0))])


class OddPredictor(Predictor):
    def __init__(self, weights: Any, vice: str) -> None:
        self.weights = np.asarray(weights)
        self.vice = vice

    def predict(self, inputs: Any) -> Any:
        answer = _columns(inputs) @ self.weights
        missing = np.isnan(inputs).any(axis=1)
        if self.vice == "crashing" and missing.any():
            raise RuntimeError("no number")
        return np.where(missing, np.nan, answer) if self.vice == "mute" else answer


class OddModel(FittedModel):
    flavour = "odd"

    def __init__(self, weights: Any, vice: str, parameters: Mapping[str, Any]) -> None:
        self.weights = weights
        self.vice = vice
        self.parameters = parameters
        self.metrics: Mapping[str, float] = {}

    def predictor(self) -> Predictor:
        return OddPredictor(self.weights, self.vice)

    def save(self, folder: Path) -> None:
        (folder / "weights.json").write_text(json.dumps({"weights": self.weights.tolist(), "vice": self.vice}))


class OddTrainer(Trainer):
    def __init__(self, config: OddConfig, context: Any) -> None:
        self.vice = config.vice
        self.penalty = config.penalty

    def space(self, task: Task) -> Mapping[str, Distribution]:
        return {
            "penalty": Distribution(low=1e-6, high=1e3, log=True, default=1e-6),
            "kind": Distribution(choices=("a", "b"), default="a"),
            "depth": Distribution(low=2, high=9, integer=True),
        }

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        if self.vice == "failing":
            raise TrainingError("odd", "it does not fit", "Choose another.")
        columns = _columns(train.inputs)
        penalty = float(params.get("penalty", self.penalty))
        weight = np.ones(len(columns)) if train.weight is None else train.weight
        weighted = columns * weight[:, None]
        gram = columns.T @ weighted + penalty * np.eye(columns.shape[1])
        weights = np.linalg.solve(gram, weighted.T @ train.target)
        few = len(np.unique(columns, axis=0)) < 50
        if self.vice == "blind" or (self.vice == "dull" and few):
            weights = np.zeros(columns.shape[1])
            weights[0] = float(np.median(train.target))
        if self.vice == "moody":
            weights[0] += np.random.default_rng().normal(0, 0.01)
        if report is not None:
            report(1, 1, {})
        return OddModel(weights, self.vice, {"penalty": penalty, **params})


class SpreadingOdd(OddTrainer):
    """One that says that its fits spread themselves, and gets its rows as before."""

    spreads = True


class ReadingOdd(SpreadingOdd):
    """One that takes rows by reference, and reads few at a time as another process would."""

    def fit_parts(
        self,
        task: Task,
        train: TrainingParts,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        there = pickle.loads(pickle.dumps(train))
        pieces = [there.read(start, min(start + 17, len(there))) for start in range(0, len(there), 17)]
        whole = TrainingData(
            inputs=np.concatenate([piece.inputs for piece in pieces]),
            target=np.concatenate([piece.target for piece in pieces]),
            weight=None if pieces[0].weight is None else np.concatenate([piece.weight for piece in pieces]),
        )
        return self.fit(task, whole, None, params, seed=seed, threads=threads, report=report)


def build(config: OddConfig, context: Any) -> OddTrainer:
    return {"given": OddTrainer, "spread": SpreadingOdd, "read": ReadingOdd}[config.rows](config, context)


class OddFormat(ModelFormat):
    flavour = "odd"

    def __init__(self, config: NoConfig, context: Any) -> None: ...

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        payload = json.loads((folder / "weights.json").read_text())
        if payload["vice"] == "unloadable" and __name__ not in _INSIDE:
            raise ArtifactError(str(folder), "it does not load", "Train again.")
        return OddPredictor(payload["weights"], payload["vice"])


_INSIDE: set[str] = set()
"""Holds this module's name in the process of the tests, where the model still loads."""


class Bare(Registry):
    """A registry of nothing that keeps no runs."""

    def __init__(self, config: NoConfig, context: Any) -> None: ...

    def publish(self, name: str, folder: Path, record: Mapping[str, Any], *, who: str = "") -> ModelVersion:
        raise NotImplementedError

    def resolve(self, ref: Any) -> ModelVersion:
        raise NotImplementedError

    def fetch(self, version: ModelVersion) -> Path:
        raise NotImplementedError

    def record(self, event: Event, *, expected: int | None = None) -> None:
        raise NotImplementedError

    def history(self, name: str | None = None) -> tuple[list[ModelVersion], list[Event]]:
        return [], []

    def close(self) -> None: ...


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    return [
        AdapterSpec(name="odd", provides=Trainer, contract=CONTRACT, config=OddConfig, factory="odd_trainer:build"),
        AdapterSpec(
            name="odd", provides=ModelFormat, contract=FORMAT, config=NoConfig, factory="odd_trainer:OddFormat"
        ),
        AdapterSpec(name="odd", provides=Registry, contract=REGISTRY, config=NoConfig, factory="odd_trainer:Bare"),
    ]
