"""Writes: one transaction a call, by one writer at a time, which alone checkpoints."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.online_rows import greatest
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_sqlite import schema
from stackwright_sqlite.connections import Connection, file_identity, open_to_write
from stackwright_sqlite.failures import closed, primary_code, translate
from stackwright_sqlite.numbers import numbers_of
from stackwright_sqlite.places import (
    ROW,
    SAMPLE,
    Place,
    make_place,
    mean_size,
    owner_of,
    places,
    remove,
    remove_rows,
    set_apart,
)
from stackwright_sqlite.plugin import SQLiteConfig

WAL_RESET_BUG: Final = ((3, 7, 0), (3, 51, 2))
"""First and last version of SQLite in which writing or checkpointing by two connections at once may damage the file."""

_PAUSE: Final = 0.005
_LOG: Final = logging.getLogger("stackwright_sqlite")


class Writer:
    """Writes to one file. Threads and processes take turns under a lock file."""

    def __init__(self, path: Path, config: SQLiteConfig) -> None:
        self._path = path
        self._config = config
        self._lock = WriterLock(path.with_name(f"{path.name}.lock"))
        self._process = os.getpid()
        self._threads = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store rows, as :meth:`OnlineStore.write` says, all in one transaction."""
        stored = [False] * len(rows)
        if not rows:
            return stored
        chosen = greatest(rows)
        with self._transaction() as connection:
            put = _Upsert(connection, _place_for(connection, view, rows))
            for number, key in sorted(zip(numbers_of(list(chosen)), chosen, strict=True)):
                stored[chosen[key]] = put(number, rows[chosen[key]])
        return stored

    def drop(self, view: str, keys: Iterable[bytes] | None) -> int:
        """Remove rows, as :meth:`OnlineStore.drop` says; what is freed is overwritten with zeros."""
        if not self._path.exists():
            return 0
        with self._transaction() as connection:
            place = places(connection).get(owner_of(view))
            if place is None:
                return 0
            if keys is None:
                return remove(connection, place) + _count(connection, schema.DELETE_OTHERS, [(place.owner,)])
            chosen = list(keys)
            others = ((place.owner, key) for key in chosen)
            return remove_rows(connection, place, chosen) + _count(connection, schema.DELETE_OTHER, others)

    def close(self) -> None:
        """Close the connection; the last one to be closed moves the write-ahead log into the file."""
        self._closed = True
        if self._process == os.getpid() and self._connection is not None:
            # Without the lock if need be: SQLite checkpoints on closing only if no other connection is open.
            with suppress(FeatureStoreError), self._lock.hold(1.0):
                self._discard()
            self._discard()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._closed:
            raise closed(self._path)
        if self._process != os.getpid():
            self._process, self._threads, self._connection = os.getpid(), threading.Lock(), None
        deadline = time.monotonic() + self._config.lock_timeout
        with self._turn(), self._lock.hold(max(0.0, deadline - time.monotonic())):
            try:
                connection = self._begin(deadline)
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._discard()
                raise translate(error, self._path) from error
            except BaseException:
                self._discard()
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the other threads of this process, which share the connection."""
        if not self._threads.acquire(timeout=self._config.lock_timeout):
            found = f"another thread has been writing for more than {self._config.lock_timeout:g} s"
            raise FeatureStoreError(str(self._path), found, "Wait for it, or raise lock_timeout.")
        try:
            yield
        finally:
            self._threads.release()

    def _begin(self, deadline: float) -> Connection:
        """Start a transaction, again while a program that knows nothing of our lock holds the database."""
        while True:
            try:
                connection = self._connected()
                connection.execute("BEGIN IMMEDIATE")
                schema.prepare(connection, self._path)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    warn_of_another_writer(self._path)
                time.sleep(_PAUSE)
            else:
                return connection

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.file != file_identity(self._path):
            self._discard()
            self._connection = open_to_write(self._path, self._config)
        return self._connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _place_for(connection: Connection, view: str, rows: Sequence[OnlineRow]) -> Place:
    """Return where rows are to be written; a view whose rows have become large leaves those it shares with.

    Moving it takes seconds for a million rows, so that a few large ones, as they are pushed, are not enough.
    """
    place = places(connection).get(owner_of(view))
    if place is None:
        return make_place(connection, view, rows)
    if place.is_shared and len(rows) >= SAMPLE and mean_size(rows) > ROW:
        return set_apart(connection, place)
    return place


class _Upsert:
    """Stores rows of one view, within a transaction: each under its number, or among the others."""

    def __init__(self, connection: Connection, place: Place) -> None:
        self._cursor = connection.cursor()
        self._owner = place.owner
        self._upsert = schema.upsert(place)
        self._holder = f"SELECT key FROM {place.table} WHERE number = ?"  # noqa: S608 -- the name was escaped
        self._others = {key for (key,) in connection.execute(schema.KEYS_OF_OTHERS, (place.owner,))}

    def __call__(self, number: int, row: OnlineRow) -> bool:
        """Store a row if it is newer than what is there; tell whether it was."""
        if row.key not in self._others:
            self._cursor.execute(self._upsert, (number, row.key, row.order, row.payload))
            if self._cursor.rowcount > 0:
                return True
            (holder,) = self._cursor.execute(self._holder, (number,)).fetchone()
            if holder == row.key:
                return False
        self._others.add(row.key)
        self._cursor.execute(schema.UPSERT_OTHER, (self._owner, row.key, row.order, row.payload))
        return self._cursor.rowcount > 0


def _count(connection: Connection, statement: str, arguments: Iterable[tuple[object, ...]]) -> int:
    """Run a statement for each of the arguments, and return how many rows it changed in all."""
    return connection.executemany(statement, arguments).rowcount


@cache
def warn_of_another_writer(path: Path) -> None:
    """Log, once for a path, that another program writes to the file, if this SQLite cannot stand that.

    Our own writers take turns under a lock file, so that the bug cannot strike unless someone passes that by.
    """
    first, last = WAL_RESET_BUG
    if first <= sqlite3.sqlite_version_info <= last:
        _LOG.warning(
            "%s is being written to by a program that does not hold %s.lock, and SQLite %s can damage a database that "
            "two connections write to or checkpoint at once. End that program, or use SQLite 3.51.3 or later.",
            path,
            path,
            sqlite3.sqlite_version,
        )
