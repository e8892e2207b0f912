"""Windows: aggregates over many segments of rows, the same bits on every path.

A result depends on the rows of its segment and their order alone, never on what else is in the array or on how the
rows were split. With the non-null values ``x`` of a segment, ``n`` of them:

======== ===========================================================================================
count    ``n``, or the number of rows where no column is named
sum      correctly rounded to float64 (as ``math.fsum``); int64 is added as integers
mean     ``sum / n``
std      of the sample, correctly rounded (as ``statistics.stdev``); NaN with an infinity
min, max by value; NaN where the segment holds one
distinct number of different values; all NaNs are one value, -0.0 and 0.0 another
last     the newest non-null value
last_n   the ``N`` newest non-null values, oldest first
ratio    ``sum`` of a column / ``sum`` of another, or / the number of rows; null where that is 0 or null
======== ===========================================================================================

In an empty segment ``count`` and ``distinct`` are 0 and the others null; ``std`` is null below two values. Computed
zeros are 0.0, never -0.0, and computed NaNs all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.definitions import Aggregate, Window
from stackwright_interfaces.errors import DefinitionError
from stackwright_numerics.columns import Column, filler_of
from stackwright_numerics.ranges import distinct_counts, range_extremes
from stackwright_numerics.sums import plain, segment_deviations, segment_sums

_MICROSECOND: Final = timedelta(microseconds=1)


def lower_edge(at_us: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
    """Return the first event time that counts at each asked instant; the window is ``[edge, at)``.

    Args:
        at_us: asked instants, microseconds since 1970-01-01 UTC.
        window: the window.

    Returns:
        ``at - length``, rounded down to a multiple of ``slide`` where the window has one.
    """
    edge = np.asarray(at_us, np.int64) - window.length // _MICROSECOND
    return edge if window.slide is None else edge - edge % (window.slide // _MICROSECOND)


def compute(
    window: Window, columns: Mapping[str, Column], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> Column:
    """Compute a window over the rows ``starts[i]`` to ``stops[i]`` (exclusive), for each of m segments.

    Args:
        window: what is computed.
        columns: the columns it reads, as :func:`aggregate` takes them.
        starts: int64 array of m, not above ``stops``; segments may overlap, in any order.
        stops: int64 array of m.

    Returns:
        A new column of m, of the view's ``window_type``.
    """
    column = None if window.column is None else columns[window.column]
    if window.aggregate is Aggregate.RATIO:
        over = None if window.over is None else columns[window.over]
        return _ratio(aggregate(Aggregate.SUM, column, starts, stops), _below(over, starts, stops))
    if window.aggregate is Aggregate.LAST_N and column is not None and window.n is not None:
        return _last_values(column, window.n, starts, stops)
    return aggregate(window.aggregate, column, starts, stops)


def _below(over: Column | None, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Column:
    return aggregate(Aggregate.COUNT if over is None else Aggregate.SUM, over, starts, stops)


def _ratio(above: Column, below: Column) -> Column:
    valid = above.valid & below.valid & (below.values != 0)
    with np.errstate(invalid="ignore", over="ignore"):
        found = plain(np.divide(above.values, below.values, out=np.full(len(valid), np.nan), where=valid))
    return Column(found, valid)


def _last_values(column: Column, n: int, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Column:
    values, starts, stops = _present(column, starts, stops)
    first = np.maximum(starts, stops - n)
    found = np.full(len(starts), None, object)
    for place in np.flatnonzero(stops > starts).tolist():
        found[place] = _elements(values[first[place] : stops[place]])
    return Column(found, stops > starts)


def _elements(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "M":
        return [moment.replace(tzinfo=UTC) for moment in values.tolist()]
    found: list[Any] = values.tolist()
    return found


def aggregate(kind: Aggregate, column: Column | None, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Column:
    """Aggregate the rows ``starts[i]`` to ``stops[i]`` (exclusive) of a column, for each of m segments.

    Args:
        kind: what is computed.
        column: rows sorted by order token within each key; ``None`` counts rows.
        starts: int64 array of m, not above ``stops``; segments may overlap, in any order.
        stops: int64 array of m.

    Returns:
        A new column of m: int64 for count and distinct, the column's own type for min, max and last, else float64.

    Raises:
        DefinitionError: the column's type has no such aggregate, or it takes more than one column to compute.
    """
    if column is None:
        if kind is not Aggregate.COUNT:
            raise DefinitionError("window", f"{kind} of no column", "Name a column.")
        return _all_valid(stops - starts)
    values, starts, stops = _present(column, starts, stops)
    if kind is Aggregate.COUNT:
        return _all_valid(stops - starts)
    if kind is Aggregate.DISTINCT:
        return _all_valid(distinct_counts(_identities(values), starts, stops))
    if kind is not Aggregate.LAST and (values.ndim > 1 or values.dtype.kind not in "bifM"):
        raise DefinitionError("window", f"{kind} of values that are not numbers", "Choose another aggregate or column.")
    if kind not in _COMPUTED:
        raise DefinitionError("window", f"{kind} takes a window to compute", "Use compute.")
    least, function = _COMPUTED[kind]
    there = stops - starts >= least
    if np.count_nonzero(there) == len(there):
        return Column(function(values, starts, stops), there)
    found = function(values, starts[there], stops[there])
    filled = np.full((len(there), *found.shape[1:]), filler_of(found.dtype), found.dtype)
    filled[there] = found
    return Column(filled, there)


def _present(
    column: Column, starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the values that are not null, and where the segments lie among them."""
    values, valid = column
    if np.count_nonzero(valid) == len(valid):
        return values, starts, stops
    before = np.zeros(len(valid) + 1, np.int64)
    np.cumsum(valid, out=before[1:])
    return values[valid], before[starts], before[stops]


def latest_revisions(
    key_id: NDArray[np.int64], event_us: NDArray[np.int64], event_id: Column | None = None
) -> NDArray[np.bool_]:
    """Tell which rows count: of the revisions of one event only the last.

    Revisions are rows of one key with the same event time and the same event id (two nulls are the same); without
    event ids, of the same event time.

    Args:
        key_id: a number a key, of n; rows are sorted by key, then by order token.
        event_us: event times.
        event_id: event ids, of any hashable kind.

    Returns:
        bool array of n.
    """
    if len(key_id) == 0:
        return np.zeros(0, np.bool_)
    new = np.ones(len(key_id), np.bool_)
    new[1:] = (key_id[1:] != key_id[:-1]) | (event_us[1:] != event_us[:-1])
    if event_id is None:
        return np.append(new[1:], np.True_)
    instants = np.cumsum(new)
    identities = np.where(event_id.valid, _identities(event_id.values), 0)
    order = np.lexsort((identities, event_id.valid, instants))
    revised = np.logical_and.reduce(
        [part[order[1:]] == part[order[:-1]] for part in (instants, event_id.valid, identities)]
    )
    counts = np.ones(len(key_id), np.bool_)
    counts[order[:-1]] = ~revised
    return counts


def _all_valid(values: NDArray[np.int64]) -> Column:
    return Column(values, np.ones(len(values), np.bool_))


def _last(values: NDArray[Any], _starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
    return values[stops - 1]


def _mean(values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.float64]:
    return segment_sums(values, starts, stops) / (stops - starts)


def _min(values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
    return _one_zero(range_extremes(np.minimum, values, starts, stops))


def _max(values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
    return _one_zero(range_extremes(np.maximum, values, starts, stops))


def _one_zero(found: NDArray[Any]) -> NDArray[Any]:
    return plain(found) if found.dtype.kind == "f" else found


_COMPUTED: Final[dict[Aggregate, tuple[int, Callable[..., NDArray[Any]]]]] = {
    Aggregate.LAST: (1, _last),
    Aggregate.SUM: (1, segment_sums),
    Aggregate.MEAN: (1, _mean),
    Aggregate.STD: (2, segment_deviations),
    Aggregate.MIN: (1, _min),
    Aggregate.MAX: (1, _max),
}
"""Aggregate → fewest values it needs, and the function over values, starts and stops."""


def _identities(values: NDArray[Any]) -> NDArray[np.int64]:
    """int64 that are equal where the values are."""
    match values.dtype.kind:
        case "O":
            known: dict[Any, int] = {}
            codes = (known.setdefault(value, len(known)) for value in values.tolist())
            return np.fromiter(codes, np.int64, len(values))
        case "f":
            return np.where(np.isnan(values), np.nan, values + 0.0).view(np.int64)
    return values.astype(np.int64)
