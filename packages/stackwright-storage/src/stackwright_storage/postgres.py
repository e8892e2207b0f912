"""Objects as rows of one table of a PostgreSQL database.

Conditions are single statements, never a look followed by a write. Each put carries a mark of its own: where the
connection was lost and the retry then met its own row, the mark tells that the put was done.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from stackwright_interfaces.errors import PluginError, StorageError, UsageError
from stackwright_interfaces.storage import Storage, Stored
from stackwright_storage.failures import changed, exists, not_found
from stackwright_storage.keys import check_key, check_prefix

try:
    import psycopg
    from psycopg import sql
except ModuleNotFoundError as error:
    todo = "Run: pip install 'stackwright-storage[postgres]'"
    raise PluginError("storage postgresql", "psycopg is not installed", todo) from error

T = TypeVar("T")
Rows = list[Any]

TABLE: Final = "stackwright_objects"

_OPTIONS: Final = {"schema": "public", "table": TABLE, "prefix": ""}
_ATTEMPTS: Final = 4
_FIRST_PAUSE: Final = 0.1
_LOCK: Final = 0x53774F62
"""Advisory lock that is held while the table is made: the ASCII text ``SwOb``."""


class PostgresStorage(Storage):
    """Objects below a prefix, in one table. Usable from many threads and processes, and after a fork.

    The tag of an object is the SHA-256 of its bytes. The table is made by the first put. What fails because a
    connection was lost is tried four times in all.

    Args:
        url: ``postgresql://user@host/database``, with ``?schema=...&table=...&prefix=...`` where they are not
            ``public``, ``stackwright_objects`` and nothing; libpq's own options may stand beside them.

    Raises:
        UsageError: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query))
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise _unreadable() from None  # the message quotes what it could not read, which may be the password
        own = {name: given.pop(name, usual) for name, usual in _OPTIONS.items()}
        database = parts.path.strip("/")
        if not database or "/" in database or parts.fragment:
            raise _unreadable()
        self._conninfo = urlunsplit(parts._replace(query=urlencode(given)))
        self._where = f"PostgreSQL {parts.hostname or 'local'}{port}/{database}, table {own['schema']}.{own['table']}"
        self._prefix = f"{own['prefix'].strip('/')}/" if own["prefix"].strip("/") else ""
        self._schema, self._table = sql.Identifier(own["schema"]), sql.Identifier(own["schema"], own["table"])
        self._idle: Rows = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._made = False

    def get(self, key: str) -> Stored:
        """Return the object."""
        check_key(key)
        found = self._run("SELECT data FROM {table} WHERE key = %s", [self._prefix + key], missing=[])
        if not found:
            raise not_found(self._at(key))
        data = bytes(found[0][0])
        return Stored(data, tag_of(data))

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Store an object where none is; return its tag."""
        check_key(key)
        mark, tag = uuid.uuid4().hex, tag_of(data)
        self._make()
        done = self._run(
            "INSERT INTO {table} AS kept (key, data, tag, mark) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (key) DO UPDATE SET mark = kept.mark WHERE kept.mark = excluded.mark RETURNING 1",
            [self._prefix + key, data, tag, mark],
        )
        if not done:
            raise exists(self._at(key))
        return tag

    def put_if_match(self, key: str, data: bytes, tag: str) -> str:
        """Replace the object that has this tag; return the new tag."""
        check_key(key)
        mark, new = uuid.uuid4().hex, tag_of(data)
        done = self._run(
            "UPDATE {table} SET data = %s, tag = %s, mark = %s WHERE key = %s AND (tag = %s OR mark = %s) RETURNING 1",
            [data, new, mark, self._prefix + key, tag, mark],
            missing=[],
        )
        if not done:
            raise changed(self._at(key), "someone else has replaced or removed it")
        return new

    def list(self, prefix: str = "") -> Iterator[str]:
        """Give the keys that start with a prefix, sorted."""
        check_prefix(prefix)
        start = self._prefix + prefix
        found = self._run("SELECT key FROM {table} WHERE starts_with(key, %s) ORDER BY key", [start], missing=[])
        return iter([row[0].removeprefix(self._prefix) for row in found])

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where none is."""
        check_key(key)
        self._run("DELETE FROM {table} WHERE key = %s RETURNING 1", [self._prefix + key], missing=[])

    def close(self) -> None:
        """Close the connections. Closing twice is allowed."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection in idle:
                connection.close()

    def _make(self) -> None:
        """Make the table where it is missing; one process at a time, or two of them would fail at it."""
        if self._made:
            return

        def work(connection: Any) -> None:
            if connection.execute("SELECT to_regclass(%s)", [self._table.as_string(connection)]).fetchone()[0]:
                return
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(self._schema))
                connection.execute(
                    sql.SQL(
                        'CREATE TABLE IF NOT EXISTS {} (key text COLLATE "C" PRIMARY KEY, data bytea NOT NULL, '
                        "tag text NOT NULL, mark text NOT NULL)"
                    ).format(self._table)
                )

        self._tried(work)
        self._made = True

    def _run(self, statement: str, values: Rows, *, missing: Rows | None = None) -> Rows:
        """Return the rows of a statement.

        Args:
            missing: what to return where there is no table yet.
        """
        query = sql.SQL(statement).format(table=self._table)

        def work(connection: Any) -> Rows:
            try:
                rows: Rows = connection.execute(query, values, binary=True).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                if missing is None:
                    raise
                return missing
            return rows

        return self._tried(work)

    def _tried(self, work: Callable[[Any], T]) -> T:
        """Do a piece of work on a connection; on another one where it was lost."""
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            connection = None
            try:
                connection = self._taken()
                found = work(connection)
            except psycopg.Error as error:
                lost = connection is None or connection.broken or connection.closed
                if connection is not None:
                    connection.close()
                if attempt == _ATTEMPTS or not lost:
                    raise self._failed(error, lost=bool(lost)) from error
                time.sleep(pause)
                pause *= 2
            else:
                with self._lock:
                    self._idle.append(connection)
                return found
        raise AssertionError("the last attempt returns or raises")

    def _taken(self) -> Any:
        with self._lock:
            if self._pid != os.getpid():  # connections belong to the process that opened them
                self._idle, self._pid = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return psycopg.connect(self._conninfo, autocommit=True, application_name="stackwright", connect_timeout=10)

    def _failed(self, error: psycopg.Error, *, lost: bool) -> StorageError:
        if lost:
            found, todo = (
                "the server cannot be reached, or ended the connection",
                "Run the command again when it is up.",
            )
        elif isinstance(error, psycopg.errors.InsufficientPrivilege):
            found, todo = (
                "this user may not do that",
                "Grant it SELECT, INSERT, UPDATE and DELETE on the table, or CREATE.",
            )
        elif isinstance(error, psycopg.errors.DiskFull):
            found, todo = "the disk of the server is full", "Make room and run the command again."
        else:
            found, todo = f"the server failed ({error.sqlstate or type(error).__name__})", ""
        return StorageError(self._where, found, todo)

    def _at(self, key: str) -> str:
        return f"{self._where}, {self._prefix}{key}"


def tag_of(data: bytes) -> str:
    """Return the tag of an object with this content."""
    return hashlib.sha256(data).hexdigest()


def _unreadable() -> UsageError:
    todo = "Write postgresql://user@host/database; options: schema, table, prefix. A password may come from ~/.pgpass."
    return UsageError("storage postgresql", "not the URL of a database", todo)
