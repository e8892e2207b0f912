"""Reading the log of lists: lists of a recommender in a window, joined with what became of their items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.storage import Storage
from stackwright_journal.lines import ReadCounts, content_of, records_of
from stackwright_journal.list_records import CLICK, FOLDER, LIST
from stackwright_journal.predictions import SUFFIX
from stackwright_journal.records import rfc3339, utc_day

Floats = NDArray[np.float64]
Told: TypeAlias = tuple[str, str, float]
"""When a click was observed, when it was told, and what it earned."""

_TIMED: Final = 7
_RANDOM: Final = 80
"""The version of UUIDs that begin with the millisecond they were made in (RFC 9562), and the bits after that."""

_NEEDED: Final = {
    LIST: ("list_id", "at", "model", "version", "items", "propensities", "cold"),
    CLICK: ("list_id", "item", "told"),
}


@dataclass(frozen=True)
class ShownLists:
    """Lists, oldest first, and their items as arrays, list after list.

    Args:
        lists: the records.
        number: of each item, which list it is of.
        position: its place, from 1.
        item: identifiers.
        propensity: probability with which it was put there.
        clicked: what it earned; 0 where nobody told.
        cold: whether nobody took it before.
        strays: clicks that name no list of the log, or no item of their list in the window.
        counts: what was passed over while reading.
    """

    lists: Sequence[Mapping[str, Any]]
    number: NDArray[np.int64]
    position: NDArray[np.int64]
    item: NDArray[Any]
    propensity: Floats
    clicked: Floats
    cold: NDArray[np.bool_]
    strays: int = 0
    counts: ReadCounts = field(default_factory=ReadCounts)

    def __len__(self) -> int:
        return len(self.lists)

    def of_version(self, version: int) -> ShownLists:
        """Return the lists of one version."""
        return self.some(np.array([int(one["version"]) == version for one in self.lists], dtype=bool))

    def some(self, chosen: NDArray[np.bool_]) -> ShownLists:
        """Return some of the lists: a mask over them."""
        rows = chosen[self.number]
        renumbered = np.cumsum(chosen) - 1
        return ShownLists(
            [one for one, taken in zip(self.lists, chosen.tolist(), strict=True) if taken],
            renumbered[self.number[rows]].astype(np.int64),
            self.position[rows],
            self.item[rows],
            self.propensity[rows],
            self.clicked[rows],
            self.cold[rows],
            self.strays,
            self.counts,
        )


class ListReader:
    """Reads what the writers of all processes wrote; they may go on writing meanwhile.

    Args:
        storage: opened on the journal's folder or URL.
        spool: opened on the folder in which segments wait for the storage, if they do.
    """

    def __init__(self, storage: Storage, *, spool: Storage | None = None) -> None:
        self._places = (storage,) if spool is None else (spool, storage)

    def close(self) -> None:
        """Close the storages."""
        for place in self._places:
            place.close()

    def read(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_at: datetime | None = None,
    ) -> ShownLists:
        """Return the lists of a recommender with what became of them.

        Args:
            model: the recommender.
            start: first instant at which a list was made; ``None`` is open.
            end: end of that, exclusive; ``None`` is open.
            known_at: clicks observed later are passed over; ``None`` takes all.
        """
        counts = ReadCounts()
        low, high = rfc3339(start) if start else "", rfc3339(end) if end else "~"
        until = rfc3339(known_at) if known_at else "~"
        lists: dict[str, Mapping[str, Any]] = {}
        others: set[str] = set()
        clicks: dict[str, dict[str, Told]] = {}
        for record in self._records(utc_day(start) if start else "", counts):
            name = record["list_id"]
            if record["kind"] == CLICK:
                told = (record["observed"], record["told"], float(record["value"]))
                if told[0] <= until and name not in others:
                    _note(clicks.setdefault(name, {}), str(record["item"]), told)
            elif record["model"] == model and low <= record["at"] < high:
                counts.duplicates += name in lists
                lists.setdefault(name, record)
            else:
                others.add(name)
                clicks.pop(name, None)
        if start is not None:
            clicks = {name: told for name, told in clicks.items() if name in lists or not _before(name, start)}
        return _joined(sorted(lists.values(), key=lambda one: (one["at"], one["list_id"])), clicks, counts)

    def find(self, list_id: str) -> tuple[dict[str, Any], dict[str, float]] | None:
        """Return the record of one list and what its items earned, as text → value; ``None`` where there is none."""
        record: dict[str, Any] | None = None
        clicks: dict[str, Told] = {}
        for one in self._records("", ReadCounts()):
            if one["list_id"] != list_id:
                continue
            if one["kind"] == CLICK:
                _note(clicks, str(one["item"]), (one["observed"], one["told"], float(one["value"])))
            else:
                record = record or dict(one)
        return None if record is None else (record, {item: told[2] for item, told in clicks.items()})

    def _records(self, day: str, counts: ReadCounts) -> Iterator[Mapping[str, Any]]:
        """Give the records of segments from a day on: clicks come later than what they are about."""
        keys = sorted({key for place in self._places for key in place.list(f"{FOLDER}/") if key.endswith(SUFFIX)})
        for key in keys:
            if key.split("/")[1] >= day:
                counts.segments += 1
                yield from records_of(content_of(self._places, key), counts, _needed)


def _note(told: dict[str, Told], item: str, new: Told) -> None:
    """Keep what was told of an item last."""
    if new >= told.get(item, new):
        told[item] = new


def _before(name: str, start: datetime) -> bool:
    """Return whether an id says that its list was made before an instant: that list may not have been read."""
    try:
        found = UUID(name)
    except ValueError:
        return False
    return found.version == _TIMED and found.int >> _RANDOM < int(start.timestamp() * 1000)


def _needed(record: Mapping[str, Any]) -> Sequence[str]:
    return _NEEDED[record["kind"]]


def _joined(
    lists: Sequence[Mapping[str, Any]], clicks: Mapping[str, Mapping[str, Told]], counts: ReadCounts
) -> ShownLists:
    sizes = np.array([len(one["items"]) for one in lists], dtype=np.int64)
    names = [(one["list_id"], str(item)) for one in lists for item in one["items"]]
    items = np.empty(len(names), dtype=object)
    items[:] = [item for one in lists for item in one["items"]]
    told = [clicks.get(name, {}).get(item) for name, item in names]
    earned = np.array([0.0 if one is None else one[2] for one in told], dtype=np.float64)
    known = set(names)
    strays = sum((name, item) not in known for name, items_told in clicks.items() for item in items_told)
    starts = np.cumsum(sizes) - sizes
    return ShownLists(
        lists,
        np.repeat(np.arange(len(lists)), sizes),
        np.arange(len(names)) - np.repeat(starts, sizes) + 1,
        items,
        np.array([value for one in lists for value in one["propensities"]], dtype=np.float64),
        earned,
        np.array([value for one in lists for value in one["cold"]], dtype=np.bool_),
        strays,
        counts,
    )


NO_LISTS: Final = _joined((), {}, ReadCounts())
"""Nothing that was shown."""
