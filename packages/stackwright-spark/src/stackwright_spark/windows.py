"""Windows over the rows of some keys, at many instants; this runs in the Python workers of Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_interfaces.definitions import Aggregate, Window
from stackwright_interfaces.feature_store import ROW
from stackwright_interfaces.types import Type
from stackwright_numerics.columns import Column
from stackwright_numerics.windows import aggregate, compute, latest_revisions, lower_edge
from stackwright_spark.columns import from_column, integers, to_column
from stackwright_spark.search import Integers, bisect_right

KIND: Final = "__kind"
AT: Final = "__at"
KNOWN: Final = "__known"
IS_ROW: Final = 0
IS_LABEL: Final = 1

_ROWS: Final = 500_000
_PAIRS: Final = 4_000_000


@dataclass(frozen=True)
class Events:
    """Rows of some keys, sorted by key, then by order token.

    Args:
        key: a number a key.
        event: event times, microseconds since 1970.
        created: created times; needed only where not every row is known.
        event_id: what tells apart events of one instant, if the view has it.
    """

    key: Integers
    event: Integers
    created: Integers | None
    event_id: Column | None

    @cached_property
    def latest(self) -> NDArray[np.bool_]:
        """Which rows are the last revisions of their events."""
        return latest_revisions(self.key, self.event, self.event_id)


def evaluate(
    window: Window, columns: Mapping[str, Column], events: Events, low: Integers, high: Integers, at: Integers
) -> Column:
    """Aggregate ``[at - length, at)`` for each of m instants.

    Args:
        window: what to compute.
        columns: the columns of the events that the window reads.
        events: rows; where they have created times, those created after an instant do not count at it.
        low: for each instant, where the rows of its key start.
        high: where they end.
        at: instants, microseconds since 1970.
    """
    starts = bisect_right(events.event, low, high, lower_edge(at, window) - 1)
    stops = bisect_right(events.event, low, high, at - 1)
    before = np.concatenate([[0], np.cumsum(events.latest)])
    result = compute(window, _some(columns, events.latest), before[starts], before[stops])
    if events.created is None:
        return result
    last_created = aggregate(Aggregate.MAX, _all(events.created), starts, stops)
    unknown = np.flatnonzero(last_created.valid & (last_created.values > at))
    for some in _slices(unknown, stops - starts):
        part = _known_only(window, columns, events, starts[some], stops[some], at[some])
        result.values[some], result.valid[some] = part
    return result


def _known_only(
    window: Window, columns: Mapping[str, Column], events: Events, starts: Integers, stops: Integers, at: Integers
) -> Column:
    """Aggregate segments, each over a selection of its own: the last known revisions of what was known."""
    assert events.created is not None
    lengths = stops - starts
    ends = np.cumsum(lengths)
    asked = np.repeat(np.arange(len(at)), lengths)
    rows = np.arange(len(asked)) + np.repeat(starts - (ends - lengths), lengths)
    known = events.created[rows] <= at[asked]
    asked, rows = asked[known], rows[known]
    event_id = None if events.event_id is None else _some({"": events.event_id}, rows)[""]
    latest = latest_revisions(asked, events.event[rows], event_id)
    asked, rows = asked[latest], rows[latest]
    bounds = np.searchsorted(asked, np.arange(len(at) + 1))
    return compute(window, _some(columns, rows), bounds[:-1], bounds[1:])


def _slices(asked: Integers, lengths: Integers) -> Iterator[Integers]:
    """Split instants so that no part looks at many more than ``_PAIRS`` rows."""
    parts = np.cumsum(lengths[asked]) // _PAIRS
    yield from np.split(asked, np.flatnonzero(np.diff(parts)) + 1) if len(asked) else ()


def _some(columns: Mapping[str, Column], rows: NDArray[np.bool_] | Integers) -> dict[str, Column]:
    return {name: Column(column.values[rows], column.valid[rows]) for name, column in columns.items()}


def _all(values: Integers) -> Column:
    return Column(values, np.ones(len(values), np.bool_))


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
            answer[output] = from_column(evaluate(window, read, events, low, high, at), dtype)
        yield from pa.table(answer).to_batches()
