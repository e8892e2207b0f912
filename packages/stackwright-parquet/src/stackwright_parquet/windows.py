"""Windows over the rows of some keys, at many instants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.definitions import Aggregate, Window
from stackwright_numerics.columns import Column
from stackwright_numerics.windows import aggregate, compute, latest_revisions, lower_edge
from stackwright_parquet.search import Integers, bisect_right

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
    latest = latest_revisions(asked, events.event[rows], _rows(events.event_id, rows))
    asked, rows = asked[latest], rows[latest]
    bounds = np.searchsorted(asked, np.arange(len(at) + 1))
    return compute(window, _some(columns, rows), bounds[:-1], bounds[1:])


def _slices(asked: Integers, lengths: Integers) -> Iterator[Integers]:
    """Split instants so that no part looks at many more than ``_PAIRS`` rows."""
    parts = np.cumsum(lengths[asked]) // _PAIRS
    yield from np.split(asked, np.flatnonzero(np.diff(parts)) + 1) if len(asked) else ()


def _some(columns: Mapping[str, Column], rows: NDArray[np.bool_] | Integers) -> dict[str, Column]:
    return {name: Column(column.values[rows], column.valid[rows]) for name, column in columns.items()}


def _rows(column: Column | None, rows: NDArray[np.bool_] | Integers) -> Column | None:
    return None if column is None else Column(column.values[rows], column.valid[rows])


def _all(values: Integers) -> Column:
    return Column(values, np.ones(len(values), np.bool_))
