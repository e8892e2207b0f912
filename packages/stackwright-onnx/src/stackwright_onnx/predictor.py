"""Predicts with a graph: a row gets the same bits whatever rows come with it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import Predictor, Signature
from stackwright_interfaces.types import Field, Kind
from stackwright_onnx.answer import Answer
from stackwright_onnx.feed import Feed
from stackwright_onnx.graph import Graph

_BLOCK: Final = 32
"""Rows that are run at a time, always so many: how a product of matrices is summed up may depend on their number."""

_FEW: Final = 8
"""Up to so many rows, one run a row costs less than a block, where it gives the same bits."""


class OnnxPredictor(Predictor):
    """Predicts on one thread.

    Args:
        graph: the graph.
        feed: fills its inputs.
        answer: reads its outputs.
        signature: inputs and outputs, for a trial.

    Raises:
        PredictionError: the graph fails on made rows.
    """

    input = "columns"

    def __init__(self, graph: Graph, feed: Feed, answer: Answer, signature: Signature) -> None:
        self._graph: Graph | None = graph
        self._feed = feed
        self._answer = answer
        self._wanted = len(signature.outputs)
        self._block = feed.block or _BLOCK
        self._alone = self._block == 1
        trial = feed.of_columns(_trial(signature, self._block))
        here = self._run(trial)
        if not feed.block:
            self._choose(trial, here)

    def _choose(self, trial: dict[str, Any], here: NDArray[np.float64]) -> None:
        """Run rows alone where it gives the same bits, and where a row's place in a block makes a difference."""
        there = self._run({name: np.roll(values, 1, axis=0) for name, values in trial.items()})
        if not np.array_equal(np.roll(here, 1, axis=0), there, equal_nan=True):
            self._block = 1
        alone = [self._run({name: values[[row]] for name, values in trial.items()}) for row in range(_BLOCK)]
        self._alone = self._block == 1 or np.array_equal(np.concatenate(alone), here, equal_nan=True)

    def predict(self, inputs: Any) -> Any:
        """Return n predictions, or n × outputs, for input → array of n.

        Raises:
            PredictionError: a column is missing or does not fit, or the graph failed.
        """
        feed = self._feed.of_columns(inputs)
        rows = len(next(iter(feed.values())))
        single = rows - rows % self._block if self._alone and rows % self._block <= _FEW else rows
        answers = [self._run(self._part(feed, start))[: rows - start] for start in range(0, single, self._block)]
        answers += [self._run({name: values[[row]] for name, values in feed.items()}) for row in range(single, rows)]
        empty = np.empty(0) if self._wanted == 1 else np.empty((0, self._wanted))
        return np.concatenate(answers) if answers else empty

    def _part(self, feed: dict[str, Any], start: int) -> dict[str, Any]:
        """Return a block of rows, filled up by its first where there are fewer."""
        found = {}
        for name, values in feed.items():
            part = values[start : start + self._block]
            found[name] = np.concatenate([part, np.repeat(part[:1], self._block - len(part), axis=0)])
        return found

    def _run(self, feed: dict[str, Any]) -> NDArray[np.float64]:
        if self._graph is None:
            raise PredictionError("ONNX model", "used after it was closed")
        return self._answer(self._graph.run(self._answer.names, feed), len(next(iter(feed.values()))))

    def close(self) -> None:
        """Let go of the graph. Closing twice is allowed."""
        self._graph = None


def _trial(signature: Signature, rows: int) -> dict[str, Any]:
    """Return made rows: small numbers and known categories."""
    random = np.random.default_rng(0)
    return {field.name: _trial_column(field, signature, random, rows) for field in signature.inputs}


def _trial_column(field: Field, signature: Signature, random: np.random.Generator, rows: int) -> Any:
    match field.type.kind:
        case Kind.VECTOR:
            column = np.empty(rows, dtype=object)
            for row in range(rows):
                column[row] = random.normal(size=field.type.size)
            return column
        case Kind.STRING:
            known = signature.categories.get(field.name) or ("",)
            return np.array([known[place] for place in random.integers(0, len(known), rows)], dtype=object)
        case Kind.FLOAT64:
            return random.normal(size=rows)
        case _:
            return random.integers(0, 2, rows).astype(np.float64)
