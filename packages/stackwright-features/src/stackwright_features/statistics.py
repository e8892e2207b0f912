"""What an ingestion held, column by column, and how that differs from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.casts import plain
from stackwright_features.distinct import Distinct, hashes

JUMP: Final = 0.1
"""A share of missing values that grew by more than this is told."""


class Description:
    """What the columns of a table hold, found a piece after the other.

    Args:
        schema: the ``pyarrow.Schema`` of the table.
    """

    def __init__(self, schema: Any) -> None:
        self._columns = {field.name: _Column(field.type) for field in schema}

    def add(self, table: Any) -> None:
        """See more rows, a ``pyarrow.Table``."""
        for name, column in self._columns.items():
            column.add(plain(table.column(name)))

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What each column holds, of all rows so far.

        Column → ``type``, ``missing`` (share of nulls, 0 to 1), ``distinct`` (of neither floats nor times; exact below
        :data:`~stackwright_features.distinct.KEPT`, estimated above) and, where they have an order, ``low``, ``high``
        and ``mean`` (of numbers), which pass over NaN.
        """
        return {name: column.found for name, column in self._columns.items()}


class _Column:
    def __init__(self, type: Any) -> None:
        self._type = type
        self._rows = self._missing = self._counted = 0
        self._sum: int | float = 0
        self._distinct = None if pa.types.is_temporal(type) or pa.types.is_floating(type) else Distinct()
        self._bounds: Any = None
        self._has_mean = pa.types.is_floating(type) or pa.types.is_integer(type)
        self._has_bounds = pa.types.is_primitive(type) and not pa.types.is_boolean(type)

    def add(self, column: Any) -> None:
        self._rows += len(column)
        self._missing += column.null_count
        self._distinct = _seen(self._distinct, column)
        try:
            self._measure(column)
        except pa.ArrowNotImplementedError:  # kinds that have no order say so by this alone
            self._has_mean = self._has_bounds = False

    def _measure(self, column: Any) -> None:
        if pa.types.is_floating(self._type):
            column = column.filter(pc.invert(pc.is_nan(column)))
        if self._has_bounds:
            self._bounds = _widened(self._bounds, column)
        if self._has_mean:
            self._counted += len(column) - column.null_count
            self._sum += _sum(column)

    @property
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": str(self._type),
            "missing": self._missing / self._rows if self._rows else 0.0,
        }
        if self._distinct is not None:
            found["distinct"] = self._distinct.count
        if self._has_mean:
            found["mean"] = self._sum / self._counted if self._counted else None
        if self._has_bounds and self._bounds is not None:
            found |= {"low": _plain(self._bounds[0].as_py()), "high": _plain(self._bounds[1].as_py())}
        return found


def _sum(column: Any) -> int | float:
    """The sum of a column, of whole numbers exact."""
    if pa.types.is_floating(column.type):
        return float(pc.sum(column).as_py() or 0.0)
    unsigned = pa.types.is_uint64(column.type)
    values = column.drop_null().to_numpy().astype(np.uint64 if unsigned else np.int64)
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _seen(distinct: Distinct | None, column: Any) -> Distinct | None:
    found = None if distinct is None else hashes(column)
    if distinct is None or found is None:
        return None
    distinct.add(found)
    return distinct


def _widened(bounds: Any, column: Any) -> Any:
    """Least and greatest value of a column and those before it."""
    found = pc.min_max(column)
    if bounds is not None:
        found = pc.min_max(pa.array([*bounds, found["min"], found["max"]], column.type))
    return found["min"], found["max"]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else str(value)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Say how the columns of an ingestion differ from those of the one before it."""
    for name in sorted(before.keys() - now.keys()):
        yield f"column {name!r} is gone"
    for name in sorted(now.keys() - before.keys()):
        yield f"column {name!r} ({now[name]['type']}) is new"
    for name in sorted(now.keys() & before.keys()):
        old, new = before[name], now[name]
        if old["type"] != new["type"]:
            yield f"column {name!r} was {old['type']} and is {new['type']}"
        if new["missing"] - old["missing"] > JUMP:
            yield f"{new['missing']:.0%} of {name!r} is missing, {old['missing']:.0%} was"
