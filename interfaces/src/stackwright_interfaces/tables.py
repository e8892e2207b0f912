"""Tables of a database, whatever holds it: named, or asked for by a query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Final

from stackwright_interfaces.feature_store import ArrowStream

CONTRACT: Final = 1


class TableSource(ABC):
    """A database that tables are read from. Usable from one thread at a time.

    Its configuration has one key that must be given, ``url``: an address that may hold a password. No error, log or
    repr shows it.
    """

    @abstractmethod
    def read(self, what: str, *, query: bool = False, columns: Collection[str] = ()) -> ArrowStream:
        """Read a table, or what a query gives, as of one moment. Nothing is changed in the database.

        Rows cross in record batches, of which few are held at a time. Types are those of the database: exact numbers
        as decimals; a time with a zone as an instant in UTC, one without a zone without one; bytes, booleans, null.

        Args:
            what: the name of a table or view, with its schema before a dot where needed; or, for a query, one SELECT.
            query: ``what`` is a query.
            columns: where all of these are there, only they are read.

        Returns:
            A stream that reads as it is consumed, valid until :meth:`close`. What fails while it is consumed is raised
            as the consumer's own error, whose text then holds the message.

        Raises:
            UsageError: the address cannot be used, there is no such table, or the query is no SELECT that can be run.
            PluginError: what speaks to this kind of database is not installed.
            DataError: a column holds what no Arrow type can carry.
            StorageError: the database cannot be reached, lets nobody in, or broke off.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is held; a stream that is still read ends with an error. Closing twice is allowed."""
