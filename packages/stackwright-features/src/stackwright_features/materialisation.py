"""Bringing online what was ingested or became due.

What a view knows moves forward only: to the last position ingested and the latest present that was ever asked for. Its
watermark is stored after its rows, so that a materialisation that was cut short is done again from where the last
whole one ended; writes are compare-and-set, so doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import numpy as np

from stackwright_features.arrow import microseconds, read_table, to_columns
from stackwright_features.row_order import ends, order_rows
from stackwright_features.times import to_microseconds
from stackwright_features.watermarks import read_watermark, token_of, write_watermark
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import (
    CREATED,
    EVENT,
    ORDER,
    MaterializeReport,
    OfflineStore,
    OnlineRow,
    OnlineStore,
    Watermark,
)
from stackwright_numerics.columns import Column
from stackwright_numerics.events import EventsCodec
from stackwright_numerics.rows import RowCodec
from stackwright_numerics.windows import latest_revisions

EARLIER: Final = timedelta(days=1)

_BATCH: Final = 5_000


def materialise(
    offline: OfflineStore,
    online: OnlineStore,
    view: FeatureView,
    at: datetime,
    progress: Callable[[str, int, int], None],
) -> MaterializeReport:
    """Bring a view up to what was ingested, and up to an instant.

    Args:
        offline: where the rows are.
        online: where they go.
        view: which rows.
        at: the present; rows with a later event time wait.
        progress: called with (view, rows done, rows seen so far) after each chunk.
    """
    since = read_watermark(online, view.ref)
    until = _until(offline.watermark(view), since, at)
    encode = _event_rows if view.windows else _newest_rows
    rows = written = 0
    for table, seen in _chunks(offline.changes(view, since, until, history=reach(view))):
        encoded = encode(view, table, until)
        while batch := list(islice(encoded, _BATCH)):
            written += sum(online.write(view.ref, batch))
        rows += len(table)
        progress(view.ref, rows, seen)
    if not rows:
        progress(view.ref, 0, 0)
    write_watermark(online, view.ref, until)
    return MaterializeReport(view=view.ref, rows=rows, written=written, watermark=until)


def reach(view: FeatureView) -> timedelta | None:
    """Return how far back events are kept online for a view's windows; ``None`` for a view without windows.

    That is as far as the windows reach from :data:`EARLIER` before the present, so that a question as of a little
    earlier, which a clock or a replay may ask, is answered in full.
    """
    return max((EARLIER + window.length + (window.slide or timedelta(0)) for window in view.windows), default=None)


def _until(ingested: Watermark, since: Watermark | None, at: datetime) -> Watermark:
    if since is None:
        return Watermark(ingested.position, at)
    return Watermark(max(ingested.position, since.position), max(at, since.due))


def _chunks(streams: Iterator[Any]) -> Iterator[tuple[Any, int]]:
    """Tables, and the number of rows up to the table after each, so that it is known when the last is done."""
    seen = 0
    held: Any = None
    for stream in streams:
        table = read_table(stream, "offline store")
        seen += len(table)
        if held is not None:
            yield held, seen
        held = table
    if held is not None:
        yield held, seen


def _newest_rows(view: FeatureView, table: Any, until: Watermark) -> Iterator[OnlineRow]:
    """The newest row of each key of a chunk."""
    order = order_rows(view, table)
    places = order.places[ends(order.key_id)]
    rows = table.take(places)
    payloads = RowCodec(view.fields).encode(
        to_columns(rows, view.fields),
        event_us=microseconds(rows.column(EVENT)),
        created_us=microseconds(rows.column(CREATED)),
        position=until.position,
        due_us=to_microseconds(until.due),
    )
    for key, token, payload in zip(order.keys_of(places), rows.column(ORDER).to_pylist(), payloads, strict=True):
        yield OnlineRow(key, token, payload)


def _event_rows(view: FeatureView, table: Any, until: Watermark) -> Iterator[OnlineRow]:
    """All events of each key of a chunk, but those that were revised, as one row."""
    order = order_rows(view, table)
    rows = table.take(order.places)
    columns = to_columns(rows, view.fields)
    event_id = None if view.event_id is None else columns[view.event_id]
    event_us = microseconds(rows.column(EVENT))
    counts = np.flatnonzero(latest_revisions(order.key_id, event_us, event_id))
    stops = np.flatnonzero(ends(order.key_id[counts])) + 1
    payloads = EventsCodec(view.fields).encode(
        {name: Column(values[counts], valid[counts]) for name, (values, valid) in columns.items()},
        event_us=event_us[counts],
        created_us=microseconds(rows.column(CREATED))[counts],
        offsets=np.concatenate([[0], stops]),
        position=until.position,
        due_us=to_microseconds(until.due),
    )
    for key, payload in zip(order.keys_of(order.places[counts[stops - 1]]), payloads, strict=True):
        yield OnlineRow(key, token_of(until) + blake2b(payload, digest_size=8).digest(), payload)
