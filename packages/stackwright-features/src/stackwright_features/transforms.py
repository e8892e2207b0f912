"""On-demand features: one function, run alike by the join and by the read.

A function gets arrays as models have them (see ``stackwright_numerics.columns.to_model_array``), which it must not
change. Its result is read as a column of the declared type, so that a value that does not fit is refused on both paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_features.values import typed_column
from stackwright_interfaces.definitions import AT, Transform
from stackwright_interfaces.errors import DataError, DefinitionError
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column, nulls, to_model_array

_INT64_BOUND = 2.0**63


@dataclass(frozen=True)
class Step:
    """A transform and its function."""

    transform: Transform
    function: Callable[..., Any]

    def compute(self, inputs: Sequence[NDArray[Any]], rows: int) -> Column:
        """Call the function, and read its result.

        Args:
            inputs: arrays of n, in the order of the transform's inputs.
            rows: n.

        Raises:
            DefinitionError: the function fails, or gives something else than declared.
        """
        step = self.transform
        if rows == 0:
            return nulls(step.type, 0)
        where = f"transform {step.name!r}"
        try:
            result = self.function(*inputs)
        except Exception as error:
            found = f"it failed with {error.__class__.__name__}: {error}"
            raise DefinitionError(where, found, "Correct the function.") from error
        array = np.asarray(result)
        if array.ndim == 0 or len(array) != rows:
            found = f"it gives {array.shape} for {rows} rows"
            raise DefinitionError(where, found, "Return one array, with one value a row.")
        try:
            return _read(array, step.type, where)
        except (DataError, ValueError) as error:
            raise DefinitionError(where, f"its result is no {step.type} ({error})", "Correct the function.") from error


def needed(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return what the steps read that none of them gives, without the reserved ``at``; each name once."""
    given = {AT, *(step.transform.name for step in steps)}
    return tuple(dict.fromkeys(name for step in steps for name in step.transform.inputs if name not in given))


def run(
    steps: Sequence[Step], arrays: Mapping[str, NDArray[Any]], at: NDArray[np.datetime64], rows: int
) -> Iterator[tuple[str, Column, NDArray[Any]]]:
    """Run transforms in order.

    Args:
        steps: what to run.
        arrays: what they read, as models have it: arrays of n. Made read-only.
        at: the asked instants, ``datetime64[us]`` of n.
        rows: n.

    Returns:
        For each step its name, its result, and the result as models have it.

    Raises:
        DefinitionError: a function fails, or gives something else than declared.
    """
    known = {**arrays, AT: at}
    for array in known.values():
        array.flags.writeable = False
    for step in steps:
        column = step.compute([known[name] for name in step.transform.inputs], rows)
        array = to_model_array(column, step.transform.type)
        array.flags.writeable = False
        known[step.transform.name] = array
        yield step.transform.name, column, array


def _read(array: NDArray[Any], type: Type, where: str) -> Column:
    kind = array.dtype.kind
    if kind in "bif" and type.kind in _FROM_NUMBERS and array.ndim == 1:
        return _FROM_NUMBERS[type.kind](array)
    if kind == "M" and type.kind is Kind.TIMESTAMP and array.ndim == 1:
        times = array.astype("datetime64[us]")
        return Column(times, ~np.isnat(times))
    return typed_column([_or_none(value) for value in array], type, where=where, name="result")


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _floats(array: NDArray[Any]) -> Column:
    values = array.astype(np.float64, copy=False)
    return Column(values, ~np.isnan(values))


def _ints(array: NDArray[Any]) -> Column:
    if array.dtype.kind != "f":
        return Column(array.astype(np.int64), np.ones(len(array), np.bool_))
    valid = ~np.isnan(array)
    there = array[valid]
    if not ((there == np.floor(there)) & (np.abs(there) < _INT64_BOUND)).all():
        raise ValueError("a number is not whole")
    return Column(np.where(valid, array, 0).astype(np.int64), valid)


def _bools(array: NDArray[Any]) -> Column:
    if array.dtype.kind == "b":
        return Column(array, np.ones(len(array), np.bool_))
    valid = ~np.isnan(array)
    if not np.isin(array[valid], (0, 1)).all():
        raise ValueError("a number is neither 0 nor 1")
    return Column(valid & (array == 1), valid)


_FROM_NUMBERS: dict[Kind, Callable[[NDArray[Any]], Column]] = {
    Kind.FLOAT64: _floats,
    Kind.INT64: _ints,
    Kind.BOOL: _bools,
}
