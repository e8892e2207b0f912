"""The layout of the file, and every statement that touches rows.

One table a view: the key's number, which is the row's place, the key, its order token, the payload. A key whose place
is taken by another key of the same number lies in one table beside, ``others``. Blobs compare as unsigned bytes.
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

LAYOUT: Final = 2
"""Version of this layout (``PRAGMA user_version``)."""

OTHERS: Final = '"others"'
"""The table of keys whose place in their view's table is taken."""

NO_TABLE: Final = "no such table"
"""How SQLite's message begins where a view was never written."""

_ESCAPED: Final = re.compile(r"[^a-z0-9_/@]")


@lru_cache(maxsize=1024)
def table(view: str) -> str:
    """Return the quoted name of a view's table; SQLite ignores case in names, so capitals are escaped."""
    escaped = _ESCAPED.sub(lambda match: f"^{ord(match[0]):x}.", view)
    return f'"view {escaped}"'


@lru_cache(maxsize=1024)
def tables_of(views: tuple[str, ...]) -> tuple[str, ...]:
    """Return the quoted names of several views' tables."""
    return tuple(map(table, views))


def tables(connection: sqlite3.Connection) -> set[str]:
    """Return the quoted names of the tables that are there."""
    return {f'"{name}"' for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def create(table: str) -> tuple[str, str]:
    """Return the statements that make a table, and the one for its others, where they are missing."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} "
        "(number INTEGER PRIMARY KEY, key BLOB NOT NULL, ord BLOB NOT NULL, payload BLOB NOT NULL)",
        f"CREATE TABLE IF NOT EXISTS {OTHERS} (owner TEXT NOT NULL, key BLOB NOT NULL, ord BLOB NOT NULL, "
        "payload BLOB NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID",
    )


def upsert(table: str) -> str:
    """Return the guarded insert of (number, key, order, payload): it changes a row only if the new token is greater.

    It changes nothing where another key has the place.
    """
    return (
        f"INSERT INTO {table} VALUES (?, ?, ?, ?) ON CONFLICT (number) "  # noqa: S608 -- the name was escaped by `table`
        "DO UPDATE SET ord = excluded.ord, payload = excluded.payload WHERE key = excluded.key AND excluded.ord > ord"
    )


UPSERT_OTHER: Final = (
    f"INSERT INTO {OTHERS} VALUES (?, ?, ?, ?) ON CONFLICT (owner, key) "  # noqa: S608 -- a constant
    "DO UPDATE SET ord = excluded.ord, payload = excluded.payload WHERE excluded.ord > ord"
)
"""The same among the others, of (table, key, order, payload)."""


KEYS_OF_OTHERS: Final = f"SELECT key FROM {OTHERS} WHERE owner = ?"  # noqa: S608 -- a constant
"""The keys of one table among the others."""


PAYLOADS_OF_OTHERS: Final = f"SELECT key, payload FROM {OTHERS} WHERE owner = ?"  # noqa: S608 -- a constant
"""Their payloads."""


def page(table: str) -> str:
    """Return the statement that gives (number, key, order, payload) of rows after a number, so many."""
    return f"SELECT number, key, ord, payload FROM {table} WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608 -- the name was escaped by `table`


def page_of_others(table: str) -> str:
    """Return the statement that gives (key, key, order, payload) of a table's others after a key, so many."""
    owner = table.replace("'", "''")
    return f"SELECT key, key, ord, payload FROM {OTHERS} WHERE owner = '{owner}' AND key > ? ORDER BY key LIMIT ?"  # noqa: S608 -- likewise


@lru_cache(maxsize=4096)
def select(tables: tuple[str, ...], count: int) -> str:
    """Return the statement that gives a row for each of ``count`` numbers and then as many keys, in their order.

    The row holds the payload in every table, NULL where a key is absent there, and last whether there are others, among
    which it may be. The keys are the outer loop, whose order left joins keep.
    """
    payloads = ", ".join(f"t{place}.payload" for place in range(len(tables)))
    joins = " ".join(
        f"LEFT JOIN {table} t{place} ON t{place}.number = asked.column1 AND t{place}.key = asked.column2"
        for place, table in enumerate(tables)
    )
    asked = ", ".join(f"(?{place}, ?{count + place})" for place in range(1, count + 1))
    return f"SELECT {payloads}, EXISTS (SELECT 1 FROM {OTHERS}) FROM (VALUES {asked}) AS asked {joins}"  # noqa: S608 -- the names were escaped by `table`


@lru_cache(maxsize=4096)
def select_of_views(views: tuple[str, ...], count: int) -> str:
    """Return the same for the tables of views."""
    return select(tables_of(views), count)


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
        raise FeatureStoreError(
            str(path), found, "Install the stackwright-sqlite that wrote it, or remove the file and materialize."
        )
    return True
