"""The point-in-time join in numpy: what Feast's own cannot do, exactly.

That is windows, which rows were known at the asked instant, and what was known as of an earlier ingestion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_feast.history import SortedRows
from stackwright_features.arrow import from_column
from stackwright_features.casts import cast
from stackwright_interfaces.definitions import Window
from stackwright_interfaces.feature_store import EVENT
from stackwright_numerics.columns import Column
from stackwright_numerics.windows import compute, latest_revisions, lower_edge

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """What is asked of one view.

    Args:
        keys: m encoded keys, ``None`` where a part is null.
        at_us: m asked instants, microseconds.
        known_by: pass over rows created after the asked instant.
    """

    keys: Sequence[bytes | None]
    at_us: NDArray[np.int64]
    known_by: bool


def answer(rows: SortedRows, question: Question, features: Sequence[str]) -> dict[str, Any]:
    """Return for each of m labels what a view says.

    Args:
        rows: the rows that may be known.
        question: keys and instants.
        features: stored columns and windows.

    Returns:
        ``__event``, the event time of the row that matched, and each feature: Arrow arrays of m.
    """
    view = rows.view
    windows = {window.name: window for window in view.windows}
    newest = _newest(rows, question)
    places = pa.array(newest, mask=newest < 0)
    found = {EVENT: rows.table.column(EVENT).take(places)}
    counted = None
    for name in features:
        if name not in windows:
            taken = rows.table.column(name).take(places)
            found[name] = cast(taken, view.stored(name).type, where=f"view {view.ref!r}", name=name)
            continue
        if counted is None:
            counted = rows if question.known_by else rows.only(_last_revisions(rows))
        found[name] = from_column(_aggregated(counted, question, windows[name]), view.window_type(windows[name]))
    return found


def _newest(rows: SortedRows, question: Question) -> Places:
    """The place of the row that answers each label; -1 where none does."""
    start, stop = _segments(rows, question.keys)
    place = _first_at(rows.event_us, start, stop, question.at_us + 1) - 1
    if question.known_by and len(rows.key_id):
        while (late := (place >= start) & (rows.created_us[place] > question.at_us)).any():
            place = np.where(late, place - 1, place)
    there = place >= start
    age = rows.view.max_age
    if age is not None and len(rows.key_id):
        there &= rows.event_us[place] >= question.at_us - age // timedelta(microseconds=1)
    return np.where(there, place, -1)


def _aggregated(rows: SortedRows, question: Question, window: Window) -> Column:
    start, stop = _segments(rows, question.keys)
    first = _first_at(rows.event_us, start, stop, lower_edge(question.at_us, window))
    last = _first_at(rows.event_us, start, stop, question.at_us)
    columns = {name: rows.columns[name] for name in window.columns}
    if question.known_by:
        columns, first, last = _known(rows, question, columns, first, last)
    values, valid = compute(window, columns, first, last)
    keyless = np.fromiter((key is None for key in question.keys), np.bool_, len(question.keys))
    return Column(values, valid & ~keyless)


def _known(
    rows: SortedRows, question: Question, columns: dict[str, Column], first: Places, last: Places
) -> tuple[dict[str, Column], Places, Places]:
    """Lay out for each label the rows of its window that were known then, without those revised by then."""
    lengths = last - first
    label = np.repeat(np.arange(len(first)), lengths)
    offsets = np.cumsum(lengths) - lengths
    place = np.arange(len(label)) - np.repeat(offsets, lengths) + np.repeat(first, lengths)
    known = rows.created_us[place] <= question.at_us[label]
    label, place = label[known], place[known]
    counts = latest_revisions(label, rows.event_us[place], _picked(_event_id(rows), place))
    label, place = label[counts], place[counts]
    stops = np.searchsorted(label, np.arange(len(first)), side="right")
    starts = np.searchsorted(label, np.arange(len(first)), side="left")
    return {name: Column(*(part[place] for part in column)) for name, column in columns.items()}, starts, stops


def _last_revisions(rows: SortedRows) -> NDArray[np.bool_]:
    return latest_revisions(rows.key_id, rows.event_us, _event_id(rows))


def _event_id(rows: SortedRows) -> Column | None:
    return None if rows.view.event_id is None else rows.columns[rows.view.event_id]


def _picked(column: Column | None, places: Places) -> Column | None:
    return None if column is None else Column(column.values[places], column.valid[places])


def _segments(rows: SortedRows, keys: Sequence[bytes | None]) -> tuple[Places, Places]:
    """Where the rows of each key begin and end; nowhere for a key that is not there."""
    number = np.fromiter((-1 if key is None else rows.numbers.get(key, -1) for key in keys), np.int64, len(keys))
    return np.searchsorted(rows.key_id, number, side="left"), np.searchsorted(rows.key_id, number, side="right")


def _first_at(times: NDArray[np.int64], start: Places, stop: Places, instants: NDArray[np.int64]) -> Places:
    """The first place of each segment whose time is at or after an instant; its end if there is none."""
    low, high = start.copy(), stop.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        before = open_ & (times[np.minimum(middle, len(times) - 1)] < instants)
        high = np.where(open_ & ~before, middle, high)
        low = np.where(before, middle + 1, low)
    return low
