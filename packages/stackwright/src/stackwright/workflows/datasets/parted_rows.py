"""The rows of a training set in files, part by part in order of time: whoever works on them holds one part at once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stackwright.workflows.datasets.dataset import TODO, Dataset, even, hashed, sized
from stackwright.workflows.datasets.part_files import Part, columns_of, read
from stackwright.workflows.datasets.pins import Pin
from stackwright.workflows.datasets.shared_parts import Share
from stackwright_interfaces.errors import DataError, TrainingError
from stackwright_numerics.split import TemporalSplit


class Step(Protocol):
    """What is done to the rows of every part by themselves. It crosses to other processes by pickle."""

    @property
    def reads(self) -> Collection[str]:
        """The columns that it looks at."""
        ...

    def __call__(self, rows: Dataset, /) -> Dataset:
        """Return the rows that are left, as they are now."""
        ...


@dataclass(frozen=True)
class PartedRows:
    """Rows in order of the time asked, cut into files, each with what was done to them since they were written.

    Neither lists nor times to an event are kept so.

    Args:
        parts: those that have rows left.
        pin: how much was known when they were built.
        steps: what is done to the rows of a file once they are read.
    """

    parts: tuple[Part, ...]
    pin: Pin | None = None
    steps: tuple[Step, ...] = ()

    group: None = None
    event: None = None

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def newest(self) -> np.datetime64:
        """When the last row was asked for."""
        return self.parts[-1].last

    @property
    def columns(self) -> Mapping[str, Any]:
        """The columns; one of them is read as a whole when it is asked for."""
        return _Columns(self)

    @property
    def target(self) -> NDArray[np.float64]:
        """The target of all rows."""
        return np.concatenate([rows.target for rows in self.datasets(())])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return columns_of(self.parts[0].path) if self.parts else ()

    def values(self, name: str) -> Iterator[Any]:
        """Give the values of a column."""
        for rows in self.datasets((name,)):
            yield from rows.columns[name].tolist()

    def datasets(self, columns: Collection[str] | None = None, *, keys: bool = False) -> Iterator[Dataset]:
        """Give the rows, a part at a time.

        Args:
            columns: those wanted; ``None`` is all.
            keys: whether the keys are wanted.
        """
        for part in self.parts:
            yield self._read(part, columns, keys=keys)

    def read(self, start: int, stop: int) -> Dataset:
        """Return the rows from ``start`` up to before ``stop``, without their keys.

        Raises:
            DataError: a file is damaged, or gone.
        """
        found, begin = [], 0
        for part in self.parts:
            low, high = max(start - begin, 0), min(stop - begin, part.rows)
            if low < high:
                found.append(self._read(part, None, keys=False).take(np.arange(low, high)))
            begin += part.rows
        return Dataset.together(found)

    def through(self, step: Step) -> PartedRows:
        """Return the rows that a step leaves."""
        after = replace(self, steps=(*self.steps, step))
        left = [
            replace(part, rows=len(rows), first=rows.asked[0], last=rows.asked[-1])
            for part, rows in zip(self.parts, after.datasets(()), strict=True)
            if len(rows)
        ]
        return replace(after, parts=tuple(left))

    def in_share(self, share: Share) -> PartedRows:
        """Return the same rows, whose files lie in a storage too.

        Raises:
            StorageError: one cannot be stored.
        """
        there = [replace(part, shared=share.put(part.path)) for part in self.parts if isinstance(part.path, Path)]
        return replace(self, parts=tuple(there))

    def for_others(self) -> PartedRows:
        """Return the same rows as other machines read them."""
        return replace(self, parts=tuple(replace(part, path=part.shared or part.path) for part in self.parts))

    def split(self, folds: TemporalSplit, *, todo: str = TODO) -> Iterator[tuple[PartedRows, PartedRows]]:
        """Give (older, newer) rows of each fold, the ones that :meth:`Dataset.split` gives of the same rows.

        Raises:
            TrainingError: the rows cannot be cut so.
        """
        try:
            for cut, end in folds.periods(_Times(self)):
                older = self.through(_Older(folds, cut))
                if not len(older):
                    raise folds.untrained(cut)
                yield older, self.through(_Newer(folds, cut, end))
        except DataError as error:
            raise TrainingError("labelled rows", error.found, todo) from error

    def thinned(self, most: int) -> Dataset:
        """Return at most so many rows, spread evenly; all where there are no more."""
        places, begin, found = even(len(self), most), 0, []
        for rows in self.datasets(keys=True):
            found.append(rows.take(places[(places >= begin) & (places < begin + len(rows))] - begin))
            begin += len(rows)
        return replace(Dataset.together(found), pin=self.pin)

    def fingerprint(self) -> dict[str, Any]:
        """Return what :meth:`Dataset.fingerprint` says of the same rows."""
        return dict(self._fingerprint)

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for name in sorted({*self.names, "", " ", "  "}):
            digest.update(sized(name.encode()))
            digest.update(b"%d:" % sum(len(hashed(column)) for column in self._hashed(name)))
            for column in self._hashed(name):
                digest.update(hashed(column))
        first, last = self.parts[0].first, self.newest
        return {"rows": len(self), "sha256": digest.hexdigest(), "first": f"{first}Z", "last": f"{last}Z"}

    def _hashed(self, name: str) -> Iterator[NDArray[Any]]:
        """Give a column part by part, as a fingerprint names it: blanks are the times and the target."""
        about = {"": "asked", " ": "observed", "  ": "target"}.get(name)
        for rows in self.datasets(() if about else (name,)):
            yield getattr(rows, about) if about else rows.columns[name]

    def _read(self, part: Part, columns: Collection[str] | None, *, keys: bool) -> Dataset:
        wanted = None
        if columns is not None:
            needed = {*columns, *(name for step in self.steps for name in step.reads)}
            wanted = [name for name in self.names if name in needed]
        rows = read(part.path, wanted, keys=keys)
        for step in self.steps:
            rows = step(rows)
        return rows


Rows = Dataset | PartedRows
"""The rows of a training set, in memory or in files."""


@dataclass(frozen=True)
class _Older:
    """Keeps the rows that a fold learns from."""

    folds: TemporalSplit
    cut: np.datetime64
    reads: tuple[str, ...] = ()

    def __call__(self, rows: Dataset) -> Dataset:
        return rows.take(self.folds.trained(rows.asked, rows.observed, self.cut))


@dataclass(frozen=True)
class _Newer:
    """Keeps the rows that a fold is judged by."""

    folds: TemporalSplit
    cut: np.datetime64
    end: np.datetime64 | None
    reads: tuple[str, ...] = ()

    def __call__(self, rows: Dataset) -> Dataset:
        return rows.take(self.folds.tested(rows.asked, self.cut, self.end))


class _Columns(Mapping[str, Any]):
    def __init__(self, rows: PartedRows) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> Any:
        if name not in self._rows.names:
            raise KeyError(name)
        return np.concatenate([rows.columns[name] for rows in self._rows.datasets((name,))])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows.names)

    def __len__(self) -> int:
        return len(self._rows.names)


class _Times:
    """When the rows were asked for, as an ascending array of which no more than a part is read at once."""

    def __init__(self, rows: PartedRows) -> None:
        self._rows = rows
        self._ends = np.cumsum([part.rows for part in rows.parts])
        self.size = len(rows)

    def __getitem__(self, place: int) -> np.datetime64:
        number = int(self._ends.searchsorted(place, "right"))
        found: np.datetime64 = self._asked(number)[place - int(self._ends[number]) + self._rows.parts[number].rows]
        return found

    def searchsorted(self, value: Any, side: Any) -> int:
        """Return how many are less than a value; with ``right``, how many are not greater."""
        found = 0
        for number, part in enumerate(self._rows.parts):
            if part.last < value:
                found += part.rows
            elif part.first <= value:
                found += int(self._asked(number).searchsorted(value, side))
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.concatenate([np.empty(0, "datetime64[us]"), *map(self._asked, range(len(self._rows.parts)))])

    def _asked(self, number: int) -> NDArray[np.datetime64]:
        (rows,) = replace(self._rows, parts=(self._rows.parts[number],)).datasets(())
        return rows.asked
