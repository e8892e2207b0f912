"""What arms of an experiment are compared on: metrics and means, with weights, quick enough to be drawn anew often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import UsageError
from stackwright_numerics import metrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Better = Literal["higher", "lower", "nearer zero"]

Value = Callable[[NDArray[np.bool_], Floats], float]
"""Of some rows with their weights, what is measured; NaN where it cannot be told."""


@dataclass(frozen=True)
class Measure:
    """What arms are compared on, of n rows.

    Args:
        name: its name.
        arm: place of each row's arm.
        cluster: a number an entity.
        value: what it measures.
        better: which way is better.
    """

    name: str
    arm: Ints
    cluster: Ints
    value: Value
    better: Better

    def gain(self, base: float, other: float) -> float:
        """Return by how much a value is better than another."""
        if self.better == "nearer zero":
            return abs(base) - abs(other)
        return other - base if self.better == "higher" else base - other


def mean_of(name: str, arm: Ints, cluster: Ints, values: Floats, *, better: Better) -> Measure:
    """Return the measure of a mean; rows without a value are passed over."""
    return Measure(name, arm, cluster, _mean(values), better)


def metric_of(task: str, name: str, arm: Ints, cluster: Ints, columns: Mapping[str, Floats]) -> Measure:
    """Return the measure of a metric over truths and answers; see :func:`stackwright_numerics.metrics.score`.

    Args:
        task: ``"regression"`` or ``"classification"``.
        name: a metric of the task.
        arm: place of each row's arm.
        cluster: a number an entity.
        columns: ``target``, ``prediction``, ``lower`` and ``upper`` of n rows.

    Raises:
        UsageError: the task has no such metric that can be compared.
    """
    made = _METRICS.get(task, {}).get(name)
    if made is None:
        known = ", ".join(_METRICS.get(task, {})) or "none; take mean:TARGET"
        found = f"cannot be compared between arms, where the task is {task}"
        raise UsageError(f"metric {name!r}", found, f"Known: {known}.")
    better: Better = "higher" if name in metrics.HIGHER_IS_BETTER else "nearer zero"
    return Measure(name, arm, cluster, made(columns), better)


def _mean(values: Floats) -> Value:
    known = np.isfinite(values)
    numbers = np.where(known, values, 0.0)

    def value(rows: NDArray[np.bool_], weight: Floats) -> float:
        held = np.where(rows & known, weight, 0.0)
        total = held.sum()
        return float(numbers @ held / total) if total > 0 else float("nan")

    return value


def _median(values: Floats) -> Value:
    """Return the weighted median of the finite values: in order once, so that a draw only adds up weights."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    numbers = values[order]

    def value(rows: NDArray[np.bool_], weight: Floats) -> float:
        total = np.cumsum(np.where(rows[order], weight[order], 0.0))
        if not total.size or not total[-1] > 0:
            return float("nan")
        half = total[-1] / 2
        low, high = np.searchsorted(total, [half * (1 - 1e-12), half * (1 + 1e-12)], side="left")
        return float((numbers[low] + numbers[min(high, numbers.size - 1)]) / 2)

    return value


def _root(values: Floats) -> Value:
    mean = _mean(values)
    return lambda rows, weight: float(np.sqrt(mean(rows, weight)))


def _error(columns: Mapping[str, Floats]) -> Floats:
    error = metrics.relative_error(columns["target"], columns["prediction"])
    return np.where(np.isfinite(error), error, np.nan)


def _difference(columns: Mapping[str, Floats]) -> Floats:
    return np.abs(columns["prediction"] - columns["target"])


def _within(columns: Mapping[str, Floats], k: int) -> Floats:
    error = _error(columns)
    return np.where(np.isfinite(error), np.abs(error) <= k / 100, np.nan)


def _inside(columns: Mapping[str, Floats]) -> Floats:
    lower, upper, target = columns["lower"], columns["upper"], columns["target"]
    told = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(target)
    return np.where(told, (lower <= target) & (target <= upper), np.nan)


def _width(columns: Mapping[str, Floats]) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((columns["upper"] - columns["lower"]) / np.abs(columns["prediction"]))


def _answered(columns: Mapping[str, Floats]) -> Floats:
    known = np.isfinite(columns["target"])
    return np.where(known, np.isfinite(columns["prediction"]), np.nan)


def _whole(columns: Mapping[str, Floats], statistic: Callable[[Floats, Floats, Floats], float]) -> Value:
    target, prediction = columns["target"], columns["prediction"]
    known = np.isfinite(target) & np.isfinite(prediction)

    def value(rows: NDArray[np.bool_], weight: Floats) -> float:
        held = rows & known & (weight > 0)
        return statistic(target[held], prediction[held], weight[held]) if held.any() else float("nan")

    return value


_Made = Callable[[Mapping[str, Floats]], Value]
_METRICS: Final[Mapping[str, Mapping[str, _Made]]] = {
    "regression": {
        "mdape": lambda columns: _median(np.abs(_error(columns))),
        "signed_median_error": lambda columns: _median(_error(columns)),
        "mape": lambda columns: _mean(np.abs(_error(columns))),
        "mae": lambda columns: _mean(_difference(columns)),
        "rmse": lambda columns: _root(_difference(columns) ** 2),
        "ppe5": lambda columns: _mean(_within(columns, 5)),
        "ppe10": lambda columns: _mean(_within(columns, 10)),
        "ppe20": lambda columns: _mean(_within(columns, 20)),
        "hit_rate": lambda columns: _mean(_answered(columns)),
        "interval_coverage": lambda columns: _mean(_inside(columns)),
        "median_relative_width": lambda columns: _median(_width(columns)),
    },
    "classification": {
        "auc": partial(_whole, statistic=metrics.auc),
        "log_loss": partial(_whole, statistic=metrics.log_loss),
        "ece": partial(_whole, statistic=metrics.ece),
        "hit_rate": lambda columns: _mean(_answered(columns)),
    },
}
"""Task → metric → how it is measured of columns."""
