"""Reads: payloads of many keys in few statements, under a deadline."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_sqlite import schema
from stackwright_sqlite.connections import Connection, ReadConnections
from stackwright_sqlite.failures import primary_code, timed_out, translate
from stackwright_sqlite.plugin import SQLiteConfig

CHUNK: Final = 32
"""Keys a statement; measured: twice as many gain nothing, half as many cost a tenth more."""

_PAGE: Final = 500
_PAUSE: Final = 0.001

_T = TypeVar("_T")
_Keys = Sequence[Sequence[bytes]]
_Payloads = list[list[bytes | None]]


class Reading:
    """What :class:`~stackwright_sqlite.online.SQLiteOnlineStore` and its readers share."""

    def __init__(self, path: Path, config: SQLiteConfig) -> None:
        self._path = path
        self._patience = config.lock_timeout
        self._connections = ReadConnections(path, config)

    def read(self, views: Sequence[str], keys: _Keys, timeout: float | None) -> _Payloads:
        """Return payloads, as :meth:`OnlineStore.read` says; all views are of one moment."""
        tables = tuple(map(schema.table, views))
        if not any(keys):
            return [[] for _ in tables]
        return self._run(_read, timeout, tables, keys)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key; each page of rows is of one moment."""
        table = schema.table(view)
        page = self._page(table, ">=", b"")
        while page:
            yield from page
            page = self._page(table, ">", page[-1].key)

    def _page(self, table: str, after: str, key: bytes) -> list[OnlineRow]:
        return self._run(_page, None, table, after, key)

    def close(self) -> None:
        """Close the connections of this process."""
        self._connections.close()

    def _run(self, action: Callable[..., _T], timeout: float | None, *arguments: object) -> _T:
        """Call an action with this thread's connection and the arguments, again while the database is locked."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        patience: float | None = None
        while True:
            try:
                connection = self._connections.current()
                if connection is not None:
                    connection.deadline.at = deadline
                answer = action(connection, *arguments)
            except sqlite3.Error as error:
                patience = patience or time.monotonic() + self._patience
                if time.monotonic() > deadline:
                    raise timed_out(self._path) from error
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise translate(error, self._path) from error
                time.sleep(_PAUSE)
            else:
                if timeout is not None and time.monotonic() > deadline:
                    raise timed_out(self._path)
                return answer


def _read(connection: Connection | None, tables: tuple[str, ...], keys: _Keys) -> _Payloads:
    if connection is None:
        return [[None] * len(asked) for asked in keys]
    try:
        return _select(connection, tables, keys)
    except sqlite3.OperationalError as error:
        if not _table_is_missing(error):
            raise
    with _snapshot(connection):
        present = schema.tables(connection)
        there = [table in present for table in tables]
        wanted = [(table, asked) for table, asked, is_there in zip(tables, keys, there, strict=True) if is_there]
        found = iter([_select_chunks(connection, table, asked) for table, asked in wanted])
        return [next(found) if is_there else [None] * len(asked) for asked, is_there in zip(keys, there, strict=True)]


def _select(connection: Connection, tables: tuple[str, ...], keys: _Keys) -> _Payloads:
    counts = tuple(map(len, keys))
    if sum(counts) > CHUNK:
        with _snapshot(connection):
            return [_select_chunks(connection, table, asked) for table, asked in zip(tables, keys, strict=True)]
    if len(tables) == 1:
        return [list(connection.execute(schema.select(tables, counts), keys[0]).fetchone())]
    flat = [key for asked in keys for key in asked]
    payloads = iter(connection.execute(schema.select(tables, counts), flat).fetchone())
    return [list(islice(payloads, count)) for count in counts]


def _select_chunks(connection: Connection, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
    """Read chunks of 32 keys, and the rest in powers of two, so that few statements have to be prepared."""
    payloads: list[bytes | None] = []
    size = CHUNK
    while len(payloads) < len(keys):
        left = len(keys) - len(payloads)
        while size > left:
            size //= 2
        chunk = keys[len(payloads) : len(payloads) + size]
        payloads.extend(connection.execute(schema.select((table,), (size,)), chunk).fetchone())
    return payloads


def _page(connection: Connection | None, table: str, after: str, key: bytes) -> list[OnlineRow]:
    if connection is None:
        return []
    statement = f"SELECT key, ord, payload FROM {table} WHERE key {after} ? ORDER BY key LIMIT {_PAGE}"  # noqa: S608 -- the name was escaped by `schema.table`
    try:
        return [OnlineRow(*row) for row in connection.execute(statement, (key,))]
    except sqlite3.OperationalError as error:
        if _table_is_missing(error):
            return []
        raise


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    """Let several statements see one state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.deadline.at = math.inf
        if connection.in_transaction:  # SQLite itself ends it after some errors
            connection.execute("ROLLBACK")


def _table_is_missing(error: sqlite3.OperationalError) -> bool:
    return str(error).startswith(schema.NO_TABLE)
