"""Models and rows that are as good or as bad as it takes to see a gate decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates import Candidate, GateResult, run_gate
from stackwright.workflows.gates.champions import Champion
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel

Answer = Callable[[Any], Any]


N = 2000


class Bent(Predictor):
    """Answers a matrix of inputs by a function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, inputs: Any) -> Any:
        return self.answer(inputs)


def judged(candidate: Candidate, gate: str, **options: Any) -> GateResult:
    return run_gate(candidate, gate, {**GATE_OPTIONS[gate], "level": "refuse", **options})


def made(candidate: Candidate, champion: Champion | None = None, **changes: Any) -> Candidate:
    """Return a candidate with changes, held against a champion."""
    found = replace(candidate, **changes)
    found.__dict__["champion"] = champion
    return found


def bent(model: LoadedModel, answer: Answer, name: str = "valuation", **changes: Any) -> LoadedModel:
    """Return a model that answers by a function of the input matrix, after its last step."""
    manifest = replace(model.manifest, **{"postprocess": (), **changes})
    return LoadedModel(manifest, Bent(answer), name=name)


def promoted(model: LoadedModel | None, candidate: Candidate, until: str = "2024-01-01T00:00:00") -> Champion:
    version = ModelVersion(name="valuation", version=9, digest="", created=candidate.stack.clock())
    if model is not None:
        data = {**model.manifest.data, "last": until + "Z"}
        model = LoadedModel(replace(model.manifest, data=data, flavour="other"), model.predictor, name="valuation")
    return Champion(version, model, "" if model else "it is damaged")


def rows(number: int = N, **columns: Any) -> Dataset:
    """Return rows of these columns and of a target ``y``, asked for hour by hour in 2025."""
    asked = np.datetime64("2025-01-01T00:00:00", "us") + np.arange(number) * np.timedelta64(1, "h")
    target = columns.pop("y")
    keys = {"home_id": np.array([f"{row:05}" for row in range(number)], dtype=object)}
    return Dataset(columns=columns, target=np.asarray(target, dtype=np.float64), asked=asked, observed=asked, keys=keys)


def places(number: int = N, seed: int = 3) -> dict[str, Any]:
    """Return columns of the inputs of the model, drawn at random."""
    random = np.random.default_rng(seed)
    kind = np.array(["flat", "house"], dtype=object)[random.integers(0, 2, number)]
    numbers = {name: random.uniform(1, 2, number) for name in ("area", "visits_30d", "rooms", "room_size")}
    return {**numbers, "kind": kind}


def area(candidate: Candidate) -> Answer:
    place = [item.name for item in candidate.model.manifest.signature.inputs].index("area")
    return lambda matrix: matrix[:, place]


def exact(candidate: Candidate, noise: float = 0.1, seed: int = 4, **columns: Any) -> Candidate:
    """Return a candidate that answers with the area, on rows whose truth is that, give or take."""
    found = {**places(), **columns}
    truth = found["area"] * np.exp(np.random.default_rng(seed).normal(0, noise, N))
    data = rows(y=truth, **found)
    answering = bent(candidate.model, area(candidate), intervals=None)
    return made(candidate, model=answering, train=data, holdout=data)
