"""Whether a column looks as it did in training: the distance of counts from the histogram they were made with.

Distances, over the ``B`` bins that hold present values, with shares ``r`` of the reference and ``c`` of the current
rows, each smoothed by half a row a bin:

- population stability index, ``PSI = sum (c - r) ln(c / r)`` (the symmetric Kullback-Leibler divergence). Without drift
  it scatters like ``(1/n + 1/m) chi2(B - 1)`` (Yurdakul 2018), whose 99.9 % point is reported as ``psi_noise``;
- Kolmogorov and Smirnov's statistic on the bins, ``KS = max |C - R|`` of the cumulated shares (numbers only), a lower
  bound of the exact one, with its asymptotic 99.9 % point ``1.95 sqrt(1/n + 1/m)`` as ``ks_noise``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError
from stackwright_numerics.histograms import Counts, Histogram

__all__ = ["Counts", "Drift", "Histogram", "Limits", "State", "compare", "ks", "psi", "worst"]

State = Literal["ok", "warn", "alarm", "insufficient"]

_SEVERITY: Final[tuple[State, ...]] = ("insufficient", "ok", "warn", "alarm")
_POOLED_SHARE: Final = 0.005
_NORMAL_999: Final = 3.0902
_KS_999: Final = 1.9495


def worst(*states: State) -> State:
    """Return the most severe state; ``"insufficient"`` only where there is no other."""
    return max(states, key=_SEVERITY.index, default="insufficient")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on a difference matters. Half of a limit warns, the limit alarms.

    Args:
        psi: population stability index.
        ks: Kolmogorov-Smirnov statistic.
        missing: change of the share of missing values, either way.
        new: share of rows with a category that the reference never had.
        outside: growth of the share of numbers outside the reference's range.
        minimum: rows with a value below which distances say nothing; all rows, for the missing share.
    """

    psi: float = 0.2
    ks: float = 0.2
    missing: float = 0.05
    new: float = 0.05
    outside: float = 0.05
    minimum: int = 200


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How a column differs from its reference. Measures that do not apply, or lack rows, are ``None``.

    Args:
        n: current rows.
        missing: current share of missing values.
        missing_before: the reference's.
        psi: population stability index.
        psi_noise: the index that chance alone exceeds once in a thousand.
        ks: Kolmogorov-Smirnov statistic on the bins.
        ks_noise: the statistic that chance alone exceeds once in a thousand.
        outside: share of present rows outside the reference's range.
        new: share of present rows with a category that the reference never had.
        new_examples: such categories → rows.
        states: measure → its state.
        state: the worst of them.
    """

    n: int
    missing: float | None
    missing_before: float | None
    psi: float | None = None
    psi_noise: float | None = None
    ks: float | None = None
    ks_noise: float | None = None
    outside: float | None = None
    new: float | None = None
    new_examples: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    state: State = "insufficient"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def psi(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Population stability index of two arrays of counts in the same bins; see the module for the formula."""
    before, now = _smoothed(reference), _smoothed(current)
    return float(((now - before) * np.log(now / before)).sum())


def ks(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov statistic of two arrays of counts in the same ordered bins; NaN where one is empty."""
    if not reference.sum() or not current.sum():
        return float("nan")
    gap = np.cumsum(current) / current.sum() - np.cumsum(reference) / reference.sum()
    return float(np.abs(gap).max())


def compare(reference: Histogram, current: Counts, limits: Limits | None = None) -> Drift:
    """Judge counts against the histogram they were made with.

    A measure warns or alarms only where the rows prove it: a distance must also exceed its noise, a share must differ
    by more than 3.09 standard errors.

    Raises:
        DataError: the counts were made with another histogram.
    """
    limits = limits or Limits()
    before = reference.counts
    if current.bins.shape != before.bins.shape:
        found = f"{current.bins.size} bins against {before.bins.size}"
        raise DataError("drift", found, "Count with the histogram that is compared to.")
    states: dict[str, State] = {
        "missing": _share_state(
            current.missing, current.n, before.missing, before.n, limits.missing, limits, both_ways=True
        )
    }
    enough = min(current.present, before.present) >= max(limits.minimum, 1)
    distances = _distances(reference, current) if enough else {}
    for name in ("psi", "ks"):
        if name in distances:
            proven = distances[name] > distances[f"{name}_noise"]
            states[name] = _grade(distances[name] if proven else 0.0, getattr(limits, name))
    shares: dict[str, float | None] = {}
    if reference.kind == "number" and before.present:
        outside = current.below + current.above
        shares["outside"] = _share(outside, current.present)
        states["outside"] = _share_state(outside, current.present, 0, before.present, limits.outside, limits)
    elif reference.kind == "category" and not before.bins[-1]:
        unseen = int(current.bins[-1])
        shares["new"] = _share(unseen, current.present)
        states["new"] = _share_state(unseen, current.present, 0, before.present, limits.new, limits)
    return Drift(
        n=current.n,
        missing=_share(current.missing, current.n),
        missing_before=_share(before.missing, before.n),
        **distances,
        **shares,
        new_examples=dict(current.unseen) if "new" in shares else {},
        states=states,
        state=worst(*states.values()),
    )


def _distances(reference: Histogram, current: Counts) -> dict[str, float]:
    before, now = _pooled(reference, current)
    scatter = 1 / before.sum() + 1 / now.sum()
    found = {"psi": psi(before, now), "psi_noise": float(scatter * _chi2_999(before.size - 1))}
    if reference.kind == "number":
        found |= {"ks": ks(before, now), "ks_noise": _KS_999 * math.sqrt(scatter)}
    return found


def _pooled(reference: Histogram, current: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both counts; categories that are rare in the reference are counted together with the unseen."""
    before, now = reference.counts.bins, current.bins
    if reference.kind == "number":
        return before, now
    frequent = before >= _POOLED_SHARE * before.sum()
    frequent[-1] = False
    rest = ~frequent
    return np.append(before[frequent], before[rest].sum()), np.append(now[frequent], now[rest].sum())


def _smoothed(counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size), dtype=np.float64)


def _chi2_999(degrees: int) -> float:
    """The 99.9 % point of chi-squared (Wilson and Hilferty 1931)."""
    if degrees < 1:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + _NORMAL_999 * math.sqrt(spread)) ** 3)


def _share(part: int, n: int) -> float | None:
    return part / n if n else None


def _share_state(
    part: int, n: int, part_before: int, n_before: int, limit: float, limits: Limits, *, both_ways: bool = False
) -> State:
    if min(n, n_before) < max(limits.minimum, 1):
        return "insufficient"
    change = part / n - part_before / n_before
    pooled = (part + part_before) / (n + n_before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n_before))
    size = abs(change) if both_ways else change
    return _grade(size if size > _NORMAL_999 * error else 0.0, limit)


def _grade(value: float, limit: float) -> State:
    if value >= limit:
        return "alarm"
    return "warn" if value >= limit / 2 else "ok"
