"""Windows over the rows that may be known at each asked instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_interfaces.definitions import Window
from stackwright_memory.history import History, Key, Row, arrow_type
from stackwright_numerics.columns import Column
from stackwright_numerics.windows import compute, lower_edge


def aggregated(
    history: History, window: Window, keys: Sequence[Key], instants: Sequence[int], known: Sequence[Sequence[Row]]
) -> Any:
    """Return the window's result for each asked key and instant, as an Arrow array; null where a key part is null.

    Args:
        history: all rows.
        window: what to compute.
        keys: the asked keys.
        instants: the asked instants, microseconds since 1970.
        known: for each of them the rows that may be known, oldest first.
    """
    event_ids = _event_ids(history)
    edges = lower_edge(np.array(instants, np.int64), window)
    picked: list[int] = []
    offsets = [0]
    for edge, instant, rows in zip(edges.tolist(), instants, known, strict=True):
        latest = {(row.event, event_ids[row.place]): row for row in rows if edge <= row.event < instant}
        picked += [row.place for row in sorted(latest.values())]
        offsets.append(len(picked))
    bounds = np.array(offsets, np.int64)
    rows = pa.array(picked, pa.int64())
    columns = {name: _column(history.table[name].take(rows)) for name in window.columns}
    result = compute(window, columns, bounds[:-1], bounds[1:])
    values = [
        value if valid and None not in key else None
        for value, valid, key in zip(result.values.tolist(), result.valid.tolist(), keys, strict=True)
    ]
    return pa.array(values, arrow_type(history.view.window_type(window)))


def _event_ids(history: History) -> list[Any]:
    if history.view.event_id is None:
        return [None] * len(history.table)
    ids: list[Any] = history.table[history.view.event_id].to_pylist()
    return ids


def _column(array: Any) -> Column:
    valid = pc.is_valid(array).to_numpy()
    if pa.types.is_boolean(array.type):
        return Column(pc.fill_null(array, fill_value=False).to_numpy(), valid)
    if pa.types.is_int64(array.type):
        return Column(pc.fill_null(array, 0).to_numpy(), valid)
    if pa.types.is_float64(array.type):
        return Column(pc.fill_null(array, float("nan")).to_numpy(), valid)
    if pa.types.is_timestamp(array.type):
        stamps = pc.fill_null(array.cast(pa.int64()), np.iinfo(np.int64).min).to_numpy()
        return Column(stamps.view("datetime64[us]"), valid)
    return Column(np.fromiter(array.to_pylist(), dtype=object, count=len(array)), valid)
