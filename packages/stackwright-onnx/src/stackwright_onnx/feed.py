"""From rows to a graph's inputs.

A graph takes either one input for each of the signature's, of the same name, or a single tensor of n × all inputs:
numbers as they are, categories as their codes, vectors by their components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PredictionError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import Field, Kind
from stackwright_numerics.categories import encode
from stackwright_onnx.graph import Graph, Port

_NUMBERS: Final[Mapping[str, Any]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
_WHOLE: Final[Mapping[str, Any]] = {
    **{f"tensor(int{bits})": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "tensor(bool)": np.bool_,
}
_TEXT: Final = "tensor(string)"
_TODO: Final = "Export the model again, or change the feature service."

Columns = Mapping[str, Any]


class Feed:
    """Fills a graph's inputs.

    Args:
        graph: the graph.
        signature: the model's inputs.
        where: what an error calls the graph.

    Raises:
        ArtifactError: the graph's inputs are not the signature's.
    """

    def __init__(self, graph: Graph, signature: Signature, where: str) -> None:
        self.fields = signature.inputs
        self._categories = signature.categories
        self._where = where
        ports = {port.name: port for port in graph.inputs}
        names = [field.name for field in self.fields]
        self.together = len(ports) == 1 and list(ports) != names
        if not self.together and set(ports) != set(names):
            found = f"the graph takes {', '.join(map(str, graph.inputs))}; the signature has {', '.join(names)}"
            raise ArtifactError(where, found, _TODO)
        self._fill = [self._one(ports[field.name], field) for field in self.fields] if not self.together else []
        if self.together:
            self._port = graph.inputs[0]
            self._check_width(self._port)
        self.block = self._fixed_rows(graph.inputs)

    def of_columns(self, columns: Columns) -> dict[str, Any]:
        """Return the inputs for n rows, given as columns.

        Raises:
            PredictionError: a column is missing or does not fit.
        """
        for field in self.fields:
            if field.name not in columns:
                raise PredictionError("model input", f"column {field.name!r} is missing", "Give every input.")
        filled = [fill(columns[field.name]) for field, fill in zip(self.fields, self._fill, strict=False)]
        if not self.together:
            found = {field.name: values for field, values in zip(self.fields, filled, strict=True)}
        else:
            parts = [self._floats(field, columns[field.name]).reshape(-1, _width(field)) for field in self.fields]
            _check_lengths(parts)
            found = {self._port.name: _cast(np.concatenate(parts, axis=1), self._port, "a value")}
        _check_lengths(list(found.values()))
        return found

    def _check_width(self, port: Port) -> None:
        width = sum(map(_width, self.fields))
        wide = len(port.shape) == 2 and port.shape[1] in (None, width)
        if not wide or (port.kind not in _NUMBERS and port.kind not in _WHOLE):
            names = ", ".join(field.name for field in self.fields)
            found = f"the graph takes {port}; the signature has {width} numbers a row ({names})"
            raise ArtifactError(self._where, found, _TODO)

    def _one(self, port: Port, field: Field) -> Callable[[Any], Any]:
        width = _width(field)
        flat = len(port.shape) == 1 and field.type.kind is not Kind.VECTOR
        fits = flat or (len(port.shape) == 2 and port.shape[1] in (None, width))
        known = port.kind in _NUMBERS or port.kind in _WHOLE or (port.kind == _TEXT and field.type.kind is Kind.STRING)
        if not fits or not known:
            found = f"the graph takes {port}; the signature has {field.name!r} as {field.type}"
            raise ArtifactError(self._where, found, _TODO)
        shape = (-1,) if flat else (-1, width)

        def fill(values: Any) -> Any:
            if port.kind == _TEXT:
                texts = np.array(["" if value is None else value for value in values], dtype=object)
                return texts.reshape(shape)
            return _cast(self._floats(field, values), port, repr(field.name)).reshape(shape)

        return fill

    def _floats(self, field: Field, values: Any) -> NDArray[np.float64]:
        try:
            if field.type.kind is Kind.STRING:
                return encode(values, self._categories.get(field.name, ()))
            if field.type.kind is not Kind.VECTOR:
                return np.asarray(values, dtype=np.float64)
            missing = np.full(field.type.size, np.nan)
            rows = [missing if value is None else np.asarray(value, dtype=np.float64) for value in values]
            if any(row.shape != (field.type.size,) for row in rows):
                raise ValueError(f"a vector that has not {field.type.size} components")
            return np.array(rows, dtype=np.float64).reshape(-1, field.type.size)
        except (TypeError, ValueError) as error:
            found = f"column {field.name!r} does not hold {field.type} ({error})"
            raise PredictionError("model input", found, "Give model columns.") from error

    def _fixed_rows(self, ports: Sequence[Port]) -> int:
        """Return how many rows the graph takes at a time, 0 where it leaves that open."""
        sizes = {port.shape[0] for port in ports}
        if len(sizes) > 1 or sizes == {0}:
            raise ArtifactError(self._where, f"the graph takes {', '.join(map(str, ports))}", "Export it for n rows.")
        return sizes.pop() or 0


def _width(field: Field) -> int:
    return field.type.size if field.type.kind is Kind.VECTOR else 1


def _cast(values: NDArray[np.float64], port: Port, what: str) -> Any:
    if port.kind in _NUMBERS:
        with np.errstate(over="ignore"):
            return values.astype(_NUMBERS[port.kind])
    if np.isnan(values).any():
        found = f"{what} is missing, and the graph's {port} cannot hold that"
        raise PredictionError("model input", found, "Give the feature a default, or export the input as float.")
    kind = _WHOLE[port.kind]
    beyond = values[_beyond(values, kind)]
    if beyond.size:
        found = f"{what} holds {beyond.flat[0]:g}, and the graph's {port} cannot hold that"
        raise PredictionError("model input", found, "Mend the feature, or export the input as float.")
    return values.astype(kind)


def _beyond(values: NDArray[np.float64], kind: Any) -> NDArray[np.bool_]:
    """Return which values wrap around as whole numbers of a kind."""
    if kind is np.bool_:
        return np.zeros(values.shape, dtype=bool)
    limits = np.iinfo(kind)
    return (values <= limits.min - 1.0) | (values >= limits.max + 1.0)


def _check_lengths(arrays: Sequence[Any]) -> None:
    if len({len(array) for array in arrays}) > 1:
        found = f"columns of {', '.join(str(len(array)) for array in arrays)} rows"
        raise PredictionError("model input", found, "Give one value a row in every column.")
