"""Connections: read-only ones, one a thread and process, and the one that writes.

SQLite forbids to use, or even close, in a forked child what its parent opened. So a child opens its own, and keeps the
inherited ones untouched.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_sqlite import schema
from stackwright_sqlite.failures import closed, primary_code
from stackwright_sqlite.known_places import KnownPlaces
from stackwright_sqlite.plugin import SQLiteConfig

RECHECK: Final = 1.0
"""Seconds after which a reader looks whether the file was replaced."""

_STEPS_BETWEEN_CHECKS: Final = 500  # of SQLite's virtual machine: some thirty keys
_STATEMENTS: Final = 512
_WAL_LIMIT: Final = 64 * 2**20
_MIB: Final = 2**20


class Deadline:
    """The instant (``time.monotonic``) after which statements of one connection are interrupted."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = math.inf

    def passed(self) -> bool:
        """Tell whether it is over."""
        return time.monotonic() > self.at


class Connection(sqlite3.Connection):
    """A connection that knows its process and its file.

    Attributes:
        process: who opened it.
        file: device and inode it was opened on.
        checked: when (``time.monotonic``) the file was last seen to be the same.
        deadline: interrupts its statements.
        known: where the views lie, as far as it has seen.
    """

    process: int
    file: tuple[int, int] | None
    checked: float
    deadline: Deadline
    known: KnownPlaces

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


class _Process:
    """This process: its number, which costs a system call, is asked for once and after each fork."""

    number = os.getpid()

    @classmethod
    def begin(cls) -> None:
        cls.number = os.getpid()


_live: WeakValueDictionary[int, Connection] = WeakValueDictionary()
_inherited: list[list[Connection | None]] = []

os.register_at_fork(
    before=lambda: _inherited.append([reference() for reference in _live.valuerefs()]),
    after_in_parent=_inherited.pop,
    after_in_child=_Process.begin,
)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, mode: str) -> Connection:
    file = file_identity(path)
    connection: Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=0,  # waiting is ours, up to a deadline
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        factory=Connection,
    )
    connection.process = _Process.number
    connection.file = file
    connection.checked = time.monotonic()
    connection.deadline = Deadline()
    connection.known = KnownPlaces()
    _live[id(connection)] = connection
    return connection


def open_to_write(path: Path, config: SQLiteConfig) -> Connection:
    """Open the file for writing, and make it where it is missing; the caller holds the lock.

    Raises:
        FeatureStoreError: the file is another program's, or lies where write-ahead logging cannot work.
        sqlite3.Error: SQLite cannot open it.
    """
    connection = _open(path, "rwc")
    try:
        schema.check(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            found = f"this file system allows no write-ahead log (journal mode is {mode!r})"
            raise FeatureStoreError(str(path), found, "Put the online store on a local disk.")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        connection.execute(f"PRAGMA cache_size = -{config.cache_mb * 1024}")
    except BaseException:
        connection.close()
        raise
    connection.file = file_identity(path)
    return connection


class ReadConnections:
    """Read-only connections to one file, one a thread and process, opened when first needed."""

    def __init__(self, path: Path, config: SQLiteConfig) -> None:
        self._path = path
        self._config = config
        self._local = threading.local()
        self._open: WeakValueDictionary[int, Connection] = WeakValueDictionary()
        self._closed = False

    def current(self) -> Connection | None:
        """Return this thread's connection, ``None`` while there is no file.

        Raises:
            FeatureStoreError: closed, or the file is another program's.
            sqlite3.Error: SQLite cannot open it.
        """
        connection: Connection | None = getattr(self._local, "connection", None)
        if (
            connection is not None
            and time.monotonic() - connection.checked < RECHECK
            and connection.process == _Process.number
        ):
            return connection
        return self._renew(connection)

    def _renew(self, connection: Connection | None) -> Connection | None:
        if self._closed:
            raise closed(self._path)
        if connection is not None and connection.process == _Process.number:
            if connection.file == file_identity(self._path):
                connection.checked = time.monotonic()
                return connection
            connection.close()
        self._local.connection = None
        connection = self._local.connection = self._connect()
        return connection

    def _connect(self) -> Connection | None:
        try:
            connection = _open(self._path, "ro")
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_CANTOPEN and not self._path.exists():
                return None
            raise
        try:
            schema.check(connection, self._path)
            connection.execute(f"PRAGMA cache_size = -{self._config.cache_mb * 1024}")
            connection.execute(f"PRAGMA mmap_size = {self._config.mmap_mb * _MIB}")
        except BaseException:
            connection.close()
            raise
        connection.set_progress_handler(connection.deadline.passed, _STEPS_BETWEEN_CHECKS)
        self._open[id(connection)] = connection
        return connection

    def close(self) -> None:
        """Close the connections of all threads of this process."""
        self._closed = True
        for reference in self._open.valuerefs():
            connection = reference()
            if connection is not None and connection.process == _Process.number:
                connection.checked = -math.inf
                connection.close()
