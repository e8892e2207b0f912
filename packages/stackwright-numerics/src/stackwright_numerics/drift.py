"""Whether a column looks as it did in training: reference histograms, counts against them, and their distance.

A :class:`Histogram` is built once from the training column and travels in the model's manifest. Later columns are only
counted into its bins (:class:`Counts`, which add up over chunks, processes and days), and :func:`compare` judges
the counts. Columns are model columns: float64 with NaN where missing (also bool, integers and ``datetime64``), or
objects with ``None`` where missing.

Distances, over the ``B`` bins that hold present values, with shares ``r`` of the reference and ``c`` of the current
rows, each smoothed by half a row a bin:

- population stability index, ``PSI = sum (c - r) ln(c / r)`` (the symmetric Kullback-Leibler divergence). Without drift
  it scatters like ``(1/n + 1/m) chi2(B - 1)`` (Yurdakul 2018), whose 99.9 % point is reported as ``psi_noise``;
- Kolmogorov and Smirnov's statistic on the bins, ``KS = max |C - R|`` of the cumulated shares (numbers only), a lower
  bound of the exact one, with its asymptotic 99.9 % point ``1.95 sqrt(1/n + 1/m)`` as ``ks_noise``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, WrongType

State = Literal["ok", "warn", "alarm", "insufficient"]

_SEVERITY: Final[tuple[State, ...]] = ("insufficient", "ok", "warn", "alarm")
_UNSEEN_KEPT: Final = 20
_POOLED_SHARE: Final = 0.005
_NORMAL_999: Final = 3.0902
_KS_999: Final = 1.9495


def worst(*states: State) -> State:
    """Return the most severe state; ``"insufficient"`` only where there is no other."""
    return max(states, key=_SEVERITY.index, default="insufficient")


@dataclass(frozen=True)
class Counts:
    """How many rows fell where. Counts against one histogram add up with ``+``.

    Args:
        bins: rows in each bin; for categories the last bin holds those that are not kept.
        missing: rows without a value.
        below: present rows below the least number of the reference; they are in the first bin as well.
        above: present rows above its greatest.
        unseen: categories that are not kept → rows, the 20 most frequent.
    """

    bins: NDArray[np.int64]
    missing: int = 0
    below: int = 0
    above: int = 0
    unseen: Mapping[str, int] = field(default_factory=dict)

    @property
    def present(self) -> int:
        """Rows with a value."""
        return int(self.bins.sum())

    @property
    def n(self) -> int:
        """All rows."""
        return self.present + self.missing

    def __add__(self, other: Counts) -> Counts:
        if self.bins.shape != other.bins.shape:
            found = f"{self.bins.size} and {other.bins.size} bins"
            raise DataError("counts", found, "Add counts that were made against one histogram.")
        return Counts(
            bins=self.bins + other.bins,
            missing=self.missing + other.missing,
            below=self.below + other.below,
            above=self.above + other.above,
            unseen=_most_frequent(Counter(self.unseen) + Counter(other.unseen)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "bins": self.bins.tolist(), "unseen": dict(self.unseen)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        return cls(**{**document, "bins": np.asarray(document["bins"], dtype=np.int64)})


@dataclass(frozen=True)
class Histogram:
    """The reference distribution of a column.

    Args:
        kind: ``"number"`` or ``"category"``.
        counts: of the reference rows.
        cuts: ascending; bin ``i`` of numbers holds ``cuts[i - 1] <= v < cuts[i]``.
        low: least finite number, ``None`` of none.
        high: greatest finite number.
        categories: the kept categories, sorted.
    """

    kind: Literal["number", "category"]
    counts: Counts
    cuts: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: NDArray[Any], *, bins: int = 20, categories: int = 1000) -> Self:
        """Build the histogram of a column.

        Args:
            values: the column.
            bins: most bins of numbers. They hold about the same number of rows each, and a frequent value one alone.
            categories: most categories that are kept, the most frequent ones; the others are counted together.

        Raises:
            WrongType: an object in the column is no text.
        """
        if values.dtype == object:
            return cls._of_categories(_tally(values), categories)
        return cls._of_numbers(_numbers(values), bins)

    @classmethod
    def _of_numbers(cls, numbers: NDArray[np.float64], bins: int) -> Self:
        """Count as :meth:`count` does, by where each cut stands among the sorted numbers: one search a cut."""
        is_finite = np.isfinite(numbers)
        finite, others = np.sort(numbers[is_finite]), numbers[~is_finite]
        below, above = int(np.count_nonzero(others == -np.inf)), int(np.count_nonzero(others == np.inf))
        missing = others.size - below - above
        cuts = _cuts(finite, bins)
        places = below + np.searchsorted(finite, np.asarray(cuts), side="left")
        held = np.diff(places, prepend=0, append=numbers.size - missing).astype(np.int64)
        if not finite.size:
            return cls("number", Counts(held, missing))
        counts = Counts(held, missing, below, above)
        return cls("number", counts, cuts, low=float(finite[0]), high=float(finite[-1]))

    @classmethod
    def _of_categories(cls, tally: Counter[str | None], limit: int) -> Self:
        frequent = sorted((name for name in tally if name is not None), key=lambda name: (-tally[name], name))
        kept = tuple(sorted(frequent[:limit]))
        return cls("category", _count_categories(tally, kept), categories=kept)

    def count(self, values: NDArray[Any]) -> Counts:
        """Count a column into the bins.

        Raises:
            WrongType: the column is of the other kind, or an object in it is no text.
        """
        if (values.dtype == object) != (self.kind == "category"):
            found = "objects" if values.dtype == object else f"{values.dtype} numbers"
            raise WrongType.of("drift", "values", found, f"a {self.kind}")
        if self.kind == "category":
            return _count_categories(_tally(values), self.categories)
        numbers = _numbers(values)
        place = np.searchsorted(np.asarray(self.cuts), numbers, side="right")
        missing = np.isnan(numbers)
        place[missing] = len(self.cuts) + 1
        bins = np.bincount(place, minlength=len(self.cuts) + 2)
        return Counts(
            bins=bins[:-1].astype(np.int64),
            missing=int(bins[-1]),
            below=0 if self.low is None else int(np.count_nonzero(numbers < self.low)),
            above=0 if self.high is None else int(np.count_nonzero(numbers > self.high)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, as manifests hold it."""
        document: dict[str, Any] = {"kind": self.kind, "counts": self.counts.to_json()}
        if self.kind == "category":
            return document | {"categories": list(self.categories)}
        return document | {"cuts": list(self.cuts), "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            DataError: it is none.
        """
        try:
            return cls(
                kind=document["kind"],
                counts=Counts.from_json(document["counts"]),
                cuts=tuple(document.get("cuts", ())),
                low=document.get("low"),
                high=document.get("high"),
                categories=tuple(document.get("categories", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("histogram", f"not a histogram ({error!r})", "Publish the model again.") from error


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


def _cuts(ordered: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Return the first value of every bin but the first: bins of about equal size that split no run of equal values."""
    cuts: list[float] = []
    start, n = 0, ordered.size
    while len(cuts) < bins - 1 and start < n:
        target = start + max((n - start) / (bins - len(cuts)), n / bins)
        if target >= n:
            break
        value = ordered[int(target)]
        left, right = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
        start = int(left if left > start and target - left <= right - target else right)
        if start < n:
            cuts.append(float(ordered[start]))
    return tuple(cuts)


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind == "M":
        seconds = values.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    return values.astype(np.float64, copy=False)


def _tally(values: NDArray[Any]) -> Counter[str | None]:
    """Count equal objects; NaN counts as missing."""
    tally: Counter[str | None] = Counter()
    for name, rows in Counter(values.tolist()).items():
        if name is None or name != name:
            tally[None] += rows
        elif isinstance(name, str):
            tally[name] += rows
        else:
            raise WrongType.of("drift", "values", type(name).__name__, "string")
    return tally


def _count_categories(tally: Counter[str | None], kept: tuple[str, ...]) -> Counts:
    known = set(kept)
    unseen = Counter({name: rows for name, rows in tally.items() if name is not None and name not in known})
    bins = np.array([*(tally[name] for name in kept), unseen.total()], dtype=np.int64)
    return Counts(bins, missing=tally[None], unseen=_most_frequent(unseen))


def _most_frequent(tally: Counter[str]) -> dict[str, int]:
    return dict(sorted(tally.items(), key=lambda item: (-item[1], item[0]))[:_UNSEEN_KEPT])
