"""Columns as numbers and as times; what cannot be read is told once for all rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import INSTANT
from stackwright_features.casts import cast
from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import TIMESTAMP

_COUNTED: Final = 1000
"""Rows of one fault that are counted at most."""

_MICROS: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


def to_numbers(column: Any, name: str, where: str) -> Any:
    """Return a column as float64.

    Args:
        column: numbers, or texts of numbers.
        name: its name, for messages.
        where: the place, for messages.

    Raises:
        WrongType: some rows hold no number.
    """
    trimmed = pc.utf8_trim_whitespace(column) if _is_text(column) else column
    return _read(trimmed, partial(pc.cast, target_type=pa.float64()), "number", name, where)


def to_instants(column: Any, name: str, unit: str, where: str) -> Any:
    """Return a column as timestamps in UTC.

    Args:
        column: timestamps, dates, ISO 8601 texts, or numbers since 1970.
        name: its name, for messages.
        unit: of numbers: ``s``, ``ms``, ``us`` or ``ns``.
        where: the place, for messages.

    Raises:
        WrongType: some rows hold no time.
    """
    if _is_text(column):
        numeric = pc.all(pc.match_substring_regex(pc.drop_null(column), r"^\s*-?\d+(\.\d+)?\s*$")).as_py()
        column = pc.utf8_trim_whitespace(column).cast(pa.float64()) if numeric else column
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        micros = np.rint(np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False)) * _MICROS[unit])
        there = np.isfinite(micros) & (np.abs(micros) < 2.0**62)
        whole = np.where(there, micros, 0).astype(np.int64)
        return pa.array(whole, mask=~there).cast(pa.timestamp("us")).cast(INSTANT)
    found = _read(column, partial(cast, type=TIMESTAMP, where=where, name=name), "time", name, where)
    return (found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found).cast(INSTANT)


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _read(column: Any, read: Callable[[Any], Any], what: str, name: str, where: str) -> Any:
    try:
        return read(column)
    except (pa.ArrowException, WrongType) as error:
        rows = _misfits(column, read)
        count = f"{len(rows)}{' or more' if len(rows) == _COUNTED else ''} of {len(column)} rows"
        found = f"column {name!r} holds {column[rows[0]].as_py()!r} in row {rows[0] + 1}, no {what} ({count})"
        raise WrongType(where, found, f"Give {what}s, and leave missing ones empty.") from error


def _misfits(column: Any, read: Callable[[Any], Any]) -> list[int]:
    """Return the rows of a column that cannot be read, found by halving: the first ``_COUNTED`` at most."""
    found: list[int] = []
    parts = [(0, len(column))]
    while parts and len(found) < _COUNTED:
        start, stop = parts.pop()
        try:
            read(column.slice(start, stop - start))
        except (pa.ArrowException, WrongType):
            middle = (start + stop) // 2
            if middle == start:
                found.append(start)
            else:
                parts += [(middle, stop), (start, middle)]
    return found
