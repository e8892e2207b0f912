"""Writing predictions down without being in the way of the reply."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from stackwright_journal.records import Line, PredictionRecord, encode, utc_day
from stackwright_journal.segments import FolderSegments, Segment, Segments, unique_name

FOLDER: Final = "predictions"
SUFFIX: Final = ".jsonl"
ROTATE_ROWS: Final = 250_000
"""Predictions of a segment at most: some hundred megabytes for whoever reads it whole."""

_PART: Final = 1 << 15
"""Bytes of lines that are written at once. Lines of a whole flush would outgrow what the allocator keeps of a thread's
memory: it would take and give back pages of the system for every few of them, which costs more than to write."""
_TURN: Final = 0.0005
"""Seconds of work after which the other threads of the process get a turn."""
_AWAY: Final = 0.00005
"""Seconds that are long enough for one of them to wake. To write gives the interpreter up as well, and has it back
before anybody woke: threads that answer requests would wait for it until all is written."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Rows(Protocol):
    """Predictions of one instant, made into lines when they are written."""

    @property
    def predicted_at(self) -> datetime:
        """The instant."""
        ...

    def __len__(self) -> int:
        """How many predictions there are."""
        ...

    def lines(self) -> Iterable[Line]:
        """Give the lines."""
        ...


Entry = PredictionRecord | Rows


@dataclass
class LogCounts:
    """What became of the records.

    Args:
        taken: records accepted by ``append``.
        written: records handed to the disk whole.
        dropped: records refused because the queue was full or the log closed.
        rejected: records that could not be made into a line; see ``last_error``.
        failed: records lost to disk errors.
        bytes: bytes written.
        last_error: the last reason for a rejected or failed record.
    """

    taken: int = 0
    written: int = 0
    dropped: int = 0
    rejected: int = 0
    failed: int = 0
    bytes: int = 0
    last_error: str = ""


class PredictionLog:
    """One process's writer of the prediction log. Made after a fork, used from any thread.

    ``append`` only queues. A background thread writes what is queued every ``flush_seconds`` or as soon as
    ``flush_records`` wait, so that a killed process loses that much at most, and syncs to the disk at most every
    ``sync_seconds``, which is what a loss of power may cost. A disk error costs records, which are counted, and never
    reaches the caller; the next flush tries again with a new segment.

    Args:
        folder: the journal's folder, or another place that segments are made in: that of
            :func:`~stackwright_journal.places.open_segments`, for any URL.
        flush_seconds: longest wait of a record before it is written.
        flush_records: waiting records that are written at once.
        limit: waiting records beyond which new ones are dropped.
        rotate_bytes: size from which a new segment is begun; each UTC day of ``predicted_at`` has segments of its own.
        rotate_rows: predictions from which one is begun, so that whoever reads a segment can hold it.
        sync_seconds: shortest time between two syncs.
        name: of the log within the journal.
        clock: the present, which segments are named by.
    """

    def __init__(
        self,
        folder: Path | Segments,
        *,
        flush_seconds: float = 1.0,
        flush_records: int = 1000,
        limit: int = 50_000,
        rotate_bytes: int = 64_000_000,
        rotate_rows: int = ROTATE_ROWS,
        sync_seconds: float = 1.0,
        name: str = FOLDER,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._segments = FolderSegments(folder) if isinstance(folder, Path) else folder
        self._flush_seconds = flush_seconds
        self._flush_records = flush_records
        self._limit = limit
        self._rotate_bytes = rotate_bytes
        self._rotate_rows = rotate_rows
        self._sync_seconds = sync_seconds
        self._name = name
        self._clock = clock
        self._counts = LogCounts()
        self._lock = threading.Lock()
        self._queue: deque[Entry] = deque()
        self._waiting = 0
        self._closed = False
        self._wake = threading.Event()
        self._segment: Segment | None = None
        self._segment_day = ""
        self._segment_bytes = self._segment_rows = 0
        self._segment_since = 0.0
        self._synced_at = 0.0
        self._unsynced = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, record: Entry) -> bool:
        """Queue one :class:`~stackwright_journal.records.PredictionRecord`, or the rows of one answer.

        Never blocks and never raises; what is queued must not be changed afterwards.

        Returns:
            Whether it was taken; all rows or none are.
        """
        rows = 1 if isinstance(record, dict) else len(record)
        with self._lock:
            if self._closed or self._waiting + rows > self._limit:
                self._counts.dropped += rows
                return False
            self._queue.append(record)
            self._waiting += rows
            self._counts.taken += rows
            full = self._waiting >= self._flush_records
        if full and not self._wake.is_set():
            self._wake.set()
        return True

    @property
    def counts(self) -> LogCounts:
        """What became of the records so far."""
        with self._lock:
            return LogCounts(**vars(self._counts))

    def close(self) -> None:
        """Write and sync what is queued, end the thread, and close the segments. Closing twice is allowed."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._thread.join()
        self._segments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        """Write until closed (in the background thread)."""
        while True:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            with self._lock:
                batch, self._queue = self._queue, deque()
                self._waiting = 0
                closed = self._closed
            self._drain(batch)
            old = time.monotonic() - self._segment_since >= self._segments.rotate_seconds
            self._sync(now=closed or old)
            if closed or old:
                self._abandon()
            if closed:
                return

    def _drain(self, batch: Iterable[Entry]) -> None:
        """Encode and write, a part at a time.

        After an error what is left is tried once, so that a disk that fails is not asked for every part.
        """
        waiting: dict[str, list[Line]] = {}
        flowing = True
        size: Counter[str] = Counter()
        for day, line in self._encoded(batch):
            waiting.setdefault(day, []).append(line)
            size[day] += len(line.data)
            if flowing and size[day] >= _PART and self._is_at(day, waiting):
                flowing = self._write(day, waiting.pop(day))
                del size[day]
        for day, lines in sorted(waiting.items()):
            self._write(day, lines)

    def _encoded(self, batch: Iterable[Entry]) -> Iterator[tuple[str, Line]]:
        """Give the lines of entries, each with its UTC day, in turn with the threads that answer requests."""
        begun = time.monotonic()
        for entry in batch:
            left = 1 if isinstance(entry, dict) else len(entry)
            try:
                for day, line in _lines_of(entry):
                    left -= line.predictions
                    if line.refused:
                        self._count(rejected=line.predictions, last_error=line.refused)
                    else:
                        yield day, line
                    if time.monotonic() - begun > _TURN:
                        if not self._is_behind():
                            time.sleep(_AWAY)
                        begun = time.monotonic()
            except Exception as error:  # noqa: BLE001 - whatever a record holds, the others must still be written
                self._count(rejected=left, last_error=repr(error))

    def _is_behind(self) -> bool:
        """Return whether more waits than should: who sleeps beside busy threads may wait long for the interpreter."""
        return self._closed or self._waiting >= self._flush_records

    def _is_at(self, day: str, waiting: Mapping[str, list[Line]]) -> bool:
        """Return whether lines of a day may be written before the others: days in turn would make many segments."""
        return len(waiting) == 1 or (self._segment is not None and self._segment_day == day)

    def _write(self, day: str, lines: list[Line]) -> bool:
        """Write whole lines of one day, in parts that fit the segments; return whether all were written."""
        begin, well = 0, True
        while begin < len(lines):
            at = self._segment is not None and self._segment_day == day
            size, rows = (self._segment_bytes, self._segment_rows) if at else (0, 0)
            end = begin
            while end < len(lines):
                more = size + len(lines[end].data), rows + lines[end].predictions
                if end > begin and not self._fits(*more):
                    break
                size, rows = more
                end += 1
            well &= self._write_part(day, lines[begin:end], rotate=not self._fits(size, rows))
            begin = end
        return well

    def _fits(self, size: int, rows: int) -> bool:
        return size <= self._rotate_bytes and rows <= self._rotate_rows

    def _write_part(self, day: str, lines: list[Line], *, rotate: bool) -> bool:
        data = memoryview(b"".join(line.data for line in lines))
        done = 0
        try:
            segment = self._current(day, rotate=rotate)
            while done < len(data):
                done += segment.write(data[done:])
            self._unsynced = True
        except Exception as error:  # noqa: BLE001 - whatever happens, later predictions must still be written
            if done or not isinstance(error, OSError) or error.errno not in _FULL:
                self._abandon()
            whole = _whole(lines, done)
            self._count(failed=_predictions(lines) - whole, last_error=repr(error))
            self._count(written=whole, bytes=done)
            return False
        self._segment_bytes += done
        self._segment_rows += _predictions(lines)
        self._count(written=_predictions(lines), bytes=done)
        return True

    def _current(self, day: str, *, rotate: bool) -> Segment:
        """Return the segment to write to."""
        if self._segment is not None and (day != self._segment_day or (rotate and self._segment_bytes)):
            self._sync(now=True)
            self._abandon()
        if self._segment is None:
            self._segment = self._segments.create(f"{self._name}/{day}/{unique_name(self._clock(), SUFFIX)}")
            self._segment_day = day
            self._segment_bytes = self._segment_rows = 0
            self._segment_since = time.monotonic()
        return self._segment

    def _sync(self, *, now: bool) -> None:
        if self._segment is None or not self._unsynced:
            return
        if not now and time.monotonic() - self._synced_at < self._sync_seconds:
            return
        try:
            self._segment.sync()
        except OSError as error:
            self._count(last_error=repr(error))
            self._abandon()
        self._unsynced = False
        self._synced_at = time.monotonic()

    def _abandon(self) -> None:
        """Give up the present segment; the next line begins a new one, so that a torn line stays the last."""
        segment, self._segment = self._segment, None
        self._unsynced = False
        if segment is None:
            return
        try:
            segment.close()
        except OSError as error:
            self._count(last_error=repr(error))

    def _count(self, *, last_error: str = "", **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self._counts, name, getattr(self._counts, name) + number)
            self._counts.last_error = last_error or self._counts.last_error


def _lines_of(entry: Entry) -> Iterator[tuple[str, Line]]:
    if isinstance(entry, dict):
        yield utc_day(entry["predicted_at"]), Line(1, encode(entry))
        return
    day = utc_day(entry.predicted_at)
    for line in entry.lines():
        yield day, line


def _predictions(lines: Iterable[Line]) -> int:
    return sum(line.predictions for line in lines)


def _whole(lines: list[Line], done: int) -> int:
    """Return how many predictions the first ``done`` bytes hold whole."""
    ends = accumulate(len(line.data) for line in lines)
    return _predictions(line for line, end in zip(lines, ends, strict=True) if end <= done)
