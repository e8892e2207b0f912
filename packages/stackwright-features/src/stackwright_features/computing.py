"""Views that are computed from others: an interval of their inputs in, rows out.

What an interval gives depends on its inputs' rows of ``[start - lookback, end)`` alone, so that a backfill and a run on
schedule give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import INSTANT, arrow_type, microseconds, read_table, to_columns
from stackwright_features.row_order import order_rows
from stackwright_features.times import Clock, to_microseconds, to_utc
from stackwright_interfaces.definitions import Computation, FeatureView, Frame
from stackwright_interfaces.errors import DataError, DefinitionError, FeatureStoreError, StackwrightError
from stackwright_interfaces.feature_store import CREATED, EVENT, Computed, OfflineStore, SupportsSQL, Watermark
from stackwright_interfaces.pipelines import table_name
from stackwright_numerics.windows import latest_revisions

EVENT_TIME: Final = "event_time"
CREATED_TIME: Final = "created_time"

_TICK: Final = timedelta(microseconds=1)


def compute(
    offline: OfflineStore, view: FeatureView, start: datetime, end: datetime, function: Callable[..., Any] | None
) -> Computed:
    """Compute a view's rows for ``[start, end)``.

    Args:
        offline: where the inputs are.
        view: a computed view.
        start: the interval's start, in UTC.
        end: its end.
        function: what computes it; ``None`` where SQL does.

    Raises:
        DefinitionError: it is not computed, or what computes it fails or gives something else than declared.
        FeatureStoreError: it is computed by SQL, and the offline store runs none.
    """
    step = view.computed
    where = f"view {view.ref!r}"
    if step is None:
        raise DefinitionError(where, "it is not computed", "Ingest its rows, or declare computed=.")
    known = {item.ref: offline.watermark(item) for item in step.inputs}
    tables = {
        table_name(item.name): history(offline, item, start - step.lookback, end, known[item.ref].position)
        for item in step.inputs
    }
    try:
        if function is None:
            rows = _by_sql(offline, step, tables, start, end)
        else:
            rows = _by_function(step, function, list(tables.values()), start, end)
        result = _timed(read_table(rows, where), view, start, end)
    except DataError as error:
        raise DefinitionError(f"{where}: {step.name}", error.found, error.todo) from error
    return Computed(rows=result, positions={ref: mark.position for ref, mark in known.items()})


def history(offline: OfflineStore, view: FeatureView, start: datetime, end: datetime, position: int) -> Any:
    """Return a view's rows of ``[start, end)`` that count, the last revision of each.

    Args:
        position: the last ingestion that is known.

    Returns:
        ``pyarrow.Table``: keys, fields, ``event_time`` and ``created_time``.
    """
    until = Watermark(position, end - _TICK)
    parts = [_counted(view, part) for part in offline.changes(view, Watermark(position, start - _TICK), until)]
    fields = [(field.name, arrow_type(field.type)) for field in (*view.entity.keys, *view.fields)]
    times = [(name, INSTANT) for name in (EVENT_TIME, CREATED_TIME)]
    empty = pa.schema(fields + [time for time in times if time[0] not in dict(fields)]).empty_table()
    return pa.concat_tables([empty, *(part.select(empty.column_names).cast(empty.schema) for part in parts)])


def _counted(view: FeatureView, stream: Any) -> Any:
    table = read_table(stream, f"view {view.ref!r}")
    order = order_rows(view, table)
    rows = table.take(order.places)
    event_id = None if view.event_id is None else to_columns(rows, [view.stored(view.event_id)])[view.event_id]
    counts = latest_revisions(order.key_id, microseconds(rows.column(EVENT)), event_id)
    rows = rows.filter(pa.array(counts))
    for name, held in ((EVENT_TIME, EVENT), (CREATED_TIME, CREATED)):
        if name not in rows.column_names:
            rows = rows.append_column(name, rows.column(held))
    return rows


def _by_sql(offline: OfflineStore, step: Computation, tables: Mapping[str, Any], start: datetime, end: datetime) -> Any:
    if not isinstance(offline, SupportsSQL):
        todo = "Choose an offline store that runs SQL, duckdb say, or compute the view by a function."
        raise FeatureStoreError("feature_store.offline", "it runs no SQL", todo)
    interval = pa.table({"start_time": pa.array([start], INSTANT), "end_time": pa.array([end], INSTANT)})
    try:
        return offline.sql(step.sql, {**tables, "interval": interval})
    except FeatureStoreError as error:
        raise DefinitionError(f"computation {step.name!r}", error.found, "Correct the SQL.") from error


def _by_function(
    step: Computation, function: Callable[..., Any], tables: Sequence[Any], start: datetime, end: datetime
) -> Any:
    frames = [_framed(table, step.frame) for table in tables]
    where = f"computation {step.name!r}"
    try:
        result = function(*frames, **step.arguments(function, start, end))
    except StackwrightError:
        raise
    except Exception as error:
        found = f"it failed with {error.__class__.__name__}: {error}"
        raise DefinitionError(where, found, "Correct the function.") from error
    named = getattr(getattr(result, "index", None), "names", (None,))
    return result if list(named) == [None] else result.reset_index()  # pandas keeps what was grouped by in its index


def _framed(table: Any, frame: Frame) -> Any:
    if frame is Frame.ARROW:
        return table
    try:
        return table.to_pandas() if frame is Frame.PANDAS else import_module("polars").from_arrow(table)
    except ImportError as error:
        raise FeatureStoreError(f"frame {frame}", f"{frame} is not installed", f"Run: pip install {frame}") from error


def _timed(table: Any, view: FeatureView, start: datetime, end: datetime) -> Any:
    """Return rows with event and created times; those without any are of the interval's end."""
    source = view.source
    assert source.created_time is not None
    where = f"view {view.ref!r}"
    if source.event_time not in table.column_names:
        table = table.append_column(source.event_time, pa.array([end] * len(table), INSTANT))
    times = to_utc(
        table.column(source.event_time).combine_chunks(), Clock.of(source), where=where, name=source.event_time
    )
    event_us = microseconds(times.times)
    outside = np.flatnonzero((event_us <= to_microseconds(start)) | (event_us > to_microseconds(end)))
    if len(outside):
        found = f"{len(outside)} rows have an event time outside the interval, {times.times[int(outside[0])]} say"
        todo = f"Give event times after {start.isoformat()} and not after {end.isoformat()}."
        raise DataError(where, found, todo)
    if source.created_time in table.column_names:
        return table
    return table.append_column(source.created_time, times.times)


def stamped(table: Any, view: FeatureView, created: datetime) -> Any:
    """Return computed rows as a revision of what was computed before: created now, or at their event time if later."""
    name = view.source.created_time
    assert name is not None
    place = table.column_names.index(name)
    now, times = pa.scalar(created, INSTANT), table.column(name).cast(INSTANT)
    return table.set_column(place, name, pc.if_else(pc.greater(times, now), times, now))
