"""How far the truth has come: by cohort of predictions, by delay, and for whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import microseconds
from stackwright_journal.joined import MATURED, SUPERSEDED, Joined, Maturity
from stackwright_numerics.drift import Histogram, Limits, compare

Period = Literal["day", "week", "month"]

DELAYS: Final = (1, 3, 7, 14, 30, 60, 90, 120, 180, 270, 365, 730)
"""Days at which :func:`delay_curve` is given."""

_QUARTER_US: Final = 900_000_000


def cohorts(
    joined: Joined, *, period: Period = "month", zone: str = "UTC", maturity: timedelta | None = None
) -> list[dict[str, Any]]:
    """Count what became of the predictions of each period.

    Args:
        joined: predictions with their labels.
        period: calendar period of the predictions' time; weeks begin on Monday.
        zone: IANA zone of the calendar.
        maturity: a cohort is mature when its last possible prediction is older than this.

    Returns:
        One JSON-able mapping a period that has predictions, oldest first: ``start`` (RFC 3339, local), ``n``, a count
        a :class:`~stackwright_journal.join.Maturity`, ``coverage`` (matured among those not superseded, null of none)
        and ``mature`` (null where ``maturity`` is not given).
    """
    table = joined.table
    if not len(table):
        return []
    # No zone's offset is finer than a quarter of an hour: so many sums are few, however many the predictions.
    held = microseconds(table.column(joined.time)) // _QUARTER_US
    first, quarters = int(held.min()), int(np.ptp(held)) + 1
    held -= first
    held *= len(Maturity)
    held += joined.states
    sums = np.bincount(held, minlength=quarters * len(Maturity)).reshape(-1, len(Maturity))
    there = np.flatnonzero(sums.any(axis=1))
    instants = pa.array((there + first) * _QUARTER_US).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    start = pc.floor_temporal(pc.local_timestamp(instants), unit=period)
    starts, codes = np.unique(start.to_numpy(zero_copy_only=False), return_inverse=True)
    found = []
    for place, moment in enumerate(pa.array(starts).to_pylist()):
        counted = sums[there[codes == place]].sum(axis=0).tolist()
        counts = {kind.value: number for kind, number in zip(Maturity, counted, strict=True)}
        asked = sum(counted) - counts[Maturity.SUPERSEDED]
        begins = _instant(moment, zone)
        ends = _instant(_next(moment, period), zone)
        found.append(
            {
                "start": begins.isoformat(),
                "n": sum(counted),
                **counts,
                "coverage": counts[Maturity.MATURED] / asked if asked else None,
                "mature": None if maturity is None else ends + maturity <= joined.at,
            }
        )
    return found


def delay_curve(joined: Joined, days: Sequence[int] = DELAYS) -> list[dict[str, Any]]:
    """Estimate which share of the truths is known how long after the prediction (Kaplan and Meier 1958).

    Predictions whose truth is not known yet count until they drop out of sight, so that young ones do not make labels
    look rarer than they are: ``known(d) = 1 - product over delays t <= d of (1 - matured at t / at risk at t)``.

    Args:
        joined: predictions with their labels; superseded ones are passed over.
        days: delays, in days.

    Returns:
        ``days``, ``known`` and ``at_risk`` (predictions watched for longer) for each delay that any prediction was
        watched for.
    """
    followed = joined.followed
    events, waiting = followed.came, followed.waiting
    at_risk = waiting.size - np.searchsorted(waiting, events, side="left") + events.size - np.arange(events.size)
    unknown = np.cumprod(1 - 1 / at_risk)
    found = []
    for day in days:
        known = int(np.searchsorted(events, day, side="right"))
        left = followed.watched.size - known - int(np.searchsorted(waiting, day, side="right"))
        if left:
            share = 1 - float(unknown[known - 1]) if known else 0.0
            found.append({"days": day, "known": share, "at_risk": left})
    return found


def selection(joined: Joined, *, limits: Limits | None = None) -> dict[str, Any]:
    """Tell whether the predictions whose truth is known are like all predictions; sold is not all.

    Returns:
        ``coverage`` (matured among those not superseded), ``psi``, ``ks`` and their noise of the matured predictions
        against all, and ``state``. A state that is not ``"ok"`` says that metrics are those of a selection.
    """
    state = joined.states
    asked = state != SUPERSEDED
    answers: NDArray[np.float64] = joined.table.column("prediction").fill_null(np.nan).to_numpy()
    if not asked.all():
        state, answers = state[asked], answers[asked]
    matured = state == MATURED
    histogram = Histogram.of(answers)
    drift = compare(histogram, histogram.count(answers[matured]), limits)
    return {
        "n": int(matured.sum()),
        "coverage": float(matured.mean()) if matured.size else None,
        "psi": drift.psi,
        "psi_noise": drift.psi_noise,
        "ks": drift.ks,
        "ks_noise": drift.ks_noise,
        "state": drift.states.get("psi", "insufficient"),
    }


def _next(moment: datetime, period: Period) -> datetime:
    if period == "month":
        return (moment.replace(day=28) + timedelta(days=4)).replace(day=1)
    return moment + timedelta(days=1 if period == "day" else 7)


def _instant(moment: datetime, zone: str) -> datetime:
    """Return the instant of a local time, shown in its zone."""
    local = pa.scalar(moment, pa.timestamp("us"))
    zoned: datetime = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").as_py()
    return zoned
