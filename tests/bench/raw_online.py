"""What ``online.py`` is measured against beside Feast: drivers called without anything around them.

Each keeps one blob a (view, key): ten floats. Nothing is decoded, compared or checked.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import lmdb
import psycopg
import redis

_KEY = struct.Struct(">q")
_PIPELINE = 1000


class Raw(Protocol):
    """A driver."""

    def write(self, views: int, blobs: Sequence[bytes]) -> None:
        """Store the blob of each key (0, 1, ...) for each view, durably as the server does."""

    def read(self, views: int, keys: Sequence[int]) -> object:
        """Return the blobs of these keys for each view."""

    def close(self) -> None:
        """Release what is held."""


class RawSQLite:
    """A table a view, in a write-ahead log that is synced; three selects."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA cache_size = -65536")

    def write(self, views: int, blobs: Sequence[bytes]) -> None:
        self._connection.execute("BEGIN")
        for view in range(views):
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS v{view} (key BLOB PRIMARY KEY, payload BLOB) WITHOUT ROWID"
            )
            rows = ((_KEY.pack(key), blob) for key, blob in enumerate(blobs))
            self._connection.executemany(f"INSERT OR REPLACE INTO v{view} VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def read(self, views: int, keys: Sequence[int]) -> object:
        packed = [_KEY.pack(key) for key in keys]
        marks = ", ".join("?" * len(packed))
        return [
            self._connection.execute(f"SELECT key, payload FROM v{view} WHERE key IN ({marks})", packed).fetchall()
            for view in range(views)
        ]

    def close(self) -> None:
        self._connection.close()


class RawRedis:
    """A key a (view, key); one MGET."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port, db=2)

    def write(self, views: int, blobs: Sequence[bytes]) -> None:
        for view in range(views):
            for start in range(0, len(blobs), _PIPELINE):
                some = blobs[start : start + _PIPELINE]
                self._client.mset({b"%d:%d" % (view, start + key): blob for key, blob in enumerate(some)})

    def read(self, views: int, keys: Sequence[int]) -> object:
        return self._client.mget([b"%d:%d" % (view, key) for view in range(views) for key in keys])

    def close(self) -> None:
        self._client.close()


class RawLMDB:
    """One transaction with a get a (view, key)."""

    def __init__(self, path: Path) -> None:
        self._environment = lmdb.open(str(path), subdir=False, map_size=2**30)

    def write(self, views: int, blobs: Sequence[bytes]) -> None:
        with self._environment.begin(write=True) as transaction:
            for view in range(views):
                for key, blob in enumerate(blobs):
                    transaction.put(b"%d" % view + _KEY.pack(key), blob)

    def read(self, views: int, keys: Sequence[int]) -> object:
        with self._environment.begin(buffers=False) as transaction:
            return [transaction.get(b"%d" % view + _KEY.pack(key)) for view in range(views) for key in keys]

    def close(self) -> None:
        self._environment.close()


class RawPostgres:
    """One table; one prepared select of all views."""

    def __init__(self, url: str) -> None:
        self._connection: Any = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS raw (view int, key bigint, payload bytea, PRIMARY KEY (view, key))"
        )

    def write(self, views: int, blobs: Sequence[bytes]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("TRUNCATE raw")
            with cursor.copy("COPY raw FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int4", "int8", "bytea"])
                for view in range(views):
                    for key, blob in enumerate(blobs):
                        copy.write_row((view, key, blob))

    def read(self, views: int, keys: Sequence[int]) -> object:
        return self._connection.execute(
            "SELECT view, key, payload FROM raw WHERE view = ANY(%s) AND key = ANY(%s)",
            (list(range(views)), list(keys)),
            prepare=True,
            binary=True,
        ).fetchall()

    def close(self) -> None:
        self._connection.close()
