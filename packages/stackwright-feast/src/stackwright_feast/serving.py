"""Views that Feast has, online: read as payloads, and brought online from their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_feast.existing import Existing
from stackwright_feast.history import encoded_keys
from stackwright_feast.keys import entity_key, parts_of
from stackwright_feast.values import from_value, to_values
from stackwright_feast.vendor import translated
from stackwright_features.arrow import microseconds, to_columns
from stackwright_features.times import from_microseconds
from stackwright_features.values import typed_column
from stackwright_interfaces.feature_store import CREATED, EVENT, MaterializeReport, Watermark
from stackwright_numerics.columns import NAT
from stackwright_numerics.rows import RowCodec

_BATCH: Final = 500
_EPOCH: Final = from_microseconds(0)


def read_existing(existing: Existing, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return the payloads of rows that Feast keeps online; ``None`` where it has none.

    Args:
        existing: the view.
        keys: encoded keys, at least one.
    """
    view, store = existing.view, existing.repository.theirs
    names = view.entity.key_names
    asked = [dict(zip(names, parts_of(key), strict=True)) for key in keys]
    features = [f"{existing.feast.name}:{item.name}" for item in view.fields]
    with translated(f"online read of the Feast view {existing.feast.name!r}"):
        response = store.get_online_features(features, asked).proto
    answers = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
    columns = {
        item.name: typed_column(
            [from_value(value) for value in answers[item.name].values],
            item.type,
            where=f"online rows of {view.ref!r}",
            name=item.name,
        )
        for item in view.fields
    }
    event_us = np.full(len(keys), NAT)
    for item in view.fields:
        stamps = [stamp.ToMicroseconds() for stamp in answers[item.name].event_timestamps]
        event_us = np.maximum(event_us, np.array(stamps, np.int64))
    found = event_us > 0
    event_us = np.where(found, event_us, 0)
    payloads = RowCodec(view.fields).encode(columns, event_us=event_us, created_us=event_us, position=0, due_us=NAT)
    return [payload if there else None for payload, there in zip(payloads, found.tolist(), strict=True)]


def materialise_existing(
    existing: Existing, at: datetime, progress: Callable[[str, int, int], None]
) -> MaterializeReport:
    """Bring the newest row of each key online, from the source that Feast knows.

    A row that is older than what is online is passed over, so that late arrivals are picked up and nothing goes back.
    Feast's registry is told, so that ``feast materialize-incremental`` goes on from there.

    Args:
        existing: the view.
        at: the present; rows with a later event time wait.
        progress: called with (view, rows done, rows in all).
    """
    view, store = existing.view, existing.repository.theirs
    start = _EPOCH if view.max_age is None else at - view.max_age
    table = existing.latest(start, at)
    written = 0
    for done, batch in _batches(table):
        with existing.repository.online_lock:
            written += _write(existing, batch)
        progress(view.ref, done, len(table))
    if not len(table):
        progress(view.ref, 0, 0)
    with translated(f"registry of the Feast view {existing.feast.name!r}"):
        known = store.registry.get_feature_view(existing.feast.name, store.project)
        if known.most_recent_end_time is None or known.most_recent_end_time < at:
            store.registry.apply_materialization(known, store.project, start, at)
    return MaterializeReport(view=view.ref, rows=len(table), written=written, watermark=Watermark(0, at))


def _batches(table: Any) -> Iterator[tuple[int, Any]]:
    for start in range(0, len(table), _BATCH):
        batch = table.slice(start, _BATCH).combine_chunks()
        yield start + len(batch), batch


def _write(existing: Existing, rows: Any) -> int:
    view, store, feast = existing.view, existing.repository.theirs, existing.feast
    names = view.entity.key_names
    encoded = encoded_keys(view, [rows.column(name) for name in names])
    keys = [entity_key(names, parts_of(key)) for key in encoded if key is not None]
    with translated(f"online rows of the Feast view {feast.name!r}"):
        before = [stamp for stamp, _ in store.provider.online_read(store.config, feast, keys, None)]
        newer = _not_older(microseconds(rows.column(EVENT)), before)
        rows = rows.filter(pa.array(newer))
        types = {item.name: item.dtype for item in feast.features}
        columns = {name: to_values(column, types[name]) for name, column in to_columns(rows, view.fields).items()}
        data = [
            (key, {name: column[place] for name, column in columns.items()}, event, created)
            for place, (key, event, created) in enumerate(
                zip(
                    [key for key, wanted in zip(keys, newer.tolist(), strict=True) if wanted],
                    rows.column(EVENT).to_pylist(),
                    rows.column(CREATED).to_pylist(),
                    strict=True,
                )
            )
        ]
        if data:
            store.provider.online_write_batch(store.config, feast, data, None)
    return len(data)


def _not_older(event_us: NDArray[np.int64], before: Sequence[datetime | None]) -> NDArray[np.bool_]:
    """Which rows are not older than what is online, of which stores may keep whole seconds alone."""
    seconds = [NAT if stamp is None else int(stamp.timestamp() // 1) for stamp in before]
    newer: NDArray[np.bool_] = event_us // 1_000_000 >= np.array(seconds, np.int64)
    return newer
