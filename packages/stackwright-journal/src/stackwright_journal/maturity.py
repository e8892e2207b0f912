"""What answers are worth whose truths are mostly still to come: estimates that allow for those that are out.

Truths that come soon are not like those that come late. Of young predictions only the former are known, so a metric
over them is that of a selection. Each truth that came after ``d`` days is therefore weighed by ``1 / G(d)``, where
``G`` is the share of predictions that have been watched for so long: inverse-probability-of-censoring weights (Robins
and Rotnitzky 1992), with ``G`` by Kaplan and Meier, the roles of truth and censoring exchanged. Consistent where how
long a prediction has been watched says nothing about its error; where the model itself became worse meanwhile, it lags.

Truths later than the *reach*, beyond which hardly any prediction has been watched, stay unknown: the estimate is one
of the truths that come within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_journal.joined import MATURED, Followed, Joined
from stackwright_numerics import metrics

METHOD: Final = "ipcw"
TASKS: Final = ("regression", "classification")

Floats = NDArray[np.float64]

_COLUMNS: Final = ("target", "prediction", "lower", "upper")
_LEAST_WATCHED: Final = 0.05
_REPLICATES: Final = 200
_MOST_ROWS: Final = 5_000
_SEED: Final = 7


def weights(watched: Floats, matured: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Return the weights of the truths that are known, and the reach in days.

    Args:
        watched: days that each of n predictions was watched, until its truth came or to the present.
        matured: whether its truth came then.

    Returns:
        A weight for each matured prediction, in their order, 0 beyond the reach.
    """
    return _weights(Followed(watched, matured))


def _weights(followed: Followed) -> tuple[Floats, float]:
    delays, came, waiting = followed.delays, followed.came, followed.waiting
    # A truth that comes as the watch ends was seen: it leaves before those whose watch ends then. Those whose watch
    # ends between two truths leave one after the other, so that what is left of r by k of them is (r - k) / r.
    gone = np.searchsorted(waiting, came, side="left")
    left = np.diff(gone, prepend=0)
    at_risk = waiting.size - (gone - left) + came.size - np.arange(came.size)
    still = np.cumprod((at_risk - left) / at_risk)
    share = still[np.searchsorted(came, delays, side="left")]
    reached = share >= _LEAST_WATCHED
    reach = float(delays[reached].max()) if reached.any() else 0.0
    return np.where(reached, 1 / np.maximum(share, _LEAST_WATCHED), 0.0), reach


def estimate(joined: Joined, rows: NDArray[np.bool_], task: str, level: float) -> dict[str, Any] | None:
    """Estimate the metrics of some predictions from those of their truths that are known.

    Args:
        joined: predictions with their labels.
        rows: which of them, a mask; superseded ones among them are passed over.
        task: of the model.
        level: nominal coverage of the intervals.

    Returns:
        ``method`` (what marks it as an estimate), ``n`` truths, ``effective_n`` (Kish), ``asked`` predictions,
        ``known`` (share of the truths, if all came within the reach), ``reach_days``, ``metrics`` and ``intervals``;
        ``None`` where the task has no weighted metrics, or no truth is known.
    """
    if task not in TASKS:
        return None
    part = joined
    if not rows.all():
        times = joined.table.select([joined.time, "status", "observed_at"]).filter(pa.array(rows))
        part = Joined(times, joined.at, joined.time, 0, 0, 0, 0)
    followed = part.followed
    if not followed.matured.any():
        return None
    weight, reach = _weights(followed)
    chosen = rows & (joined.states == MATURED)
    known = joined.table.select(_COLUMNS).filter(pa.array(chosen))
    columns = {name: known.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy() for name in _COLUMNS}
    found = _score(task, columns, weight)
    return {
        "method": METHOD,
        "n": int(np.count_nonzero(weight)),
        "effective_n": float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0,
        "asked": int(followed.watched.size),
        "known": _known(followed, reach),
        "reach_days": reach,
        "metrics": {name: value for name, value in found.items() if name != "n"},
        "intervals": _intervals(task, columns, weight, level),
    }


def _score(task: str, columns: Mapping[str, Floats], weight: Floats) -> dict[str, float]:
    target, prediction, lower, upper = (columns[name] for name in _COLUMNS)
    return metrics.score(task, target, prediction, lower, upper, weight)


def _known(followed: Followed, reach: float) -> float:
    """Return the share of predictions whose truth comes within the reach that it has come of already."""
    came, waiting = followed.came, followed.waiting
    # Whoever is watched no longer than a truth took has left the line before it, but for those of the same instant.
    at_risk = came.size - np.arange(came.size) + waiting.size - np.searchsorted(waiting, came, side="left")
    unknown = np.cumprod(1 - 1 / at_risk)
    within = int(np.searchsorted(came, reach, side="right"))
    total = 1 - float(unknown[within - 1]) if within else 0.0
    return min(1.0, within / (came.size + waiting.size) / total) if total else 0.0


def _intervals(task: str, columns: Mapping[str, Floats], weight: Floats, level: float) -> dict[str, list[float]]:
    n = weight.size
    some = np.unique(np.linspace(0, n - 1, min(n, _MOST_ROWS)).astype(np.int64))
    shrink = float(np.sqrt(some.size / n))
    random = np.random.default_rng(_SEED)
    drawn: dict[str, list[float]] = {}
    for _ in range(_REPLICATES):
        index = some[random.integers(0, some.size, some.size)]
        sample = {name: column[index] for name, column in columns.items()}
        for name, value in _score(task, sample, weight[index]).items():
            drawn.setdefault(name, []).append(value)
    found = {}
    for name, values in drawn.items():
        if name != "n":
            middle = float(np.median(values))
            ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
            found[name] = [middle + shrink * (float(end) - middle) for end in ends]
    return found
