"""Segments that are written to a local folder, and shipped from there to a storage when they are closed.

A storage such as S3 takes whole objects only, so lines cannot be appended there; and a reply must not wait for it. A
writer holds the lock of the segment it writes to, and the kernel gives the lock back when the writer dies: whoever gets
the lock of a segment knows that nobody writes to it any more, and ships it. So what a killed process wrote is shipped
by the next process that uses the spool, or by another that uses it already.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import PreconditionFailed, StorageError
from stackwright_interfaces.storage import Storage
from stackwright_journal.segments import FileSegment, Segment, create_file, sync_folder

log = logging.getLogger("stackwright.journal")

_NEVER_USED: Final = 3600.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0


@dataclass
class ShipCounts:
    """What became of the segments.

    Args:
        segments: segments that are in the storage and no longer here.
        bytes: their bytes.
        failures: attempts that failed; what they were about is still here.
        last_error: the last reason.
    """

    segments: int = 0
    bytes: int = 0
    failures: int = 0
    last_error: str = ""


class SpooledSegments:
    """Segments as files below a local folder, shipped by a thread. Made after a fork; many processes may share a spool.

    Args:
        spool: a folder on a local disk, of this storage alone.
        storage: where segments go; closed with this.
        rotate_seconds: age from which a segment is closed, to be shipped.
        close_seconds: how long :meth:`close` waits for the last segments to be shipped.
    """

    def __init__(
        self, spool: Path, storage: Storage, *, rotate_seconds: float = 300.0, close_seconds: float = 10.0
    ) -> None:
        self.rotate_seconds = rotate_seconds
        self._spool = spool
        self._storage = storage
        self._close_seconds = close_seconds
        self._counts = ShipCounts()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="prediction-shipping", daemon=True)
        self._thread.start()

    def create(self, name: str) -> Segment:
        """Make a file that did not exist, durable in its folder and locked."""
        path = self._spool / name
        while True:
            descriptor = create_file(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return _LockedSegment(descriptor, self._wake.set)
            os.close(descriptor)

    @property
    def counts(self) -> ShipCounts:
        """What became of the segments so far."""
        with self._lock:
            return ShipCounts(**vars(self._counts))

    def close(self) -> None:
        """Ship what is closed, for a while at most; what remains is shipped by whoever uses the spool next."""
        self._ended.set()
        self._wake.set()
        self._thread.join(self._close_seconds)
        if not self._thread.is_alive():
            self._storage.close()

    def _run(self) -> None:
        """Ship whenever a segment is closed, and now and then, because other processes may have died."""
        pause = _FIRST_PAUSE
        while True:
            self._wake.wait(self.rotate_seconds)
            self._wake.clear()
            last = self._ended.is_set()
            shipped = self._attempt()
            if last:
                return
            if shipped:
                pause = _FIRST_PAUSE
            else:
                self._ended.wait(pause)
                self._wake.set()
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _attempt(self) -> bool:
        try:
            for size in ship(self._spool, self._storage):
                with self._lock:
                    self._counts.segments += 1
                    self._counts.bytes += size
        except (StorageError, OSError) as error:
            with self._lock:
                self._counts.failures += 1
                self._counts.last_error = str(error)
            log.warning("predictions wait in %s: %s", self._spool, error)
            return False
        return True


class _LockedSegment(FileSegment):
    def __init__(self, descriptor: int, closed: Callable[[], object]) -> None:
        super().__init__(descriptor)
        self._closed = closed

    def close(self) -> None:
        """Unlock, explicitly because a forked child may share the file, and close."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            super().close()
            self._closed()


def ship(spool: Path, storage: Storage) -> Iterator[int]:
    """Ship the segments that nobody writes to, oldest first.

    A segment is removed here when the storage has it. Shipping again what was shipped already does nothing.

    Yields:
        The size of a segment that was shipped.

    Raises:
        StorageError: the storage refuses, or has another segment under that name.
        OSError: the spool cannot be read or written.
    """
    for path in sorted(spool.glob("*/*/*.jsonl")):
        with _unused(path) as data:
            if data is None:
                continue
            _put(storage, path.relative_to(spool).as_posix(), data)
            path.unlink()
            sync_folder(path.parent)
        yield len(data)


def _put(storage: Storage, key: str, data: bytes) -> None:
    try:
        storage.put_if_absent(key, data)
    except PreconditionFailed:
        # Somebody died between shipping and removing it; if power was lost too, the end may be missing here.
        if not storage.get(key).data.startswith(data):
            found = "another segment of this name is in the storage"
            raise StorageError(key, found, "Give each journal a spool of its own.") from None


@contextmanager
def _unused(path: Path) -> Iterator[bytes | None]:
    """Give the content of a segment while holding its lock; ``None`` if it is in use, gone, or still empty."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield _content(path, descriptor)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _content(path: Path, descriptor: int) -> bytes | None:
    found = os.fstat(descriptor)
    if not found.st_nlink:
        return None
    if found.st_size:
        return path.read_bytes()
    # A writer makes the file first and locks it then: an empty one may be in use in a moment.
    if time.time() - found.st_mtime > _NEVER_USED:
        path.unlink()
    return None
