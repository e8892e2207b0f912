"""Windows over the rows of some keys, at many instants; this runs in the Python workers of Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_interfaces.definitions import Window
from stackwright_interfaces.feature_store import ROW
from stackwright_interfaces.types import Type
from stackwright_parquet.columns import from_column, integers, to_column, unsized
from stackwright_parquet.search import Integers
from stackwright_parquet.windows import Events, evaluate

KIND: Final = "__kind"
AT: Final = "__at"
KNOWN: Final = "__known"
IS_ROW: Final = 0
IS_LABEL: Final = 1

_ROWS: Final = 500_000


@dataclass(frozen=True, kw_only=True)
class WindowTask:
    """What a Python worker does with its part of the rows and labels.

    Args:
        keys: number of key columns, ``k0, k1, ...``.
        windows: output column → window and its type.
        columns: column that the windows read → its name among the rows, and its type.
        event_id: column that tells apart events of one instant, if the view has it.
        known_by: whether rows created after an instant do not count at it.
    """

    keys: int
    windows: Mapping[str, tuple[Window, Type]]
    columns: Mapping[str, tuple[str, Type]]
    event_id: str | None
    known_by: bool

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Answer the labels of a partition that is sorted by key, then kind, then order token; whole keys at a time."""
        held: list[Any] = []
        limit = _ROWS
        for batch in batches:
            held.append(batch)
            if sum(map(len, held)) >= limit:
                table = pa.Table.from_batches(held)
                cut = int(self._starts(table)[-1])
                yield from self._answers(table.slice(0, cut))
                held = table.slice(cut).to_batches()
                limit = max(_ROWS, 2 * (len(table) - cut))
        if held:
            yield from self._answers(pa.Table.from_batches(held))

    def _starts(self, table: Any) -> Integers:
        """Places where another key begins."""
        new = np.zeros(len(table), np.bool_)
        new[:1] = True
        for number in range(self.keys):
            key = table[f"k{number}"]
            new[1:] |= pc.not_equal(key.slice(1), key.slice(0, max(0, len(key) - 1))).to_numpy()
        return np.flatnonzero(new)

    def _answers(self, table: Any) -> Iterator[Any]:
        starts = self._starts(table)
        number = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(table))))
        is_label = integers(table[KIND]) == IS_LABEL
        rows, labels = table.filter(pa.array(~is_label)), table.filter(pa.array(is_label))
        key, asked = number[~is_label], number[is_label]
        columns = {name: to_column(rows[column], dtype) for name, (column, dtype) in self.columns.items()}
        events = Events(
            key,
            integers(rows[AT]),
            integers(rows[KNOWN]) if self.known_by else None,
            None if self.event_id is None else columns[self.event_id],
        )
        bounds = np.searchsorted(key, np.arange(len(starts) + 1))
        low, high, at = bounds[asked], bounds[asked + 1], integers(labels[AT])
        answer = {ROW: labels[ROW]}
        for output, (window, dtype) in self.windows.items():
            read = {name: columns[name] for name in window.columns}
            answer[output] = unsized(from_column(evaluate(window, read, events, low, high, at), dtype))
        yield from pa.table(answer).to_batches()
