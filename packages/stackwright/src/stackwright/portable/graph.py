"""Answers with the ``model.onnx`` beside this file; ``predict.py`` asks it. Needs onnxruntime and numpy, and no more.

The graph takes an input for each of the model's, of the same name, or all of them side by side: texts as they are or by
their codes, numbers as the input's type. A single thread answers, a row at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_KINDS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(string)": "object",
}
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


class Graph:
    """A graph of ONNX.

    Args:
        path: the model.
        schema: what ``schema.json`` says of it.

    Raises:
        ValueError: onnxruntime does not take it.
    """

    def __init__(self, path: Path, schema: Mapping[str, Any]) -> None:
        onnxruntime: Any = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
        except Exception as error:
            raise ValueError(f"{path.name}: onnxruntime {onnxruntime.__version__} cannot load it ({error})") from error
        self._names = [item["name"] for item in schema["inputs"]]
        self._ports = {port.name: port for port in self._session.get_inputs()}
        self._together = len(self._ports) == 1 and list(self._ports) != self._names
        self._classes = schema["task"] == "classification"
        self._outputs = schema.get("graph_outputs") or [self._chosen()]
        self.texts = {name for name, port in self._ports.items() if port.type == "tensor(string)"}

    def _chosen(self) -> str:
        """Return the output that answers: the first of floats, of classes also one of probabilities by class."""
        ports = self._session.get_outputs()
        fitting = [port for port in ports if port.type in _FLOATS or (self._classes and "map(" in port.type)]
        whole = [port for port in ports if port.type.startswith("tensor(int")]
        return str((fitting or whole)[0].name)

    def predict(self, row: Sequence[float | str | None]) -> float:
        """Return the answer for a row: its numbers, NaN where missing, and texts where the graph takes these.

        A text that is missing (``None``) is given as an empty one.

        Raises:
            ValueError: a value is missing that the graph cannot hold, or it fails, or gives no number.
        """
        given = ["" if value is None else value for value in row]
        if self._together:
            ((name, port),) = self._ports.items()
            feed = {name: _tensor(given, port, "a value")}
        else:
            pairs = zip(self._names, given, strict=True)
            feed = {name: _tensor([value], self._ports[name], name) for name, value in pairs}
        try:
            found = self._session.run(self._outputs, feed)
        except Exception as error:
            raise ValueError(f"model.onnx: {error}") from error
        numbers = [number for output in found for number in _first(output)]
        if self._classes and len(numbers) == 2:
            numbers = numbers[1:]
        if len(numbers) != 1 or not np.isfinite(numbers[0]):
            raise ValueError(f"model.onnx: gives {numbers}, where one number is wanted")
        return numbers[0]


def _tensor(values: Sequence[float | str], port: Any, what: str) -> Any:
    """Return values as one row of an input, as often as the input has rows."""
    kind = np.dtype(_KINDS.get(port.type) or port.type[len("tensor(") : -1])
    if kind.kind in "iub" and any(value != value for value in values):
        raise ValueError(f"{what}: is missing, and the graph's input {port.name} cannot hold that")
    with np.errstate(over="ignore", invalid="ignore"):
        row = np.array(values, dtype=object if kind.hasobject else np.float64).astype(kind)
    rows = port.shape[0] if isinstance(port.shape[0], int) else 1
    return np.repeat(row if len(port.shape) == 1 else row[np.newaxis], rows, axis=0)


def _first(output: Any) -> list[float]:
    """Return the numbers of the first row of an output; of probabilities by class that of 1."""
    if isinstance(output, list):
        return [float(output[0][1])]
    values = np.asarray(output, dtype=np.float64)
    return [float(number) for number in values.reshape(values.shape[0] if values.ndim else 1, -1)[0]]
