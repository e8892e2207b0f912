"""Tables of a database, whatever holds it: read by name or by a query, and appended to."""

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


class TableTarget(ABC):
    """A database that rows are written to. Usable from one thread at a time.

    Its configuration is that of :class:`TableSource`: ``url``, which no error, log or repr shows.
    """

    @abstractmethod
    def append(self, table: str, rows: ArrowStream, *, batch: str) -> bool:
        """Append rows in one transaction, once a batch.

        A table that is not there is made, with columns of the rows' names and types. Which batches were appended is
        noted in the same database and the same transaction, so that whoever dies, or hears nothing, appends again.

        Args:
            table: its name, with its schema before a dot where needed.
            rows: what is appended; consumed.
            batch: the name of these rows, unlike any other's.

        Returns:
            Whether they were appended now; ``False`` where they had been before.

        Raises:
            UsageError: the address cannot be used, or the table lacks a column of the rows.
            PluginError: what speaks to this kind of database is not installed.
            DataError: a value does not fit its column.
            StorageError: the database cannot be reached, lets nobody write, or broke off; nothing was appended.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""
