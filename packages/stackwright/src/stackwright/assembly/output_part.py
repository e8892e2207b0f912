"""``output`` of a model: what its predictions of a whole table must be like before anyone sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackwright.assembly.reading import Reader
from stackwright.assembly.rules import Limits, limits


@dataclass(frozen=True, kw_only=True)
class OutputPart:
    """``output`` of a model.

    Args:
        max_rejected: share of rows that may be set aside because they cannot be scored.
        max_incomplete: share of rows that may lack a feature.
        min_rows: rows that there are at least.
        range: lowest and highest prediction that can be right.
        max_drift: population stability index of the predictions against those of training; 0 does not compare.
    """

    max_rejected: float = 0.05
    max_incomplete: float = 1.0
    min_rows: int = 0
    range: Limits | None = None
    max_drift: float = 0.0


def read_output(reader: Reader, where: str, table: Mapping[str, Any]) -> OutputPart:
    """Read it, noting what is wrong with it."""
    where = f"{where} output"
    reader.keys(where, table, tuple(OutputPart.__dataclass_fields__))
    if "range" in table:
        limits(reader, where, "range", table["range"])
    return OutputPart(
        max_rejected=reader.number(where, table, "max_rejected", 0.05, 0.0, 1.0),
        max_incomplete=reader.number(where, table, "max_incomplete", 1.0, 0.0, 1.0),
        min_rows=int(reader.number(where, table, "min_rows", 0, 0, 1e15)),
        range=table.get("range"),
        max_drift=reader.number(where, table, "max_drift", 0.0, 0.0, 10.0),
    )
