"""Which columns of two tables Evidently can compare, as arrays that it takes without stumbling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_interfaces.model import Signature

EXTRA: Final = ("prediction", "target")
"""Columns that are compared beside the inputs, where a side holds them."""

CATEGORIES: Final = 100
"""Most categories of a column that are told apart."""

OTHERS: Final = "(others)"

_TEXT: Final = (pa.string(), pa.large_string(), pa.string_view())


@dataclass(frozen=True)
class Pair:
    """One column of both sides: float64 with NaN where null, or objects with ``None`` where null."""

    reference: NDArray[Any]
    current: NDArray[Any]

    @property
    def text(self) -> bool:
        """Whether it holds categories."""
        return self.reference.dtype == object


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Args:
        pairs: column → its values, in the order of the signature.
        skipped: column → why it is left out.
    """

    pairs: Mapping[str, Pair]
    skipped: Mapping[str, str]

    @property
    def numbers(self) -> list[str]:
        """Numeric columns."""
        return [name for name, pair in self.pairs.items() if not pair.text]

    @property
    def texts(self) -> list[str]:
        """Columns of categories."""
        return [name for name, pair in self.pairs.items() if pair.text]

    def leave_out(self, reasons: Mapping[str, str]) -> Comparison:
        """Return the comparison without some columns."""
        kept = {name: pair for name, pair in self.pairs.items() if name not in reasons}
        return replace(self, pairs=kept, skipped={**self.skipped, **reasons})

    def single(self) -> Iterator[tuple[str, Comparison]]:
        """Return each column with a comparison of it alone."""
        for name, pair in self.pairs.items():
            yield name, replace(self, pairs={name: pair})


class _Unusable(Exception):
    """A column cannot be compared; the message says why."""


def comparison(reference: pa.Table, current: pa.Table, signature: Signature, *, rows: int) -> Comparison:
    """Choose the columns that hold values on both sides.

    Args:
        rows: most rows of each side; more are thinned out evenly.
    """
    names = [field.name for field in signature.inputs]
    names += [name for name in EXTRA if name in {*reference.column_names, *current.column_names} - {*names}]
    pairs: dict[str, Pair] = {}
    skipped: dict[str, str] = {}
    for name in names:
        try:
            pairs[name] = _pair(_values(reference, name, "reference", rows), _values(current, name, "current", rows))
        except _Unusable as reason:
            skipped[name] = str(reason)
    return Comparison(pairs, skipped)


def _pair(reference: NDArray[Any], current: NDArray[Any]) -> Pair:
    if reference.dtype != current.dtype:
        raise _Unusable("text on one side, numbers on the other")
    if reference.dtype != object:
        return Pair(reference, current)
    counts = Counter(value for side in (reference, current) for value in side if value is not None)
    frequent = {value for value, _ in counts.most_common(CATEGORIES)}
    return Pair(_categories(reference, frequent), _categories(current, frequent))


def _categories(values: NDArray[Any], frequent: set[str]) -> NDArray[Any]:
    """Return categories as the page may show them: few, and without the sign that could begin a tag in it."""
    shown = {value: value.replace("<", "‹") for value in frequent}
    return np.array([None if value is None else shown.get(value, OTHERS) for value in values], dtype=object)


def _values(table: pa.Table, name: str, side: str, rows: int) -> NDArray[Any]:
    if name not in table.column_names:
        raise _Unusable(f"missing in the {side} rows")
    if table.column_names.count(name) > 1:
        raise _Unusable(f"more than once in the {side} rows")
    if not table.num_rows:
        raise _Unusable(f"no {side} rows")
    try:
        values = _array(table[name])
    except pa.ArrowException as error:
        raise _Unusable(f"unreadable in the {side} rows ({error})") from error
    if len(values) > rows:
        values = values[np.linspace(0, len(values) - 1, rows).astype(np.int64)]
    if all(value is None for value in values) if values.dtype == object else np.isnan(values).all():
        raise _Unusable(f"only nulls in the {side} rows")
    return values


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind in _TEXT:
        return np.array(column.cast(pa.large_string()).to_pylist(), dtype=object)
    if not (
        pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    ):
        raise _Unusable(f"values of type {kind} are not compared")
    numbers = np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
