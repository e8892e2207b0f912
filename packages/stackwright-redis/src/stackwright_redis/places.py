"""Where the rows of a view lie, as the catalogue on the server says."""

from __future__ import annotations

from typing import Final, NamedTuple

from stackwright_redis.shared_rows import NAME

LEFT_OVER: Final = b"#left "
"""How fields of the catalogue begin under which views stand that were dropped while parts of them are left over."""

SHARED: Final = b"#rows "
"""How the names of shared hashes begin, and the fields of the catalogue that count the views of each."""


class Place(NamedTuple):
    """Where the rows of a view lie.

    Attributes:
        entry: the view's value in the catalogue: the name of its parts, and the number of the hash it shares; empty if
            it has a hash of its own.
        hash: the hash.
    """

    entry: bytes
    hash: bytes

    @property
    def name(self) -> bytes:
        """The name of the view's parts in shared values; empty if it has a hash of its own."""
        return self.entry[:NAME]

    @property
    def field(self) -> bytes:
        """The field of the catalogue that counts the views of the shared hash."""
        return SHARED + self.entry[NAME:]


class Names:
    """The names of hashes under one prefix.

    Args:
        prefix: how all names begin.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode() + b":"
        self.catalogue = self._prefix + b"#views"

    def shared(self, number: bytes) -> bytes:
        """Return the name of a shared hash."""
        return self._prefix + SHARED + number

    def place(self, view: str, entry: bytes | None) -> Place:
        """Return the place of a view that has this entry; one without has a hash of its own, or no rows."""
        return Place(entry, self.shared(entry[NAME:])) if entry else Place(b"", self._prefix + view.encode())
