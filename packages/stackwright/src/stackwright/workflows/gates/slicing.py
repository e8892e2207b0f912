"""Slices of rows: one for each value of a column that enough rows have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import Dataset
from stackwright_interfaces.errors import UsageError, did_you_mean
from stackwright_interfaces.types import Field, Kind

_FIFTHS: Final = 5
_FEW: Final = 10


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common.

    Args:
        name: what it is: ``kind = house``.
        rows: their places.
        peers: the places of every value of the column, its own among them.
    """

    name: str
    rows: NDArray[np.intp]
    peers: Sequence[NDArray[np.intp]]


def slices_of(
    rows: Dataset, inputs: Sequence[Field], by: Sequence[str], minimum: int, every: Collection[str] = ()
) -> Iterator[Slice]:
    """Give the slices of at least so many rows, unless they are all rows.

    Args:
        inputs: the model's inputs, of which texts and booleans are sliced.
        by: other columns to slice by, also keys and request fields.
        every: columns that there are, of which ``rows`` may have some alone; the others are passed over.

    Raises:
        UsageError: there is no such column.
    """
    known = {**rows.keys, **rows.columns}
    plain = [field.name for field in inputs if field.type.kind in (Kind.STRING, Kind.BOOL)]
    for name in dict.fromkeys([*plain, *by]):
        if name in every and name not in known:
            continue
        if name not in known:
            raise UsageError("gate slices", f"no column {name!r}", did_you_mean(name, known) or "Name another.")
        groups = dict(_groups(known[name]))
        for label, places in groups.items():
            if minimum <= places.size < len(rows):
                yield Slice(f"{name} {label}", places, list(groups.values()))


def _groups(column: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Give what equal values have in common, and their places; many numbers are cut in fifths."""
    numbers = _numbers(column)
    if numbers is None:
        yield from _equal(np.array(["missing" if value is None else f"= {value}" for value in column.tolist()]))
        return
    known = np.isfinite(numbers)
    if np.unique(numbers[known]).size <= _FEW:
        yield from _equal(np.array([f"= {value:g}" if value == value else "missing" for value in numbers.tolist()]))
        return
    cuts = np.unique(np.quantile(numbers[known], np.arange(1, _FIFTHS) / _FIFTHS))
    place = np.where(known, np.searchsorted(cuts, numbers, side="right"), cuts.size + 1)
    edges = ["", *(f"{cut:.6g}" for cut in cuts), ""]
    spans = [f"from {low} to {high}" for low, high in pairwise(edges)]
    names = [span.replace("from  to", "below").removesuffix(" to ") for span in spans]
    yield from _equal(np.array([*names, "missing"])[place])


def _equal(labels: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    if not labels.size:
        return
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    for value, places in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        yield str(value), places


def _numbers(column: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return a column as numbers; ``None`` where it holds something else."""
    if column.dtype != object:
        return np.asarray(column, dtype=np.float64)
    values = column.tolist()
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    return None
