"""How many rows of a column fell where: a histogram fixed at training, and counts against it that add up.

A :class:`Histogram` is built once from the training column and travels in the model's manifest. Later columns are only
counted into its bins (:class:`Counts`, which add up over chunks, processes and days). Columns are model columns:
float64 with NaN where missing (also bool, integers and ``datetime64``), or objects with ``None`` where missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, WrongType

__all__ = ["Counts", "Histogram"]

_UNSEEN_KEPT: Final = 20
_BLOCK: Final = 1 << 16
"""Numbers that are counted at a time: so many, with what is made of them, stay in the processor's cache."""


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
        parts = (values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK))
        ends = [*self.cuts, *((self.low,) if self.low is not None else ())]
        below, above, missing = np.zeros(len(ends), np.int64), 0, 0
        for part in map(_numbers, parts):
            # A comparison with each cut takes a fifth of the time of a search for each number among the cuts.
            below += np.array([np.count_nonzero(part < end) for end in ends], np.int64)
            missing += int(np.count_nonzero(part != part))
            above += 0 if self.high is None else int(np.count_nonzero(part > self.high))
        cuts = len(self.cuts)
        return Counts(
            bins=np.diff(below[:cuts], prepend=0, append=len(values) - missing),
            missing=missing,
            below=int(below[cuts:].sum()),
            above=above,
        )

    def count_tally(self, tally: Mapping[str | None, int]) -> Counts:
        """Count categories that are tallied already, ``None`` for missing ones.

        Raises:
            WrongType: the histogram is of numbers.
        """
        if self.kind != "category":
            raise WrongType.of("drift", "values", "categories", f"a {self.kind}")
        return _count_categories(Counter(tally), self.categories)

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
