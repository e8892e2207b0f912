"""What an ingestion held, column by column, and how that differs from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

JUMP: Final = 0.1
"""A share of missing values that grew by more than this is told."""


def describe(table: Any) -> dict[str, dict[str, Any]]:
    """Return what each column of a ``pyarrow.Table`` holds.

    Returns:
        Column → ``type``, ``missing`` (share of nulls, 0 to 1), ``distinct`` (of neither floats nor times) and, where
        they have an order, ``low``, ``high`` and ``mean`` (of numbers), which pass over NaN.
    """
    return {name: _column(table.column(name)) for name in table.column_names}


def _column(column: Any) -> dict[str, Any]:
    rows = len(column)
    found: dict[str, Any] = {"type": str(column.type), "missing": column.null_count / rows if rows else 0.0}
    kind = column.type
    with suppress(pa.ArrowNotImplementedError):  # kinds that cannot be counted, or have no order, say so by this alone
        if pa.types.is_floating(kind):
            column = column.filter(pc.invert(pc.is_nan(column)))
        elif not pa.types.is_temporal(kind):
            found["distinct"] = pc.count_distinct(column, mode="only_valid").as_py()
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            found["mean"] = pc.mean(column).as_py()
        if pa.types.is_primitive(kind) and not pa.types.is_boolean(kind):
            bounds = pc.min_max(column).as_py()
            found |= {"low": _plain(bounds["min"]), "high": _plain(bounds["max"])}
    return found


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
