"""Reads: payloads of many keys in few statements, under a deadline."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_sqlite import schema
from stackwright_sqlite.connections import Connection, ReadConnections
from stackwright_sqlite.failures import primary_code, timed_out, translate
from stackwright_sqlite.known_places import is_outdated
from stackwright_sqlite.numbers import numbers_of
from stackwright_sqlite.places import Place, owner_of, places
from stackwright_sqlite.plugin import SQLiteConfig

CHUNK: Final = 64
"""Keys a statement; measured: twice as many gain nothing, a quarter as many cost a tenth more."""

VIEWS: Final = 32
"""Views a statement: SQLite joins 64 tables at most."""

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
        if not any(keys):
            return [[] for _ in views]
        return self._run(_read, timeout, tuple(views), keys)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view; each page of rows is of one moment."""
        yield from self._pages(_page, view, -math.inf)
        yield from self._pages(_page_of_others, view, b"")

    def _pages(self, read: Callable[..., list[tuple[Any, ...]]], view: str, last: float | bytes) -> Iterator[OnlineRow]:
        while page := self._run(read, None, view, last):
            yield from (OnlineRow(*row) for _, *row in page)
            last = page[-1][0]

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


def _read(connection: Connection | None, views: tuple[str, ...], keys: _Keys) -> _Payloads:
    if connection is None:
        return [[None] * len(asked) for asked in keys]
    asked = keys[0]
    try:
        if len(asked) <= CHUNK and len(views) <= VIEWS and keys.count(asked) == len(keys):
            statement = connection.known.select(views, len(asked))
            rows = _select(connection, statement, asked) if statement else []
            if rows and not rows[0][-1]:
                return _columns(rows)
        places = connection.known.of(views)
        if places is not None:
            with _snapshot(connection):
                return _read_all(connection, places, keys)
    except sqlite3.OperationalError as error:
        if not is_outdated(error):
            raise
    return _read_those_there(connection, views, keys)


def _read_those_there(connection: Connection, views: Sequence[str], keys: _Keys) -> _Payloads:
    """Look again where views lie, and read them: nothing is found in those that are nowhere."""
    with _snapshot(connection):
        connection.known.learn(connection)
        places = [connection.known.place(view) for view in views]
        there = [number for number, place in enumerate(places) if place is not None]
        found: _Payloads = [[None] * len(asked) for asked in keys]
        chosen = [place for place in places if place is not None]
        for number, payloads in zip(there, _read_all(connection, chosen, [keys[n] for n in there]), strict=True):
            found[number] = payloads
        return found


def _columns(rows: Sequence[tuple[bytes | None, ...]]) -> _Payloads:
    """Return the payloads of each table; the last column is none."""
    if len(rows) == 1:
        return [[payload] for payload in rows[0][:-1]]
    return list(map(list, zip(*rows, strict=True)))[:-1]


def _read_all(connection: Connection, places: Sequence[Place], keys: _Keys) -> _Payloads:
    """Read views that are all there, inside a transaction: those that are asked for the same keys together."""
    found: _Payloads = [[] for _ in places]
    left = [number for number, asked in enumerate(keys) if asked]
    while left:
        asked = keys[left[0]]
        group = [number for number in left if keys[number] is asked or keys[number] == asked][:VIEWS]
        chosen = tuple(places[number] for number in group)
        chunks = _chunks(asked)
        rows = list(chain.from_iterable(_select(connection, schema.select(chosen, len(part)), part) for part in chunks))
        for number, payloads in zip(group, _columns(rows), strict=True):
            others = rows[0][-1]
            found[number] = _with_others(connection, places[number].owner, asked, payloads) if others else payloads
        left = [number for number in left if number not in group]
    return found


def _select(connection: Connection, statement: str, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Run a statement of :func:`schema.select` for as many keys as it is made for."""
    return connection.execute(statement, [*numbers_of(keys), *keys]).fetchall()


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Give chunks of 64 keys, and the rest in powers of two, so that few statements have to be prepared."""
    start, size = 0, CHUNK
    while start < len(keys):
        while size > len(keys) - start:
            size //= 2
        yield keys[start : start + size]
        start += size


def _with_others(
    connection: Connection, owner: str, keys: Sequence[bytes], payloads: list[bytes | None]
) -> list[bytes | None]:
    """Return the payloads, completed by those whose number another key has."""
    others = dict(connection.execute(schema.PAYLOADS_OF_OTHERS, (owner,)))
    return [others.get(key) if payload is None else payload for key, payload in zip(keys, payloads, strict=True)]


def _page(connection: Connection | None, view: str, last: float) -> list[tuple[Any, ...]]:
    """Return the next rows of a view, wherever it lies by now."""
    if connection is None:
        return []
    with _snapshot(connection):
        place = places(connection).get(owner_of(view))
        return [] if place is None else connection.execute(schema.page(place), (last, _PAGE)).fetchall()


def _page_of_others(connection: Connection | None, view: str, last: bytes) -> list[tuple[Any, ...]]:
    if connection is None or owner_of(view) not in places(connection):
        return []
    return connection.execute(schema.page_of_others(owner_of(view)), (last, _PAGE)).fetchall()


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
