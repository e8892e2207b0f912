"""Where the rows of a view lie.

Views whose keys are the same share a table while their rows are small: one row then holds a token and a payload a view,
and one search in one tree finds what all of them say of a key. A view of large rows has a table of its own, as every
view had in the layout before. A name that is asked for and not there fails the statement, so that what a reader
remembers of this is never wrong unnoticed.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_sqlite.numbers import numbers_of

ROW: Final = 640
"""Bytes of tokens and payloads that a shared row may have, on average: six rows a page."""

VIEWS_A_TABLE: Final = 32
"""Views that share a table at most, of SQLite's 2,000 columns."""

SAMPLE: Final = 64
"""Rows that tell how large those of a view are."""

_ESCAPED: Final = re.compile(r"[^a-z0-9_/@]")


class Place(NamedTuple):
    """Where the rows of a view lie; all names are quoted.

    Attributes:
        owner: the view's table, if it has one of its own; marks its rows among the others in any case.
        table: the table.
        order: its column of the order tokens, NULL where a key is of other views only.
        payload: its column of the payloads, likewise.
    """

    owner: str
    table: str
    order: str
    payload: str

    @property
    def is_shared(self) -> bool:
        """Whether other views may lie in the same table."""
        return self.owner != self.table


def _escape(view: str) -> str:
    """Return a name without capitals and quotes; SQLite ignores case in names."""
    return _ESCAPED.sub(lambda match: f"^{ord(match[0]):x}.", view)


@lru_cache(maxsize=1024)
def owner_of(view: str) -> str:
    """Return the quoted name of a view's own table."""
    return f'"view {_escape(view)}"'


def _alone(owner: str) -> Place:
    return Place(owner, owner, '"ord"', '"payload"')


def _shared(owner: str, table: str) -> Place:
    name = owner.removeprefix('"view ').removesuffix('"')
    return Place(owner, table, f'"ord {name}"', f'"payload {name}"')


def places(connection: sqlite3.Connection) -> dict[str, Place]:
    """Return the place of every view that is there, under its owner."""
    alone = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'view *'")
    found = [_alone(f'"{name}"') for (name,) in alone]
    shared = connection.execute(
        "SELECT made.name, substr(held.name, 9) FROM sqlite_master AS made, pragma_table_info(made.name) AS held "
        "WHERE made.type = 'table' AND made.name GLOB 'rows *' AND held.name GLOB 'payload *'"
    )
    found += [_shared(f'"view {view}"', f'"{table}"') for table, view in shared]
    return {place.owner: place for place in found}


def neighbours(connection: sqlite3.Connection, place: Place) -> list[Place]:
    """Return the places of the other views in the same table."""
    return [other for other in places(connection).values() if other.table == place.table and other != place]


def make_place(connection: sqlite3.Connection, view: str, rows: Sequence[OnlineRow]) -> Place:
    """Return where a view is to lie that is written for the first time, and make that place.

    Args:
        connection: inside a transaction.
        view: the view.
        rows: the first of its rows, at least one: they tell how large rows are, and which table has their keys.
    """
    sample = rows[:: -(-len(rows) // SAMPLE)]
    size = mean_size(sample)
    owner = owner_of(view)
    if size > ROW:
        return _make_alone(connection, owner)
    tables: dict[str, list[Place]] = {}
    for place in places(connection).values():
        if place.is_shared:
            tables.setdefault(place.table, []).append(place)
    fitting = ((_in_common(connection, held, sample, ROW - size), table) for table, held in tables.items())
    common, table = max(fitting, default=(0, ""))
    if 2 * common < len(sample):
        table = next(name for name in _names() if name not in tables)
        connection.execute(f"CREATE TABLE {table} (number INTEGER PRIMARY KEY, key BLOB NOT NULL)")
    place = _shared(owner, table)
    for column in (place.order, place.payload):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} BLOB")
    return place


def mean_size(rows: Sequence[OnlineRow]) -> float:
    """Return the bytes of a row's token and payload, on average."""
    return sum(len(row.order) + len(row.payload) for row in rows) / len(rows)


def _names() -> Iterator[str]:
    return (f'"rows {number}"' for number in count(1))


def _in_common(connection: sqlite3.Connection, held: Sequence[Place], rows: Sequence[OnlineRow], room: float) -> int:
    """Return how many of these rows' keys a table has; none where it has no room for so many bytes a row more."""
    if len(held) >= VIEWS_A_TABLE:
        return 0
    table = held[0].table
    size = " + ".join(f"coalesce(length({place.order}) + length({place.payload}), 0)" for place in held)
    statement = f"SELECT {size} FROM {table} WHERE number = ? AND key = ?"  # noqa: S608 -- the names were escaped
    keys = [row.key for row in rows]
    sizes = [
        size for wanted in zip(numbers_of(keys), keys, strict=True) for (size,) in connection.execute(statement, wanted)
    ]
    return len(sizes) if sum(sizes) <= room * len(sizes) else 0


def set_apart(connection: sqlite3.Connection, place: Place) -> Place:
    """Give a view a table of its own, and return that place."""
    own = _make_alone(connection, place.owner)
    connection.execute(
        f"INSERT INTO {own.table} SELECT number, key, {place.order}, {place.payload} FROM {place.table} "  # noqa: S608 -- the names were escaped
        f"WHERE {place.order} IS NOT NULL"
    )
    remove(connection, place)
    return own


def _make_alone(connection: sqlite3.Connection, owner: str) -> Place:
    connection.execute(
        f"CREATE TABLE {owner} "
        "(number INTEGER PRIMARY KEY, key BLOB NOT NULL, ord BLOB NOT NULL, payload BLOB NOT NULL)"
    )
    return _alone(owner)


def remove(connection: sqlite3.Connection, place: Place) -> int:
    """Remove a place and all rows of its view; return how many there were."""
    held: int
    (held,) = connection.execute(f"SELECT count({place.order}) FROM {place.table}").fetchone()  # noqa: S608 -- the names were escaped
    others = neighbours(connection, place)
    if not others:
        connection.execute(f"DROP TABLE {place.table}")
        return held
    for column in (place.order, place.payload):
        connection.execute(f"ALTER TABLE {place.table} DROP COLUMN {column}")
    connection.execute(f"DELETE FROM {place.table} WHERE {_nothing(others)}")  # noqa: S608 -- the names were escaped
    return held


def remove_rows(connection: sqlite3.Connection, place: Place, keys: Sequence[bytes]) -> int:
    """Remove the rows of keys from a place; return how many there were."""
    wanted = list(zip(numbers_of(keys), keys, strict=True))
    others = neighbours(connection, place)
    if not others:
        return connection.executemany(f"DELETE FROM {place.table} WHERE number = ? AND key = ?", wanted).rowcount  # noqa: S608 -- the name was escaped
    removed = connection.executemany(
        f"UPDATE {place.table} SET {place.order} = NULL, {place.payload} = NULL "  # noqa: S608 -- the names were escaped
        f"WHERE number = ? AND key = ? AND {place.order} IS NOT NULL",
        wanted,
    ).rowcount
    connection.executemany(
        f"DELETE FROM {place.table} WHERE number = ? AND key = ? AND {_nothing(others)}",  # noqa: S608 -- likewise
        wanted,
    )
    return removed


def _nothing(held: Sequence[Place]) -> str:
    """Return the condition that no view of these has the row."""
    return " AND ".join(f"{place.order} IS NULL" for place in held)
