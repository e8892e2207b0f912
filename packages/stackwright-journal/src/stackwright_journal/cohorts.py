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
from stackwright_features.times import to_microseconds
from stackwright_journal.join import Joined, Maturity
from stackwright_numerics.drift import Histogram, Limits, compare

Period = Literal["day", "week", "month"]

DELAYS: Final = (1, 3, 7, 14, 30, 60, 90, 120, 180, 270, 365, 730)
"""Days at which :func:`delay_curve` is given."""

_DAY_US: Final = 86_400_000_000


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
    local = pc.local_timestamp(table.column(joined.time).cast(pa.timestamp("us", zone)))
    start = pc.floor_temporal(local, unit=period)
    found = []
    for moment in sorted(pc.unique(start).to_pylist()):
        inside = table.filter(pc.equal(start, pa.scalar(moment, start.type)))
        counts = {kind.value: 0 for kind in Maturity} | _tally(inside.column("status"))
        asked = len(inside) - counts[Maturity.SUPERSEDED]
        begins = _instant(moment, zone)
        ends = _instant(_next(moment, period), zone)
        found.append(
            {
                "start": begins.isoformat(),
                "n": len(inside),
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
    status = joined.table.column("status").to_numpy()
    counts = status != Maturity.SUPERSEDED
    matured = (status == Maturity.MATURED)[counts]
    made = microseconds(joined.table.column(joined.time))[counts]
    observed = microseconds(joined.table.column("observed_at"))[counts]
    seen = np.isin(status[counts], [Maturity.MATURED, Maturity.CENSORED])
    watched = (np.where(seen, observed, to_microseconds(joined.at)) - made) / _DAY_US
    order = np.lexsort((~matured, watched))
    watched, matured = watched[order], matured[order]
    at_risk = watched.size - np.arange(watched.size)
    unknown = np.cumprod(1 - matured / at_risk) if watched.size else np.empty(0)
    found = []
    for day in days:
        place = int(np.searchsorted(watched, day, side="right"))
        if place < watched.size:
            known = 1 - float(unknown[place - 1]) if place else 0.0
            found.append({"days": day, "known": known, "at_risk": int(watched.size - place)})
    return found


def selection(joined: Joined, *, limits: Limits | None = None) -> dict[str, Any]:
    """Tell whether the predictions whose truth is known are like all predictions; sold is not all.

    Returns:
        ``coverage`` (matured among those not superseded), ``psi``, ``ks`` and their noise of the matured predictions
        against all, and ``state``. A state that is not ``"ok"`` says that metrics are those of a selection.
    """
    table = joined.table.filter(pc.not_equal(joined.table.column("status"), Maturity.SUPERSEDED.value))
    matured = pc.equal(table.column("status"), Maturity.MATURED.value).to_numpy()
    answers: NDArray[np.float64] = table.column("prediction").fill_null(np.nan).to_numpy()
    histogram = Histogram.of(answers)
    drift = compare(histogram, histogram.count(answers[matured]), limits)
    return {
        "n": int(matured.sum()),
        "coverage": float(matured.mean()) if len(table) else None,
        "psi": drift.psi,
        "psi_noise": drift.psi_noise,
        "ks": drift.ks,
        "ks_noise": drift.ks_noise,
        "state": drift.states.get("psi", "insufficient"),
    }


def _tally(status: Any) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in status.value_counts().to_pylist()}


def _next(moment: datetime, period: Period) -> datetime:
    if period == "month":
        return (moment.replace(day=28) + timedelta(days=4)).replace(day=1)
    return moment + timedelta(days=1 if period == "day" else 7)


def _instant(moment: datetime, zone: str) -> datetime:
    """Return the instant of a local time, shown in its zone."""
    local = pa.scalar(moment, pa.timestamp("us"))
    zoned: datetime = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").as_py()
    return zoned
