"""Categories and the matrix that models read.

The code of a category is its place among the known ones, of an unknown one the number of known ones, of a missing one
NaN: missing and unknown stay apart, and no library's own encoding is involved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DefinitionError, MissingColumn, WrongType
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import Kind
from stackwright_numerics.number_columns import NumberColumns

_ALLOWED: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.STRING})
_BLOCK: Final = 1024


def fit_categories(values: Iterable[str | None], min_count: int = 1, limit: int | None = None) -> tuple[str, ...]:
    """Return the categories worth knowing, sorted.

    Args:
        values: categories, ``None`` where missing.
        min_count: rarer ones are left unknown.
        limit: at most so many, the most frequent; of equally frequent ones the first in sorted order.
    """
    counts = Counter(values.tolist() if isinstance(values, np.ndarray) else values)
    counts.pop(None, None)
    frequent = sorted((-count, value) for value, count in counts.items() if value is not None and count >= min_count)
    return tuple(sorted(value for _, value in frequent[:limit]))


def encode(values: Iterable[str | None], known: Sequence[str]) -> NDArray[np.float64]:
    """Return the codes of n categories as float64; unknown gives ``len(known)``, missing (``None``) NaN."""
    return _encoder(known)(values)


def to_matrix(columns: Mapping[str, NDArray[Any]], signature: Signature) -> NDArray[np.float64]:
    """Return the model's inputs as one matrix. For many calls keep a :class:`MatrixEncoder`.

    Raises:
        As :class:`MatrixEncoder`, when it is made and when it is called.
    """
    return MatrixEncoder(signature)(columns)


class MatrixEncoder:
    """Puts the inputs of a signature into one matrix. Safe in any thread.

    Args:
        signature: inputs of type bool, int64, float64 or string; a string input needs categories.

    Raises:
        DefinitionError: there are no inputs, one is of another type, or a string input has no categories.
    """

    def __init__(self, signature: Signature) -> None:
        if not signature.inputs:
            raise DefinitionError("signature", "no inputs", "Name at least one input.")
        self._names = [field.name for field in signature.inputs]
        self._known: tuple[dict[str, int], NDArray[np.intp]] = ({}, np.zeros(0, np.intp))
        self._encoders: list[tuple[int, Callable[[Iterable[str | None]], NDArray[np.float64]]]] = []
        for place, field in enumerate(signature.inputs):
            if field.type.kind not in _ALLOWED:
                todo = "Use bool, int64, float64 or string, or a transform that gives one of them."
                raise DefinitionError("signature", f"input {field.name!r} is a {field.type}", todo)
            if field.type.kind is Kind.STRING:
                if field.name not in signature.categories:
                    raise DefinitionError("signature", f"input {field.name!r} has no categories", "Fit its categories.")
                self._encoders.append((place, _encoder(signature.categories[field.name])))

    def __call__(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Encode n rows.

        Args:
            columns: an array of n for every input, others are passed over: numbers with NaN where null, strings as
                objects with ``None`` where null.

        Returns:
            float64 (n, inputs), C-contiguous and not shared with the columns.

        Raises:
            MissingColumn: an input has no column.
            WrongType: a column is not of its input's type, or of another length or shape.
        """
        try:
            if not self._encoders and isinstance(columns, NumberColumns) and columns.rows <= _BLOCK:
                return columns.matrix(self._rows(columns.places))
            arrays = [columns[name] for name in self._names]
        except KeyError as error:
            raise MissingColumn.of("model input", str(error.args[0]), columns) from error
        for place, encoder in self._encoders:
            arrays[place] = encoder(arrays[place])
        try:
            matrix = _turned(arrays) if len(arrays[0]) <= _BLOCK else _turned_in_blocks(arrays)
        except TypeError as error:
            raise self._mistyped(arrays) from error
        except (ValueError, IndexError) as error:
            raise self._misshapen(arrays) from error
        if len(set(map(len, arrays))) > 1:
            raise self._misshapen(arrays)
        return matrix

    def _rows(self, places: dict[str, int]) -> NDArray[np.intp]:
        """Return where the inputs lie in a block; that of the columns before is kept, mostly it is the same."""
        known, rows = self._known
        if known is not places:
            rows = np.array([places[name] for name in self._names], np.intp)
            self._known = places, rows
        return rows

    def _misshapen(self, arrays: list[NDArray[Any]]) -> WrongType:
        shapes = {name: array.shape for name, array in zip(self._names, arrays, strict=True)}
        name = next(name for name, shape in shapes.items() if shape != (len(arrays[0]),))
        return WrongType.of("model input", name, f"an array of shape {shapes[name]}", f"({len(arrays[0])},)")

    def _mistyped(self, arrays: list[NDArray[Any]]) -> WrongType:
        name, array = next(
            (name, array)
            for name, array in zip(self._names, arrays, strict=True)
            if not np.can_cast(array.dtype, np.float64, "same_kind")
        )
        return WrongType.of("model input", name, str(array.dtype), "a number")


def _turned(arrays: list[NDArray[Any]]) -> NDArray[np.float64]:
    joined = np.concatenate(arrays, dtype=np.float64, casting="same_kind")
    return np.ascontiguousarray(joined.reshape(len(arrays), len(arrays[0])).T)


def _turned_in_blocks(arrays: list[NDArray[Any]]) -> NDArray[np.float64]:
    """Turn so many rows at a time that they stay in the processor's cache, beside no second copy of all."""
    matrix = np.empty((len(arrays[0]), len(arrays)))
    for start in range(0, len(matrix), _BLOCK):
        block = slice(start, start + _BLOCK)
        matrix[block] = _turned([array[block] for array in arrays])
    return matrix


def _encoder(known: Sequence[str]) -> Callable[[Iterable[str | None]], NDArray[np.float64]]:
    codes: dict[str | None, float] = {value: float(place) for place, value in enumerate(known)}
    codes[None] = np.nan
    unknown = float(len(known))

    def encode(values: Iterable[str | None]) -> NDArray[np.float64]:
        items = values.tolist() if isinstance(values, np.ndarray) else values
        return np.array([codes.get(value, unknown) for value in items], np.float64)

    return encode
