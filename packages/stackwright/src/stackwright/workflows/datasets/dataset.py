"""The rows of a training set: what a model learns from and is judged by, in order of time, and how they are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.pins import Pin
from stackwright_interfaces.errors import DataError, TrainingError
from stackwright_numerics.split import TemporalSplit

TODO: Final = "Bring labels of more times, observed sooner; or change holdout, or set interval = 0."
"""What to do about rows that cannot be cut by time."""


@dataclass(frozen=True)
class Dataset:
    """Rows in order of the time asked; those of lists list by list, in order of the time that the list began.

    Args:
        columns: model columns of the service's outputs.
        target: the truth, float64, untransformed; of times to an event the days.
        asked: when each was asked for, ``datetime64[us]``.
        observed: when its truth became known; of a row that still waits, when it was last looked at.
        keys: key columns, as they were given.
        pin: how much was known when they were built.
        group: of a ranking, int64: equal for the rows of one list, which follow each other.
        position: of a ranking, int64: the place that each row was shown at, 0 where it is not known.
        event: of times to an event, whether it came; else it was still to come when the row was last looked at.
    """

    columns: Mapping[str, Any]
    target: NDArray[np.float64]
    asked: NDArray[np.datetime64]
    observed: NDArray[np.datetime64]
    keys: Mapping[str, Any]
    pin: Pin | None = None
    group: NDArray[np.int64] | None = None
    position: NDArray[np.int64] | None = None
    event: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[Any]) -> Dataset:
        """Return these rows (a mask or positions); rows one after the other are not copied."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        chosen: Any = places
        if places.size and (np.diff(places) == 1).all():
            chosen = slice(int(places[0]), int(places[-1]) + 1)
        return Dataset(
            columns={name: column[chosen] for name, column in self.columns.items()},
            target=self.target[chosen],
            asked=self.asked[chosen],
            observed=self.observed[chosen],
            keys={name: column[chosen] for name, column in self.keys.items()},
            pin=self.pin,
            **{name: values[chosen] for name, values in self.about.items()},
        )

    def through(self, step: Callable[[Dataset], Dataset]) -> Dataset:
        """Return the rows that a step leaves."""
        return step(self)

    def values(self, name: str) -> NDArray[Any]:
        """Return the values of a column."""
        values: NDArray[Any] = self.columns[name]
        return values

    def datasets(self, columns: None = None, *, keys: bool = True) -> Iterator[Dataset]:  # noqa: ARG002 -- as in files
        """Give the rows, all at once."""
        yield self

    def thinned(self, most: int) -> Dataset:
        """Return at most so many rows, spread evenly; all where there are no more."""
        return self if len(self) <= most else self.take(even(len(self), most))

    @property
    def about(self) -> dict[str, Any]:
        """What is known of the rows of a ranking, or of times to an event, beyond their target."""
        named = {"group": self.group, "position": self.position, "event": self.event}
        return {name: values for name, values in named.items() if values is not None}

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Places of the first row of each list, where there are lists; else of each row."""
        if self.group is None:
            return np.arange(len(self))
        return np.flatnonzero(np.diff(self.group, prepend=self.group[:1] - 1))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many rows each list has."""
        return np.diff(self.starts, append=len(self)).astype(np.int64)

    def is_of_lists(self, column: NDArray[Any]) -> bool:
        """Return whether a list has one value in this column, missing being one; false where there are no lists."""
        if self.group is None:
            return False
        first = column[np.repeat(self.starts, self.sizes)]
        if column.dtype == object:
            return bool(column.tolist() == first.tolist())
        return bool(np.array_equal(column, first, equal_nan=column.dtype.kind in "fM"))

    @property
    def begun(self) -> NDArray[np.datetime64]:
        """When each row was asked for; of lists, when its list began."""
        if self.group is None or not len(self):
            return self.asked
        return np.repeat(np.minimum.reduceat(self.asked, self.starts), self.sizes)

    @property
    def _usable(self) -> NDArray[np.datetime64]:
        """From when each row can be learned from: when the last truth of its list is known; of times at once."""
        if self.event is not None:
            return self.asked
        if self.group is None or not len(self):
            return self.observed
        return np.repeat(np.maximum.reduceat(self.observed, self.starts), self.sizes)

    def as_known(self, at: np.datetime64) -> Dataset:
        """Return the rows as they were known at an instant: of times, what was told later was still to come."""
        if self.event is None:
            return self
        later = self.observed > at
        watched = (at - self.asked) / np.timedelta64(1, "D")
        waiting = np.where(self.event, watched, np.minimum(self.target, watched))
        return replace(
            self,
            target=np.where(later, waiting, self.target),
            event=self.event & ~later,
            observed=np.minimum(self.observed, at),
        )

    @classmethod
    def together(cls, parts: Sequence[Dataset]) -> Dataset:
        """Return the rows of all parts, in their order."""
        first = parts[0]
        return cls(
            columns={name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
            target=np.concatenate([part.target for part in parts]),
            asked=np.concatenate([part.asked for part in parts]),
            observed=np.concatenate([part.observed for part in parts]),
            keys={name: np.concatenate([part.keys[name] for part in parts]) for name in first.keys},
            group=_joined(parts, "group"),
            position=_joined(parts, "position"),
            event=_joined(parts, "event"),
        )

    def split(
        self,
        folds: TemporalSplit,
        *,
        todo: str = TODO,
    ) -> Iterator[tuple[Dataset, Dataset]]:
        """Give (older, newer) rows of each fold; the truth of the older was known when the newer were asked for.

        A list is never cut: it is older as a whole, or newer as a whole, or neither, where some of it was known too
        late. Of times to an event, the older are as they were known at the cut: what came later was still to come.

        Args:
            todo: what to do about rows that cannot be cut so.

        Raises:
            TrainingError: the rows cannot be cut so.
        """
        try:
            for fold in folds.split(self.begun, observed=self._usable):
                yield self.take(fold.train).as_known(fold.cut), self.take(fold.test)
        except DataError as error:
            raise TrainingError("labelled rows", error.found, todo) from error

    def fingerprint(self) -> dict[str, Any]:
        """Return rows, SHA-256 of all values in order, first and last time asked."""
        return dict(self._fingerprint)

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        times = {"": self.asked, " ": self.observed, "  ": self.target}
        about = {f"   {name}": values for name, values in self.about.items() if name != "group"}
        if self.group is not None:
            about["   sizes"] = self.sizes
        for name, column in sorted({**times, **about, **self.columns}.items()):
            digest.update(sized(name.encode()))
            data = hashed(column)
            digest.update(b"%d:" % len(data))
            digest.update(data)
        return {
            "rows": len(self),
            "sha256": digest.hexdigest(),
            "first": str(self.asked.min()) + "Z",
            "last": str(self.asked.max()) + "Z",
        }


def _joined(parts: Sequence[Dataset], name: str) -> NDArray[Any] | None:
    return np.concatenate([part.about[name] for part in parts]) if name in parts[0].about else None


def even(count: int, number: int) -> NDArray[np.int64]:
    """Return at most so many places of ``count``, spread evenly; the first and the last are among them."""
    return np.unique(np.linspace(0, count - 1, min(number, count)).astype(np.int64))


def hashed(column: NDArray[Any]) -> bytes | memoryview:
    """Return what a fingerprint hashes of a column; that of columns joined is the same bytes joined."""
    if column.dtype == object:
        values = column.tolist()
        if set(map(type, values)) <= {str, type(None)}:  # few texts stand in many rows
            known = {value: _text(value) for value in set(values)}
            return b"".join(map(known.__getitem__, values))
        return b"".join(map(_text, values))
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


def _text(value: Any) -> bytes:
    return b"-" if value is None else sized(str(value).encode())


def sized(data: bytes) -> bytes:
    """Return bytes behind their number."""
    return b"%d:" % len(data) + data
