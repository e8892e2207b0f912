"""From a graph's outputs to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_onnx.graph import Graph, Port

_PROBABILITY: Final = "seq(map("
_CLASSIFICATION: Final = "classification"


class Answer:
    """Chooses outputs and reads them.

    Args:
        graph: the graph.
        names: outputs that answer, in order; empty chooses. For classification that is the first output of floats or of
            probabilities by class; else the first of numbers, or as many as the signature has outputs.
        wanted: how many outputs the signature has.
        task: ``"classification"`` gives the probability of class 1, of two columns the second.
        where: what an error calls the graph.

    Raises:
        ArtifactError: there is no such output, or none that fits.
    """

    def __init__(self, graph: Graph, names: Sequence[str], wanted: int, task: str, where: str) -> None:
        self._wanted = wanted
        self._task = task
        self._where = where
        known = {port.name: port for port in graph.outputs}
        unknown = [name for name in names if name not in known]
        chosen = list(names) or self._choice(graph.outputs)
        if unknown or not chosen:
            found = f"no output {unknown[0]!r}" if unknown else "no output that holds numbers"
            raise ArtifactError(where, f"the graph has {found}. It has {self._shown(graph)}", "Name others as outputs.")
        self.names = tuple(chosen)

    def __call__(self, outputs: Sequence[Any], rows: int) -> NDArray[np.float64]:
        """Return float64 of n, or of n × outputs.

        Raises:
            PredictionError: the outputs are not a number for each row and output.
        """
        columns = [self._columns(output, rows) for output in outputs]
        found = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        if self._task == _CLASSIFICATION and self._wanted == 1 and found.shape[1] == 2:
            found = found[:, 1:]
        if found.shape[1] != self._wanted:
            what = (
                f"{', '.join(self.names)} give {found.shape[1]} numbers a row, the signature has {self._wanted} outputs"
            )
            raise PredictionError(self._where, what, "Name the outputs that answer: outputs = [...]")
        return np.ascontiguousarray(found[:, 0] if self._wanted == 1 else found)

    def _columns(self, output: Any, rows: int) -> NDArray[np.float64]:
        try:
            if isinstance(output, list):
                return np.array([[float(row[1])] for row in output], dtype=np.float64).reshape(rows, 1)
            return np.asarray(output, dtype=np.float64).reshape(rows, -1)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PredictionError(self._where, f"an output is not a number for each row ({error!r})") from error

    def _choice(self, ports: Sequence[Port]) -> list[str]:
        floats = [port for port in ports if port.kind in ("tensor(float)", "tensor(double)", "tensor(float16)")]
        if self._task == _CLASSIFICATION:
            return [port.name for port in ports if port in floats or port.kind.startswith(_PROBABILITY)][:1]
        numbers = floats or [port for port in ports if port.kind.startswith("tensor(int")]
        first = numbers[:1]
        if self._wanted > 1 and first and (len(first[0].shape) < 2 or first[0].shape[1] != self._wanted):
            first = numbers[: self._wanted] if len(numbers) >= self._wanted else first
        return [port.name for port in first]

    @staticmethod
    def _shown(graph: Graph) -> str:
        return ", ".join(map(str, graph.outputs))
