"""Time in periods: a hazard in discrete time, learned by any classifier (Singer and Willett 1993).

Time is cut into periods. Every row counts once for each period that it lived into; the classifier learns whether the
event came in that period, from the row's inputs and the period's middle. The chance to live through a period is 1 less
its hazard; inside of a period survival falls by an exponential. Rows whose event is still to come so count at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_NEVER = 1e-12


class PersonPeriods(NamedTuple):
    """Rows of a hazard's training set.

    Args:
        row: the row that each belongs to.
        period: the period that it stands for.
        event: whether the event came in it.
    """

    row: Places
    period: Places
    event: NDArray[np.bool_]


def period_ends(durations: ArrayLike, periods: int) -> Floats:
    """Return the ends of so many periods, at equal shares of the durations of events; fewer where many are equal.

    A period ends after 0, so that it has a middle to ask for.
    """
    times = np.asarray(durations, dtype=np.float64)
    ends = np.unique(np.quantile(times, np.arange(1, periods + 1) / periods, method="higher"))
    return ends[ends > 0] if (ends > 0).any() else ends


def middles(ends: Floats) -> Floats:
    """Return the middle of each period."""
    return np.asarray(ends - np.diff(ends, prepend=0.0) / 2)


def person_periods(event: ArrayLike, duration: ArrayLike, ends: Floats) -> PersonPeriods:
    """Return every period that counts of n rows.

    A period counts where it was lived through to the middle, or ended by the event.

    Args:
        event: whether the event of each row was seen.
        duration: time to the event or to the censoring.
        ends: ends of the periods, ascending.
    """
    seen, time = np.asarray(event, dtype=np.bool_), np.asarray(duration, dtype=np.float64)
    last = np.searchsorted(ends, time, side="left")
    happened = seen & (last < ends.size)
    lived = np.where(happened, last, np.searchsorted(middles(ends), time, side="right"))
    counts = lived + happened
    row = np.repeat(np.arange(time.size), counts)
    period = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return PersonPeriods(row, period, happened[row] & (period == last[row]))


def survival(hazard: Floats) -> Floats:
    """Return the chance to live through each period, n × periods, from the hazard of each."""
    return np.asarray(np.cumprod(1 - hazard, axis=1), dtype=np.float64)


def mean(lived: Floats, ends: Floats) -> Floats:
    """Return the mean time up to the last end: the area under survival, by trapezoids."""
    before = np.column_stack([np.ones(len(lived)), lived[:, :-1]])
    return np.asarray(((before + lived) / 2 * np.diff(ends, prepend=0.0)).sum(axis=1))


def median(lived: Floats, ends: Floats) -> Floats:
    """Return the median time; infinite where more than half live longer than the last end."""
    times, logs = _knots(lived, ends)
    reached = logs[:, 1:] <= np.log(0.5)
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), 0)
    each = np.arange(len(lived))
    above, below = logs[each, first], logs[each, first + 1]
    share = np.divide(above - np.log(0.5), above - below, out=np.zeros_like(above), where=above > below)
    found = times[first] + share * (times[first + 1] - times[first])
    return np.where(reached.any(axis=1), found, np.inf)


def at(lived: Floats, ends: Floats, times: ArrayLike) -> Floats:
    """Return the chance that the event is still to come at each of m times, n × m; after the last end it stays."""
    wanted = np.asarray(times, dtype=np.float64)
    knots, logs = _knots(lived, ends)
    return np.exp([np.interp(wanted, knots, row) for row in logs]).reshape(len(lived), wanted.size)


def _knots(lived: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Return times from 0 and the logarithm of survival at each."""
    logs = np.log(np.maximum(lived, _NEVER))
    return np.concatenate([[0.0], ends]), np.column_stack([np.zeros(len(lived)), logs])
