"""Reading the prediction log: sealed columns where there are some, whole lines for the rest."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Literal, TypeVar

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_features.arrow import microseconds
from stackwright_features.times import to_microseconds
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.types import Field
from stackwright_journal import sealing
from stackwright_journal.lines import ReadCounts, content_of, pieces, records_of, size_of
from stackwright_journal.predictions import FOLDER, SUFFIX
from stackwright_journal.records import rfc3339, utc_day
from stackwright_journal.tabulating import FEATURE, IDENTITY, KEY, STATUS, Wanted, tabulate

__all__ = ["FEATURE", "KEY", "Batch", "Predictions", "PredictionReader", "ReadCounts", "Span"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD: Final = 8
_FILES_AHEAD: Final = 3
_SEGMENTS: Final = 32
_LINES: Final = 16
"""Lines of a segment that some predictions are of at the least, where it has so many."""
_GOLDEN: Final = (5**0.5 - 1) / 2
_SKEW: Final = timedelta(days=1)
"""How much later than asked a prediction is made, at the least minus this: clocks differ, and days have an end."""


@dataclass(frozen=True)
class Span:
    """Which predictions, by their time.

    Args:
        start: the first instant; ``None`` is open.
        end: the end, exclusive; ``None`` is open.
        time: the time that lies between them.
    """

    start: datetime | None = None
    end: datetime | None = None
    time: Literal["predicted_at", "asked_at"] = "predicted_at"

    @property
    def days(self) -> tuple[str, str]:
        """First and last UTC day of ``predicted_at``; nobody asks for an instant that has not come."""
        asked = self.time == "asked_at"
        low = utc_day(self.start - _SKEW if asked else self.start) if self.start else ""
        return low, "~" if asked or not self.end else utc_day(self.end)

    @property
    def micros(self) -> tuple[int | None, int | None]:
        """Both ends in microseconds since 1970."""
        return (
            None if self.start is None else to_microseconds(self.start),
            None if self.end is None else to_microseconds(self.end),
        )

    def mask(self, table: Any) -> NDArray[np.bool_]:
        """Return which rows of a table lie in it."""
        inside = np.ones(len(table), np.bool_)
        low, high = self.micros
        if low is not None or high is not None:
            times = microseconds(table.column(self.time))
            inside &= times >= low if low is not None else True
            inside &= times < high if high is not None else True
        return inside


@dataclass(frozen=True)
class Batch:
    """Some predictions.

    Args:
        table: ``pyarrow.Table`` of what was wanted.
        statuses: feature → code of a status that is not ``PRESENT`` → rows.
    """

    table: Any
    statuses: Mapping[str, Counter[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """Predictions as a table.

    Args:
        table: ``pyarrow.Table``, ordered by ``predicted_at``: ``prediction_id``, ``request_id``, ``model``,
            ``version``, ``digest``, ``blueprint``, ``arm``, ``asked_at``, ``predicted_at``, ``prediction``, ``lower``,
            ``upper``, then ``key.NAME`` and ``feature.NAME`` as asked for (null where the value is missing or not of
            that type).
        statuses: feature → name of a status that is not ``PRESENT`` → rows.
        counts: what was passed over.
    """

    table: Any
    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counts: ReadCounts = field(default_factory=ReadCounts)


@dataclass(frozen=True)
class _Doubles:
    """Part → its rows that are doubles, and which parts these are: sealed files by key, then ids of the others."""

    keys: tuple[str, ...]
    tails: tuple[NDArray[np.uint64], ...]
    rows: Mapping[int, NDArray[np.int64]]


class PredictionReader:
    """Reads what the writers of all processes wrote; they may go on writing meanwhile.

    Args:
        storage: opened on the journal's folder or URL.
        spool: opened on the folder in which segments wait for the storage, if they do.
    """

    def __init__(self, storage: Storage, *, spool: Storage | None = None) -> None:
        self._storage = storage
        # The spool first: a segment leaves it only when the storage has it, so none is missed.
        self._places = (storage,) if spool is None else (spool, storage)
        self._known: _Doubles | None = None

    def close(self) -> None:
        """Close the storages."""
        for place in self._places:
            place.close()

    def records(
        self, *, start: datetime | None = None, end: datetime | None = None, counts: ReadCounts | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give records as they were written, times as RFC 3339 texts, a segment after the other.

        Args:
            start: the least ``predicted_at``.
            end: ``predicted_at`` is before it.
            counts: told what was passed over.
        """
        counts = counts if counts is not None else ReadCounts()
        low = rfc3339(start) if start else ""
        high = rfc3339(end) if end else "~"
        for data in self._fetched(self._keys(*Span(start, end).days)):
            counts.segments += 1
            for record in records_of(data, counts):
                if low <= record["predicted_at"] < high:
                    yield dict(record)

    def read(
        self,
        *,
        model: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        keys: Sequence[Field] = (),
        features: Sequence[Field] = (),
    ) -> Predictions:
        """Return predictions of a model, or of all, with the entity keys and features that are asked for.

        Of records with one prediction id the first counts.

        Args:
            model: name of the model.
            start: the least ``predicted_at``.
            end: ``predicted_at`` is before it.
            keys: entity keys, each read as its declared type.
            features: features; bool, int64 and float64 are read as float64.
        """
        counts, wanted = ReadCounts(), Wanted(keys, features)
        tables, statuses = [wanted.schema.empty_table()], dict[str, Counter[int]]()
        for batch in self.batches(wanted, model=model, span=Span(start, end), counts=counts):
            tables.append(batch.table)
            for name, tally in batch.statuses.items():
                statuses.setdefault(name, Counter()).update(tally)
        return Predictions(pa.concat_tables(tables).sort_by("predicted_at"), status_names(statuses), counts)

    def batches(
        self,
        wanted: Wanted,
        *,
        model: str | None = None,
        span: Span | None = None,
        counts: ReadCounts | None = None,
    ) -> Iterator[Batch]:
        """Give what is wanted of predictions, some at a time; what has a seal is read from there.

        Of records with one prediction id the first counts.

        Args:
            wanted: columns, and their types.
            model: name of the model; ``None`` takes all.
            span: which predictions.
            counts: told what was passed over.
        """
        counts, span = counts if counts is not None else ReadCounts(), span or Span()
        seals = sealing.seals(self._storage, *span.days)
        for seal in seals:
            _add(counts, seal.counts)
        low, high = span.micros
        files = [item for seal in seals for item in seal.files if model in (None, item.model)]
        files = [item for item in files if item.overlaps(span.time, low, high)]
        tails = list(self._tails(span, sealing.sealed_until(seals), model, counts))
        doubles = self._doubles(files, [tail.column(IDENTITY).to_numpy() for tail in tails])
        counts.duplicates += sum(map(len, doubles.values()))
        columns = list(
            dict.fromkeys([*wanted.stored.values(), span.time, *(name for item in files for name in item.statuses)])
        )
        tables = _ahead(lambda item: sealing.read_file(self._storage, item, columns), files, _FILES_AHEAD)
        for place, wide in enumerate(chain(tables, tails)):
            inside = span.mask(wide)
            inside[doubles.get(place, [])] = False
            chosen = wide if inside.all() else wide.filter(pa.array(inside))
            if len(chosen):
                yield Batch(wanted.of(chosen), _tallies(chosen))

    def some(self, rows: int, *, model: str, span: Span | None = None) -> list[dict[str, Any]]:
        """Return about so many records of a model, spread over its segments; few lines of each are read.

        Args:
            rows: how many at most.
            model: name of the model.
            span: of which times.
        """
        span = span or Span()
        keys = self._keys(*span.days)
        if not keys:
            return []
        chosen = [keys[place] for place in np.unique(np.linspace(0, len(keys) - 1, _SEGMENTS).astype(int))]
        low = rfc3339(span.start) if span.start else ""
        high = rfc3339(span.end) if span.end else "~"
        needle = orjson.dumps(model)
        found: list[dict[str, Any]] = []
        for data in self._fetched(chosen):
            lines = _lines_with(needle, data)
            most = max(-(-rows // len(chosen)), 1)
            inside: list[tuple[int, Mapping[str, Any]]] = []
            for place in _scattered(_spread(len(lines), 4 * most)):
                fit = [record for record in records_of(lines[place] + b"\n", ReadCounts())
                       if record["model"] == model and low <= record[span.time] < high]  # fmt: skip
                inside += [(place, fit[row]) for row in _spread(len(fit), max(4 * most // _LINES, 1))]
                if len(inside) >= 4 * most:
                    break
            inside.sort(key=itemgetter(0))
            found += [dict(inside[place][1]) for place in _spread(len(inside), most)]
        return [found[place] for place in _spread(len(found), rows)]

    def find(self, prediction_id: str) -> dict[str, Any] | None:
        """Return the record of one prediction, or ``None``."""
        return self.find_all([prediction_id]).get(prediction_id)

    def find_all(self, prediction_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return prediction id → record of those that are in the log."""
        wanted = set(prediction_ids)
        found: dict[str, dict[str, Any]] = {}
        needle = orjson.dumps(next(iter(wanted))) if len(wanted) == 1 else b""
        for data in self._fetched(self._keys("", "~")):
            if len(found) == len(wanted):
                break
            for line in _lines_with(needle, data) if needle in data else ():
                for record in records_of(line + b"\n", ReadCounts()):
                    if record["prediction_id"] in wanted:
                        found.setdefault(record["prediction_id"], dict(record))
        return found

    def _keys(self, low: str, high: str) -> list[str]:
        """Return the segments of these days."""
        keys = sorted({key for place in self._places for key in place.list(f"{FOLDER}/") if key.endswith(SUFFIX)})
        return [key for key in keys if low <= key.split("/")[1] <= high]

    def _fetched(self, keys: Sequence[str]) -> Iterator[bytes]:
        """Give the content of segments in order; some are fetched ahead, because a storage may be far away."""
        return _ahead(lambda key: content_of(self._places, key), keys, _AHEAD)

    def _tails(self, span: Span, ends: Mapping[str, int], model: str | None, counts: ReadCounts) -> Iterator[Any]:
        """Give wide tables of the lines that have no seal."""
        keys = [key for key in self._keys(*span.days) if ends.get(key, 0) == 0 or self._grows(key, ends[key])]
        fetched = _ahead(lambda key: content_of(self._places, key, ends.get(key, 0)), keys, _AHEAD)
        for key, data in zip(keys, fetched, strict=True):
            counts.segments += not ends.get(key, 0)
            for piece in pieces(data):
                found: dict[str, list[Mapping[str, Any]]] = {}
                for record in records_of(piece, counts):
                    if model in (None, record["model"]):
                        found.setdefault(record["model"], []).append(record)
                yield from (tabulate(records) for records in found.values())

    def _grows(self, key: str, end: int) -> bool:
        size = size_of(self._storage, key)
        return size is not None and size > end

    def _doubles(
        self, files: Sequence[sealing.SealedFile], tails: Sequence[NDArray[np.uint64]]
    ) -> Mapping[int, NDArray[np.int64]]:
        """Return the doubles among sealed files and what has no seal; those of the last time where these are the same.

        Sealed files never change, and a report reads twice: the columns of a window, and what the join needs.
        """
        keys, known = tuple(item.key for item in files), self._known
        same = known is not None and known.keys == keys and len(known.tails) == len(tails)
        if known is None or not same or not all(map(np.array_equal, known.tails, tails)):
            found = _doubles([*_ahead(self._identities, files, _AHEAD), *tails])
            known = self._known = _Doubles(keys, tuple(tails), found)
        return known.rows

    def _identities(self, item: sealing.SealedFile) -> NDArray[np.uint64]:
        found: NDArray[np.uint64] = sealing.read_file(self._storage, item, [IDENTITY]).column(0).to_numpy()
        return found


def status_names(statuses: Mapping[str, Counter[int]]) -> dict[str, dict[str, int]]:
    """Return feature → name of its status → rows."""
    return {
        name: {Status(code).name: rows for code, rows in sorted(tally.items())}
        for name, tally in sorted(statuses.items())
    }


def _lines_with(needle: bytes, data: bytes) -> list[bytes]:
    """Return the whole lines that hold a text."""
    return [line for line in data.split(b"\n")[:-1] if needle in line]


def _scattered(places: list[int]) -> list[int]:
    """Return places in an order in which the first few are from everywhere: by multiples of the golden ratio."""
    order = np.argsort(np.arange(len(places)) * _GOLDEN % 1)
    return [places[number] for number in order.tolist()]


def _spread(count: int, number: int) -> list[int]:
    """Return so many places of ``count`` at most, evenly spread."""
    if count <= number:
        return list(range(count))
    places: list[int] = np.unique(np.linspace(0, count - 1, number).astype(np.int64)).tolist()
    return places


def _tallies(wide: Any) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for name in wide.column_names:
        if name.startswith(STATUS):
            codes = np.bincount(wide.column(name).fill_null(0).to_numpy(), minlength=1)
            tally = Counter({code: int(rows) for code, rows in enumerate(codes.tolist()) if code and rows})
            found |= {name.removeprefix(STATUS): tally} if tally else {}
    return found


def _doubles(parts: Sequence[NDArray[np.uint64]]) -> dict[int, NDArray[np.int64]]:
    """Return part → its rows whose id came before, in that part or an earlier one; usually none."""
    every = np.concatenate([np.zeros(0, np.uint64), *parts])
    ordered = np.sort(every)
    if not (ordered[1:] == ordered[:-1]).any():
        return {}
    first = np.zeros(every.size, np.bool_)
    first[np.unique(every, return_index=True)[1]] = True
    found, begin = {}, 0
    for place, part in enumerate(parts):
        again = np.flatnonzero(~first[begin : begin + part.size])
        begin += part.size
        if again.size:
            found[place] = again
    return found


def _ahead(work: Callable[[T], R], items: Iterable[T], number: int) -> Iterator[R]:
    """Give the results of work in order, some of it done ahead in other threads."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(number) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) == number:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _add(counts: ReadCounts, more: ReadCounts) -> None:
    for name, number in vars(more).items():
        setattr(counts, name, getattr(counts, name) + number)
