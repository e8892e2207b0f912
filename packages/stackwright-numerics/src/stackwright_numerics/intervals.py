"""Intervals: of means and ratios by a bootstrap over users or lists (Efron 1979), of shares by a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS: Final = 1000
LEVEL: Final = 0.95
_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A value, and between what it lies.

    Args:
        value: as measured.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def bootstrap(
    table: Floats, statistic: Callable[[Floats], Floats], *, draws: int = DRAWS, level: float = LEVEL, seed: int = 7
) -> list[Interval]:
    """Return an interval for each number that a statistic of sums gives.

    Args:
        table: n × columns, a row a unit that is drawn (a user, a list).
        statistic: takes draws × columns, means of the columns over the units drawn, and gives draws × numbers.
        draws: resamples.
        level: share of them that lies inside.
        seed: of the draws.

    Returns:
        The statistic of the whole, with percentiles of the resamples' statistics; NaN ends where there is one unit.
    """
    n = len(table)
    values = statistic(table.mean(axis=0, keepdims=True))[0]
    if n < 2:
        return [Interval(float(value), float("nan"), float("nan")) for value in values]
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, max(1, _AT_ONCE // n)):
        some = min(max(1, _AT_ONCE // n), draws - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=some) / n
        found.append(statistic(weights @ table))
    tail = (1 - level) / 2
    low, high = np.nanquantile(np.concatenate(found), [tail, 1 - tail], axis=0)
    return [Interval(*map(float, ends)) for ends in zip(values, low, high, strict=True)]


def means(table: Floats, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 7) -> list[Interval]:
    """Return an interval for the mean of each column."""
    return bootstrap(table, lambda sums: sums, draws=draws, level=level, seed=seed)


def wilson(share: float, n: int, *, level: float = LEVEL) -> Interval:
    """Return the interval of a share of n trials (Wilson 1927, Journal of the American Statistical Association 22)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    room = z**2 / n
    middle = (share + room / 2) / (1 + room)
    reach = z * sqrt(share * (1 - share) / n + room / (4 * n)) / (1 + room)
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))
