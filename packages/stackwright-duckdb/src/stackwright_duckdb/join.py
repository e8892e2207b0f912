"""The point-in-time join of one view.

DuckDB finds the candidates, which are the rows of the labels' keys that any label could see, and yields their times and
where they lie; a search in numpy settles which of them each label sees; DuckDB then fetches the values of those alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_duckdb.candidates import NOWHERE, CandidateReader, Candidates
from stackwright_duckdb.engine import Session
from stackwright_duckdb.scan import ordered
from stackwright_duckdb.search import newest_known
from stackwright_interfaces.definitions import Window
from stackwright_interfaces.feature_store import EVENT, ArrowStream, Asked
from stackwright_numerics.columns import nulls
from stackwright_numerics.windows import lower_edge
from stackwright_parquet.columns import (
    STAMP,
    arrow_type,
    from_column,
    instant_of,
    integers,
    one_piece,
    stamps,
    without_nulls,
)
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import EARLIEST, LATEST, Manifest
from stackwright_parquet.search import Integers, bisect_right
from stackwright_parquet.windows import Events, evaluate

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Labels:
    """What is asked for.

    Args:
        table: row numbers, instants and keys.
        at: the instants, microseconds since 1970.
    """

    table: Any
    at: Integers

    @classmethod
    def read(cls, labels: ArrowStream) -> Labels:
        """Take the labels' table in.

        Raises:
            DataError: it lacks an instant.
        """
        table = pa.table(labels)
        return cls(table, integers(without_nulls(table, EVENT, STAMP, "labels")))


@dataclass(frozen=True, kw_only=True)
class ViewJoin:
    """One view's part of a join.

    Args:
        session: where queries run.
        folder: the view's folder.
        manifest: its history.
        asked: what of it is asked for.
        labels: for whom and when.
        known_by: pass over rows created after the asked instant.
        batch_rows: candidates to hold at once.
    """

    session: Session
    folder: ViewFolder
    manifest: Manifest
    asked: Asked
    labels: Labels
    known_by: bool
    batch_rows: int

    def columns(self, number: int) -> dict[str, Any]:
        """Return the event column, named for this number, and the output columns."""
        rows = len(self.labels.at)
        keys, count = self._reader.number_keys(self.labels.table, self.asked.keys)
        events = np.zeros(rows, np.int64)
        slots = np.full(rows, NOWHERE)
        places = [np.zeros(0, np.int64)]
        windows = {name: nulls(self.asked.view.window_type(window), rows) for name, window in self._windows.items()}
        for first, stop in self._reader.ranges(count, self.batch_rows):
            found = self._reader.read(first, stop, self._aggregated, created=self.known_by)
            who = np.flatnonzero((keys >= first) & (keys < stop))
            key, at = keys[who] - first, self.labels.at[who]
            low, high = found.offsets[key], found.offsets[key + 1]
            newest = self._newest(found, low, high, at)
            hit = newest != NOWHERE
            taken = np.zeros(len(found.place), np.bool_)
            taken[newest[hit]] = True
            slots[who[hit]] = sum(map(len, places)) + (np.cumsum(taken) - 1)[newest[hit]]
            places.append(found.place[taken])
            events[who[hit]] = found.event[newest[hit]]
            past = self._events(found)
            for name, window in self._windows.items():
                read = {column: found.columns[self.manifest.field_number(column)] for column in window.columns}
                windows[name].values[who], windows[name].valid[who] = evaluate(window, read, past, low, high, at)
        columns = {f"{EVENT}_{number}": stamps(events, slots != NOWHERE)}
        columns |= self._plain(np.concatenate(places), slots)
        for name, window in self._windows.items():
            columns[self.asked.features[name]] = from_column(windows[name], self.asked.view.window_type(window))
        return columns

    @cached_property
    def _reader(self) -> CandidateReader:
        oldest, newest = self._event_range
        position = None if self.asked.as_of is None else self.asked.as_of.position
        return CandidateReader(
            session=self.session,
            folder=self.folder,
            manifest=self.manifest,
            files=ordered(self.manifest.select(as_of=position, oldest=oldest, newest=newest)),
            oldest=oldest,
            newest=newest,
            position=position,
        )

    @cached_property
    def _windows(self) -> dict[str, Window]:
        return {window.name: window for window in self.asked.view.windows if window.name in self.asked.features}

    @cached_property
    def _aggregated(self) -> list[int]:
        """Numbers of the columns that the windows need."""
        names: set[str | None] = {column for window in self._windows.values() for column in window.columns}
        if self._windows:
            names.add(self.asked.view.event_id)
        return sorted(self.manifest.field_number(name) for name in names if name is not None)

    @cached_property
    def _max_age(self) -> int | None:
        age = self.asked.view.max_age
        return None if age is None else min(age // _MICROSECOND, LATEST)

    @cached_property
    def _event_range(self) -> tuple[int, int]:
        """The least and greatest event time that matters to any label."""
        if not len(self.labels.at):
            return LATEST, EARLIEST
        first, newest = self.labels.at.min(keepdims=True), int(self.labels.at.max())
        if self.asked.as_of is not None:
            newest = min(newest, instant_of(self.asked.as_of.due))
        if self._max_age is None:
            return EARLIEST, newest
        edges = [int(lower_edge(first, window)[0]) for window in self._windows.values()]
        return min([int(first[0]) - self._max_age, *edges]), newest

    def _newest(self, found: Candidates, low: Integers, high: Integers, at: Integers) -> Integers:
        """Place among the candidates of the row that each label sees."""
        if found.created is None:
            newest = bisect_right(found.event, low, high, at) - 1
        else:
            known_from, known = newest_known(found.key, found.event, found.created)
            newest = bisect_right(known_from, low, high, at) - 1
        there = np.flatnonzero(newest >= low)
        rows = newest[there] if found.created is None else known[newest[there]]
        if self._max_age is not None:
            valid = found.event[rows] >= at[there] - self._max_age
            there, rows = there[valid], rows[valid]
        seen = np.full(len(at), NOWHERE)
        seen[there] = rows
        return seen

    def _events(self, found: Candidates) -> Events:
        name = self.asked.view.event_id
        event_id = found.columns[self.manifest.field_number(name)] if name is not None and self._windows else None
        return Events(found.key, found.event, found.created, event_id)

    def _plain(self, places: Integers, slots: Integers) -> dict[str, Any]:
        """Return the stored columns: for each label the values at its slot among places, null where it has none."""
        names = [name for name in self.asked.features if name not in self._windows]
        if not names:
            return {}
        fields = {name: self.manifest.field_number(name) for name in names}
        types = {name: arrow_type(self.manifest.fields[field].type) for name, field in fields.items()}
        if not len(places):
            return {self.asked.features[name]: pa.nulls(len(slots), types[name]) for name in names}
        table = self._reader.fetch(places, [f"r.c{field}" for field in sorted(set(fields.values()))], fields.values())
        where = np.empty(len(places), np.int64)
        where[integers(table["slot"])] = np.arange(len(places))
        rows, there = where[slots], slots != NOWHERE
        return {
            self.asked.features[name]: _taken(table[f"c{field}"], rows, there, types[name])
            for name, field in fields.items()
        }


def _taken(column: Any, rows: Integers, there: NDArray[np.bool_], type: Any) -> Any:
    """Rows of a column, and nulls where none is there."""
    values = one_piece(column).take(pa.array(rows)).cast(type)
    return values if there.all() else pc.if_else(pa.array(there), values, pa.scalar(None, type))
