"""The open file: one environment a process, whoever of that process uses it.

LMDB forbids to open a file twice in a process, and to use in a forked child what its parent opened. So all handles of a
process share one environment, and a child opens its own.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

import lmdb

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_lmdb import layout
from stackwright_lmdb.failures import cut_short

RECHECK: Final = 1.0
"""Seconds after which it is looked whether the file was replaced or cut short."""

_MAX_READERS: Final = 1024
_MIB: Final = 2**20
_LOOKS: Final = 20
_PAUSE: Final = 0.005


class SharedEnvironment:
    """The environment of one file in this process.

    Attributes:
        path: the file.
        reading: held while a read transaction is open, and while the environment is opened, resized or closed. Reads
            take microseconds and hold the interpreter's lock, so that threads would take turns anyway.
        writing: held while a write transaction is open; taken before ``reading``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reading = threading.Lock()
        self.writing = threading.Lock()
        self._environment: lmdb.Environment | None = None
        self._users = 0
        self._process = 0
        self._checked = 0.0
        self._file: tuple[int, int] | None = None
        self._length = 0

    def current(self, map_mb: int, *, create: bool = False) -> lmdb.Environment | None:
        """Return the open environment, ``None`` while there is no file and none is to be created.

        The caller holds ``reading``; to create also ``writing``.

        Raises:
            FeatureStoreError: the file is another program's, or was cut short.
            lmdb.Error: LMDB cannot open it.
        """
        if (
            self._environment is not None
            and time.monotonic() - self._checked < RECHECK
            and self._process == _Process.number
        ):
            return self._environment
        return self._renew(map_mb, create=create)

    def begin(self, map_mb: int) -> lmdb.Transaction[bytes] | None:
        """Begin a read transaction; ``None`` while there is no file. The caller holds ``reading``.

        Raises:
            FeatureStoreError: the file is another program's, or was cut short.
            lmdb.Error: LMDB cannot open or read it.
        """
        environment = self.current(map_mb)
        if environment is None:
            return None
        try:
            return environment.begin()
        except lmdb.MapResizedError:
            self.resize(0)
        except lmdb.ReadersFullError:
            environment.reader_check()
        return environment.begin()

    def _renew(self, map_mb: int, *, create: bool) -> lmdb.Environment | None:
        file = _identity(self.path)
        if self._environment is not None:
            if self._process == _Process.number:
                if file == self._file:
                    self._check_length(self._environment)
                    self._checked = time.monotonic()
                    return self._environment
                if self.writing.locked() and not create:  # another thread is writing to the file that was replaced
                    return self._environment
            self.discard()
        if not create and (file is None or not self.path.stat().st_size):
            return None
        environment = lmdb.open(
            str(self.path),
            subdir=False,
            map_size=map_mb * _MIB,
            mode=0o644,
            readonly=not create and not os.access(self.path, os.W_OK),
            max_readers=_MAX_READERS,
        )
        try:
            self._check_length(environment)
            _check_mark(environment, self.path)
            environment.reader_check()
        except BaseException:
            environment.close()
            raise
        self._environment, self._process = environment, _Process.number
        self._file, self._checked = _identity(self.path), time.monotonic()
        return environment

    def _check_length(self, environment: lmdb.Environment) -> None:
        """See that the file is not cut short, since touching a page that is gone ends the process (``SIGBUS``).

        The last pages may be missing for an instant, until the writer has made the file as long as it says it is.
        """
        for _ in range(_LOOKS):
            length = self.path.stat().st_size
            needed = self._length if length < self._length else needed_length(environment)
            if length >= needed:
                self._length = length
                return
            time.sleep(_PAUSE)
        self.discard()
        raise cut_short(self.path, length, needed)

    def resize(self, size: int) -> None:
        """Let the map have this size, or with 0 the size that another process gave it; the caller holds ``reading``.

        Raises:
            lmdb.Error: there is no room for it; the environment is closed then.
        """
        if self._environment is None:
            return
        try:
            self._environment.set_mapsize(size)
        except lmdb.Error:
            self.discard()
            raise

    def discard(self) -> None:
        """Close the environment, to be opened anew by the next use; the caller holds ``reading``."""
        environment, self._environment, self._length = self._environment, None, 0
        if environment is not None:
            environment.close()

    def use(self) -> None:
        """Count one more handle."""
        with _registry_lock:
            self._users += 1

    def release(self) -> None:
        """Count one handle less, and close the environment after the last."""
        with _registry_lock:
            self._users -= 1
            last = self._users == 0
        if last:
            with self.writing, self.reading:
                if not self._users:
                    self.discard()


class _Process:
    """This process: its number, which costs a system call, is asked for once and after each fork."""

    number = os.getpid()


_shared: dict[Path, SharedEnvironment] = {}
_registry_lock = threading.Lock()


def shared_environment(path: Path) -> SharedEnvironment:
    """Return the one environment of a file in this process; opened when it is first read or written."""
    path = path.resolve()
    with _registry_lock:
        return _shared.setdefault(path, SharedEnvironment(path))


def needed_length(environment: lmdb.Environment) -> int:
    """Return how many bytes the file must have for its last page to be there."""
    return int((environment.info()["last_pgno"] + 1) * environment.stat()["psize"])


def _before_fork() -> None:
    """Wait until no transaction is open: a child must not end what its parent began."""
    _registry_lock.acquire()
    for environment in _shared.values():
        environment.writing.acquire()
        environment.reading.acquire()


def _after_fork() -> None:
    for environment in _shared.values():
        environment.reading.release()
        environment.writing.release()
    _registry_lock.release()


def _begin_child() -> None:
    _Process.number = os.getpid()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_child)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_mark(environment: lmdb.Environment, path: Path) -> None:
    """See that a file with entries is marked as ours."""
    with environment.begin() as transaction:
        if not transaction.stat()["entries"]:
            return
        mark = transaction.get(layout.MARK)
    if mark is None:
        found = "an LMDB file of another program"
        raise FeatureStoreError(str(path), found, "Name another file as the path of the online store.")
    if mark != layout.LAYOUT:
        found = f"layout {mark.decode(errors='replace')}, this version reads {layout.LAYOUT.decode()}"
        raise FeatureStoreError(str(path), found, "Install the stackwright-lmdb that wrote it, or materialize anew.")
