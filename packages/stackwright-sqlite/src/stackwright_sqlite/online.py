"""The online store on SQLite, and its read-only handle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stackwright_interfaces.feature_store import OnlineRow, OnlineStore
from stackwright_interfaces.online_rows import ReadOnlyStore
from stackwright_interfaces.plugin import Context
from stackwright_sqlite.plugin import SQLiteConfig
from stackwright_sqlite.reading import Reading
from stackwright_sqlite.writing import Writer


class SQLiteReader(ReadOnlyStore):
    """A read-only handle. Usable from many threads and in forked children; each opens its own connection."""

    def __init__(self, path: Path, config: SQLiteConfig) -> None:
        super().__init__(str(path))
        self._reading = Reading(path, config)

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        """Return payloads; all views are read at one moment."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key."""
        return self._reading.scan(view)

    def close(self) -> None:
        """Close the connections of this process."""
        self._reading.close()


class SQLiteOnlineStore(OnlineStore):
    """Online rows in one SQLite file. Usable from many threads and processes, of which one writes at a time.

    Nothing is opened before the first read or write. Reading while there is no file finds nothing.
    """

    def __init__(self, config: SQLiteConfig, context: Context) -> None:
        self._path = context.project / config.path
        self._config = config
        self._reading = Reading(self._path, config)
        self._writer = Writer(self._path, config)

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store the rows that are newer than what is there, in one durable transaction.

        Raises:
            FeatureStoreError: another process kept writing, the disk is full or read-only, or the file is damaged.
        """
        return self._writer.write(view, rows)

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        """Return payloads; all views are read at one moment."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key."""
        return self._reading.scan(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove rows; what they held is overwritten with zeros."""
        return self._writer.drop(view, keys)

    def reader(self) -> SQLiteReader:
        """Open a read-only handle."""
        return SQLiteReader(self._path, self._config)

    def close(self) -> None:
        """Close the connections of this process."""
        self._reading.close()
        self._writer.close()
