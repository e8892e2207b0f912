"""The layout of the file, and the statements that read and write rows.

A row of a table: the key's number, under which it lies, the key, and an order token and a payload for each view whose
table it is (:mod:`stackwright_sqlite.places`). A key whose number another key has taken lies in one table beside,
``others``. Blobs compare as unsigned bytes.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_sqlite.places import Place

APPLICATION_ID: Final = 0x53774F6E
"""Marks the file (``PRAGMA application_id``): the ASCII text ``SwOn``."""

LAYOUT: Final = 3
"""Version of this layout (``PRAGMA user_version``)."""

READ: Final = (2, LAYOUT)
"""Versions that can be read and written: in the second, every view had a table of its own."""

OTHERS: Final = '"others"'
"""The table of keys whose number is taken in their view's table."""

MAKE_OTHERS: Final = (
    f"CREATE TABLE IF NOT EXISTS {OTHERS} (owner TEXT NOT NULL, key BLOB NOT NULL, ord BLOB NOT NULL, "
    "payload BLOB NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID"
)
"""Makes the table of the others where it is missing."""


def upsert(place: Place) -> str:
    """Return the guarded insert of (number, key, order, payload): it changes a row only if the new token is greater.

    It changes nothing where another key has the number.
    """
    table, order, payload = place.table, place.order, place.payload
    return (
        f"INSERT INTO {table} (number, key, {order}, {payload}) VALUES (?, ?, ?, ?) ON CONFLICT (number) "  # noqa: S608 -- the names were escaped
        f"DO UPDATE SET {order} = excluded.{order}, {payload} = excluded.{payload} "
        f"WHERE key = excluded.key AND ({order} IS NULL OR excluded.{order} > {order})"
    )


UPSERT_OTHER: Final = (
    f"INSERT INTO {OTHERS} VALUES (?, ?, ?, ?) ON CONFLICT (owner, key) "  # noqa: S608 -- a constant
    "DO UPDATE SET ord = excluded.ord, payload = excluded.payload WHERE excluded.ord > ord"
)
"""The same among the others, of (owner, key, order, payload)."""


DELETE_OTHERS: Final = f"DELETE FROM {OTHERS} WHERE owner = ?"  # noqa: S608 -- a constant
"""Removes all of one owner."""


DELETE_OTHER: Final = f"DELETE FROM {OTHERS} WHERE owner = ? AND key = ?"  # noqa: S608 -- a constant
"""Removes one, of (owner, key)."""


KEYS_OF_OTHERS: Final = f"SELECT key FROM {OTHERS} WHERE owner = ?"  # noqa: S608 -- a constant
"""The keys of one owner among the others."""


PAYLOADS_OF_OTHERS: Final = f"SELECT key, payload FROM {OTHERS} WHERE owner = ?"  # noqa: S608 -- a constant
"""Their payloads."""


def page(place: Place) -> str:
    """Return the statement that gives (number, key, order, payload) of rows after a number, so many."""
    return (
        f"SELECT number, key, held.{place.order}, held.{place.payload} FROM {place.table} AS held "  # noqa: S608 -- the names were escaped
        f"WHERE number > ? AND held.{place.order} IS NOT NULL ORDER BY number LIMIT ?"
    )


def page_of_others(owner: str) -> str:
    """Return the statement that gives (key, key, order, payload) of a view's others after a key, so many."""
    quoted = owner.replace("'", "''")
    return f"SELECT key, key, ord, payload FROM {OTHERS} WHERE owner = '{quoted}' AND key > ? ORDER BY key LIMIT ?"  # noqa: S608 -- the name was escaped


@lru_cache(maxsize=4096)
def select(places: tuple[Place, ...], count: int) -> str:
    """Return the statement that gives a row for each of ``count`` numbers and then as many keys, in their order.

    The row holds the payload in every place, NULL where a key is absent there, and last whether there are others, among
    which it may be. The keys are the outer loop, whose order left joins keep. Columns are named with their table, for
    SQLite takes a quoted name that is nowhere for a text.
    """
    tables = {table: f"t{number}" for number, table in enumerate(dict.fromkeys(place.table for place in places))}
    payloads = ", ".join(f"{tables[place.table]}.{place.payload}" for place in places)
    joins = " ".join(
        f"LEFT JOIN {table} {name} ON {name}.number = asked.column1 AND {name}.key = asked.column2"
        for table, name in tables.items()
    )
    asked = ", ".join(f"(?{place}, ?{count + place})" for place in range(1, count + 1))
    return f"SELECT {payloads}, EXISTS (SELECT 1 FROM {OTHERS}) FROM (VALUES {asked}) AS asked {joins}"  # noqa: S608 -- the names were escaped


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make an empty file ours, or see that it is; inside a transaction.

    Raises:
        FeatureStoreError: the file is another program's, or of a later layout.
    """
    found = check(connection, path)
    if found is None:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if found != LAYOUT:
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute(MAKE_OTHERS)


def check(connection: sqlite3.Connection, path: Path) -> int | None:
    """Return the layout of a file that was made by this adapter; ``None`` if it is still empty.

    Raises:
        FeatureStoreError: the file is another program's, or of a later layout.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID:
        if not tables and not application:
            return None
        found = "an SQLite database of another program"
        raise FeatureStoreError(str(path), found, "Name another file as the path of the online store.")
    if layout not in READ:
        found = f"layout {layout}, this version reads {' and '.join(map(str, READ))}"
        raise FeatureStoreError(
            str(path), found, "Install the stackwright-sqlite that wrote it, or remove the file and materialize."
        )
    return int(layout)
