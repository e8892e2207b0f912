"""Training and test rows in the order of time, so that no test answers a question that training has already seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError, UsageError

_NONE: Final = timedelta(0)


@dataclass(frozen=True)
class Fold:
    """One cut through time.

    Args:
        train: row numbers to fit on, ascending.
        test: row numbers to judge by, ascending.
        cut: the earliest instant of the test rows.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    cut: np.datetime64


class Ordered(Protocol):
    """Ascending ``datetime64`` values, as an array has them; those in files need not be in memory."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, place: int, /) -> Any:
        """Return one of them."""
        ...

    def searchsorted(self, value: Any, side: Literal["left", "right"]) -> Any:
        """Return how many are less than a value; with ``right``, how many are not greater."""
        ...


@dataclass(frozen=True, kw_only=True)
class TemporalSplit:
    """Forward chaining: each fold tests on the rows after a cut and trains on those before it.

    Rows of equal time are on one side of every cut, so a fold may be a little larger or smaller than its share.

    Args:
        folds: how many consecutive test periods of about equal numbers of rows.
        holdout: share of the newest rows that is tested on, all folds together; ``None`` takes ``folds / (folds + 1)``.
        gap: training rows must be older than the cut by more than this.
        horizon: how long after a row's time its label becomes known. Training rows whose label was not known at the
            cut are left out (the embargo); where :meth:`split` is told when each was observed, that decides.
        window: training rows older than this before the cut are left out; ``None`` keeps all.

    Raises:
        UsageError: an option that makes no sense.
    """

    folds: int = 1
    holdout: float | None = 0.2
    gap: timedelta = _NONE
    horizon: timedelta = _NONE
    window: timedelta | None = None

    def __post_init__(self) -> None:
        spans = {"gap": self.gap, "horizon": self.horizon, "window": self.window or timedelta(1)}
        for name, span in spans.items():
            if span < _NONE:
                raise UsageError("TemporalSplit", f"{name} is {span}", "Give a positive time span.")
        if self.folds < 1:
            raise UsageError("TemporalSplit", f"folds is {self.folds}", "Give 1 or more.")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise UsageError("TemporalSplit", f"holdout is {self.holdout}", "Give a share between 0 and 1.")

    def split(
        self, time: ArrayLike, *, observed: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[Fold]:
        """Give the folds, oldest cut first.

        Args:
            time: when each of n rows was asked, ``datetime64`` without ``NaT``; rows may be in any order.
            observed: when each label became known; ``NaT`` is never.
            groups: a label a row. Rows of a group that is tested on are left out of that fold's training.

        Raises:
            DataError: times are missing or not times, or a fold would have no training or no test rows.
        """
        asked = _times("time", time)
        known: NDArray[Any] = asked + np.timedelta64(self.horizon) if observed is None else _times("observed", observed)
        if np.isnat(asked).any():
            raise DataError("TemporalSplit", "rows without a time", "Leave them out.")
        for cut, end in self.periods(np.sort(asked)):
            test, train = self.tested(asked, cut, end), self.trained(asked, known, cut)
            if groups is not None:
                labels = np.asarray(groups)
                train &= ~np.isin(labels, np.unique(labels[test]))
            if not train.any():
                raise self.untrained(cut)
            yield Fold(np.flatnonzero(train), np.flatnonzero(test), cut)

    def trained(
        self, asked: NDArray[np.datetime64], known: NDArray[np.datetime64], cut: np.datetime64
    ) -> NDArray[np.bool_]:
        """Return which of n rows are trained on before a cut, by when each was asked and its label became known."""
        train: NDArray[np.bool_] = (asked < cut - np.timedelta64(self.gap)) & (known <= cut)
        if self.window is not None:
            train &= asked >= cut - np.timedelta64(self.window)
        return train

    def tested(self, asked: NDArray[np.datetime64], cut: np.datetime64, end: np.datetime64 | None) -> NDArray[np.bool_]:
        """Return which of n rows are tested on from a cut up to before an end; ``None`` is no end."""
        test: NDArray[np.bool_] = asked >= cut
        return test if end is None else test & (asked < end)

    def untrained(self, cut: np.datetime64) -> DataError:
        """Return the error of a fold that has nothing to train on."""
        todo = "Take fewer folds, a smaller holdout, gap or horizon."
        return DataError("TemporalSplit", f"no training rows before {cut}", todo)

    def periods(self, ordered: Ordered) -> list[tuple[np.datetime64, np.datetime64 | None]]:
        """Return the first instant of each test period, and that of the next; after the last is ``None``.

        Args:
            ordered: when each row was asked, ascending.

        Raises:
            DataError: there are too few rows, or too few times.
        """
        cuts = self._cuts(ordered)
        return list(zip(cuts, [*cuts[1:], None], strict=True))

    def _cuts(self, ordered: Ordered) -> list[np.datetime64]:
        share = self.folds / (self.folds + 1) if self.holdout is None else self.holdout
        wanted = ordered.size * (1 - share + share * np.arange(self.folds) / self.folds)
        cuts = [_boundary(ordered, float(place)) for place in wanted]
        if None in cuts or len(set(cuts)) < self.folds:
            found = f"{ordered.size} rows at {np.unique(np.asarray(ordered)).size} times do not make {self.folds} folds"
            raise DataError("TemporalSplit", found, "Take fewer folds, or rows of more times.")
        return [cut for cut in cuts if cut is not None]


def _boundary(ordered: Ordered, place: float) -> np.datetime64 | None:
    """Return the instant at which a run of equal times starts, nearest to a place; never the first of all."""
    found: np.datetime64 | None = None
    value = ordered[min(int(place), ordered.size - 1)] if ordered.size else np.datetime64("NaT")
    left, right = ordered.searchsorted(value, "left"), ordered.searchsorted(value, "right")
    if left > 0 and (place - left <= right - place or right == ordered.size):
        found = ordered[left]
    elif right < ordered.size:
        found = ordered[right]
    return found


def _times(name: str, values: ArrayLike) -> NDArray[Any]:
    times = np.asarray(values)
    if times.dtype.kind != "M":
        raise DataError("TemporalSplit", f"{name} is {times.dtype}", "Give datetime64 values.")
    return times.astype("datetime64[us]")
