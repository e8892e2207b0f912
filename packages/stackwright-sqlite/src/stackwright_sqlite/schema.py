"""The layout of the file, and every statement that touches rows.

One table a view, ``WITHOUT ROWID``: key, order token, payload. Blobs compare as unsigned bytes.
"""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError

APPLICATION_ID: Final = 0x53774F6E
"""Marks the file (``PRAGMA application_id``): the ASCII text ``SwOn``."""

LAYOUT: Final = 1
"""Version of this layout (``PRAGMA user_version``)."""

NO_TABLE: Final = "no such table"
"""How SQLite's message begins where a view was never written."""

_ESCAPED: Final = re.compile(r"[^a-z0-9_/@]")


@lru_cache(maxsize=1024)
def table(view: str) -> str:
    """Return the quoted name of a view's table; SQLite ignores case in names, so capitals are escaped."""
    escaped = _ESCAPED.sub(lambda match: f"^{ord(match[0]):x}.", view)
    return f'"view {escaped}"'


def tables(connection: sqlite3.Connection) -> set[str]:
    """Return the quoted names of the tables that are there."""
    return {f'"{name}"' for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def create(table: str) -> str:
    """Return the statement that makes a table where none is."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} "
        "(key BLOB NOT NULL PRIMARY KEY, ord BLOB NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID"
    )


def upsert(table: str) -> str:
    """Return the guarded insert: it changes a row only if the new order token is greater."""
    return (
        f"INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (key) "  # noqa: S608 -- the name was escaped by `table`
        "DO UPDATE SET ord = excluded.ord, payload = excluded.payload WHERE excluded.ord > ord"
    )


@lru_cache(maxsize=4096)
def select(tables: tuple[str, ...], counts: tuple[int, ...]) -> str:
    """Return the statement that gives, in one row, the payload of ``counts[i]`` keys of ``tables[i]``.

    Scalar subqueries keep order and doubles and give NULL where a key is absent; they were measured to be faster than
    a loop over keys and than ``IN`` with a dictionary.
    """
    columns = [
        f"(SELECT payload FROM {name} WHERE key = ?)"  # noqa: S608 -- the name was escaped by `table`
        for name, count in zip(tables, counts, strict=True)
        for _ in range(count)
    ]
    return f"SELECT {', '.join(columns)}"


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make an empty file ours, or see that it is; inside a transaction.

    Raises:
        FeatureStoreError: the file is another program's, or of a later layout.
    """
    if check(connection, path):
        return
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether the file was made by this adapter; ``False`` if it is still empty.

    Raises:
        FeatureStoreError: the file is another program's, or of a later layout.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID:
        if not tables and not application:
            return False
        found = "an SQLite database of another program"
        raise FeatureStoreError(str(path), found, "Name another file as the path of the online store.")
    if layout != LAYOUT:
        found = f"layout {layout}, this version reads {LAYOUT}"
        raise FeatureStoreError(str(path), found, "Install the stackwright-sqlite that wrote it, or materialize anew.")
    return True
