"""What a connection remembers of where views lie.

It may be outdated by a writer: then a statement that was made of it fails, for want of a table or a column.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from stackwright_sqlite.places import Place, owner_of, places
from stackwright_sqlite.schema import select

_OUTDATED: Final = ("no such table", "no such column")
_STATEMENTS: Final = 4096


def is_outdated(error: sqlite3.OperationalError) -> bool:
    """Tell whether a statement failed because something does not lie where it was (or was never written)."""
    return str(error).startswith(_OUTDATED)


class KnownPlaces:
    """Places by view; nothing is known at first."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._selects: dict[tuple[tuple[str, ...], int], str] = {}

    def learn(self, connection: sqlite3.Connection) -> None:
        """Look where views lie."""
        self._places = places(connection)
        self._selects = {}

    def place(self, view: str) -> Place | None:
        """Return where a view lies; ``None`` if it is nowhere, as far as is known."""
        return self._places.get(owner_of(view))

    def of(self, views: tuple[str, ...]) -> tuple[Place, ...] | None:
        """Return where views lie; ``None`` if one is nowhere, as far as is known."""
        found = tuple(place for place in map(self.place, views) if place is not None)
        return found if len(found) == len(views) else None

    def select(self, views: tuple[str, ...], count: int) -> str | None:
        """Return the statement of :func:`stackwright_sqlite.schema.select`; ``None`` if a view is nowhere."""
        statement = self._selects.get((views, count))
        if statement is None and (found := self.of(views)) is not None:
            if len(self._selects) == _STATEMENTS:
                self._selects.clear()
            statement = self._selects[views, count] = select(found, count)
        return statement
