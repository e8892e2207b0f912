"""History in memory: one Arrow table a view, and the places of each key's rows in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

import pyarrow as pa

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import UnknownName, VersionRequired
from stackwright_interfaces.feature_store import (
    CREATED,
    EVENT,
    ORDER,
    ROW,
    ArrowStream,
    Asked,
    IngestReport,
    OfflineStore,
    Watermark,
)
from stackwright_interfaces.plugin import Context
from stackwright_memory.history import POSITION, History, Key, Row, key_tuples, microseconds, schema
from stackwright_memory.plugin import MemoryConfig
from stackwright_memory.windows import aggregated

_CHUNK: Final = 10_000


@dataclass(frozen=True)
class _Sifted:
    """What becomes of the rows of one ingestion: places of those that are new, and counts of the others."""

    new: list[int]
    duplicates: int
    refused: int
    future: int


class MemoryOfflineStore(OfflineStore):
    """The smallest correct :class:`OfflineStore`.

    A view's :class:`~stackwright_memory.history.History` is replaced whole by each change, so that a join or an
    iteration under way goes on with what it began with.
    """

    def __init__(self, _config: MemoryConfig, context: Context) -> None:
        self._clock = context.clock
        self._histories: dict[str, History] = {}
        self._deleted: dict[str, dict[Key, datetime]] = {}
        self._lock = Lock()

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Prepare for these views."""
        with self._lock:
            for view in views:
                history = self._histories.get(view.ref)
                self._histories[view.ref] = History.empty(view) if history is None else _widened(history, view)

    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Add rows."""
        with self._lock:
            history = self._history(view)
            handed = pa.table(rows).select(schema(view).names).cast(schema(view))
            now = self._clock()
            sifted = self._sift(history, handed, microseconds(now))
            position = len(history.ingested) + 1
            added = handed.take(pa.array(sifted.new, pa.int64()))
            added = added.append_column(POSITION, pa.array([position] * len(added), pa.int64()))
            self._histories[view.ref] = history.with_rows(added, now)
        return IngestReport(
            view=view.ref,
            rows=len(handed),
            added=len(added),
            duplicates=sifted.duplicates,
            future=sifted.future,
            refused=sifted.refused,
            position=position,
        )

    def _sift(self, history: History, handed: Any, now: int) -> _Sifted:
        deleted = self._deleted.get(history.view.entity.name, {})
        seen = {(key, row.order) for key, rows in history.rows.items() for row in rows}
        new: list[int] = []
        duplicates = refused = future = 0
        keys = key_tuples(handed, history.view.entity.key_names)
        created = handed[CREATED].to_pylist()
        events = handed[EVENT].cast(pa.int64()).to_pylist()
        for place, (key, order) in enumerate(zip(keys, handed[ORDER].to_pylist(), strict=True)):
            if None in key or (key in deleted and created[place] <= deleted[key]):
                refused += 1
            elif (key, order) in seen:
                duplicates += 1
            else:
                seen.add((key, order))
                new.append(place)
                future += events[place] > now
        return _Sifted(new, duplicates, refused, future)

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label."""
        table = pa.table(labels)
        instants: list[int] = table[EVENT].cast(pa.int64()).to_pylist()
        columns = {ROW: table[ROW]}
        for number, wanted in enumerate(asked):
            history = self._history(wanted.view)
            keys = key_tuples(table, [wanted.keys[name] for name in wanted.view.entity.key_names])
            known = [
                _known(history.rows.get(key, ()), instant, wanted.as_of, known_by)
                for key, instant in zip(keys, instants, strict=True)
            ]
            columns |= _answer(history, wanted, number, keys, instants, known)
        answer: ArrowStream = pa.table(columns)
        return answer

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give the rows admitted by ``until`` but not by ``since``, whole keys at a time."""
        past = self._history(view)
        picked: list[int] = []
        for key in sorted(past.rows):
            admitted = [row for row in past.rows[key] if _admitted(row, until)]
            rows = [row for row in admitted if since is None or not _admitted(row, since)]
            if rows and history is not None:
                edge = microseconds(until.due - history)
                rows = [row for row in admitted if row.event >= edge or row is admitted[-1]]
            picked += [row.place for row in rows]
            if len(picked) >= _CHUNK:
                yield past.take(picked)
                picked = []
        if picked:
            yield past.take(picked)

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Return the last position ingested by ``at``."""
        instant = self._clock() if at is None else at
        ingested = self._history(view).ingested
        return Watermark(max((place for place, when in enumerate(ingested, 1) if when <= instant), default=0), instant)

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Remove the rows of these keys, and refuse those that come again."""
        table = pa.table(keys)
        removed = 0
        with self._lock:
            for view in views:
                self._history(view)
            for view in views:
                gone = set(key_tuples(table, view.entity.key_names))
                history = self._history(view)
                self._histories[view.ref] = kept = history.without(gone)
                removed += len(history.table) - len(kept.table)
                deleted = self._deleted.setdefault(view.entity.name, {})
                deleted |= {key: max(at, deleted.get(key, at)) for key in gone}
        return removed

    def close(self) -> None:
        """Nothing is held that must be released."""

    def _history(self, view: FeatureView) -> History:
        try:
            return self._histories[view.ref]
        except KeyError:
            raise UnknownName.of("view", view.ref, self._histories) from None


def _widened(history: History, view: FeatureView) -> History:
    before, after = history.table.schema, schema(view)
    for field in before:
        if field.name != POSITION and (field.name not in after.names or after.field(field.name).type != field.type):
            found = f"column {field.name!r} was a {field.type} and is lost or changed"
            raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")
    table = history.table
    for field in after:
        if field.name not in before.names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return replace(history, view=view, table=table)


def _admitted(row: Row, mark: Watermark) -> bool:
    return row.position <= mark.position and row.event <= microseconds(mark.due)


def _known(rows: Sequence[Row], instant: int, as_of: Watermark | None, known_by: bool) -> list[Row]:
    """The rows that may be known, oldest first; their event times may be as late as ``instant``."""
    return [
        row
        for row in rows
        if row.event <= instant
        and (not known_by or row.created <= instant)
        and (as_of is None or _admitted(row, as_of))
    ]


def _answer(
    history: History, wanted: Asked, number: int, keys: Sequence[Key], instants: Sequence[int], known: list[list[Row]]
) -> Mapping[str, Any]:
    view = wanted.view
    age = None if view.max_age is None else view.max_age // timedelta(microseconds=1)
    newest = [
        rows[-1].place if rows and (age is None or rows[-1].event >= instant - age) else None
        for rows, instant in zip(known, instants, strict=True)
    ]
    places = pa.array(newest, pa.int64())
    columns = {f"{EVENT}_{number}": history.table[EVENT].take(places)}
    windows = {window.name: window for window in view.windows}
    for feature, output in wanted.features.items():
        if feature in windows:
            columns[output] = aggregated(history, windows[feature], keys, instants, known)
        else:
            columns[output] = history.table[feature].take(places)
    return columns
