"""The online store on LMDB, and its read-only handle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, Payloads
from stackwright_interfaces.online_rows import ReadOnlyStore
from stackwright_interfaces.plugin import Context
from stackwright_lmdb.plugin import LMDBConfig
from stackwright_lmdb.reading import Reading
from stackwright_lmdb.writing import Writer


class LMDBReader(ReadOnlyStore):
    """A read-only handle. Usable from many threads and in forked children."""

    def __init__(self, path: Path, config: LMDBConfig) -> None:
        super().__init__(str(path))
        self._reading = Reading(path, config)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Return payloads; all views are read at one moment."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view; each 500 rows are of one moment."""
        return self._reading.scan(view)

    def close(self) -> None:
        """Close the file if no other handle of this process uses it."""
        self._reading.close()


class LMDBOnlineStore(OnlineStore):
    """Online rows in one LMDB file. Usable from many threads and processes, of which one writes at a time.

    Nothing is opened before the first read or write. Reading while there is no file finds nothing.
    """

    def __init__(self, config: LMDBConfig, context: Context) -> None:
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

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Return payloads; all views are read at one moment."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view; each 500 rows are of one moment."""
        return self._reading.scan(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove rows, in one durable transaction."""
        return self._writer.drop(view, keys)

    def reader(self) -> LMDBReader:
        """Open a read-only handle."""
        return LMDBReader(self._path, self._config)

    def close(self) -> None:
        """Close the file if no other handle of this process uses it."""
        self._reading.close()
        self._writer.close()
