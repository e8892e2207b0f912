"""The online store on PostgreSQL, and its read-only handle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stackwright_interfaces.feature_store import OnlineRow, OnlineStore
from stackwright_interfaces.online_rows import ReadOnlyStore
from stackwright_interfaces.plugin import Context
from stackwright_postgres.address import Address
from stackwright_postgres.plugin import PostgresConfig
from stackwright_postgres.pool import Pool
from stackwright_postgres.reading import Reading
from stackwright_postgres.writing import Writer


class PostgresReader(ReadOnlyStore):
    """A read-only handle with connections of its own, on which the server refuses to write."""

    def __init__(self, config: PostgresConfig) -> None:
        address = Address(config)
        super().__init__(address.where)
        self._reading = Reading(address, config, Pool(address, config, read_only=True))

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        """Return payloads, all of one moment, in one round trip."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key."""
        return self._reading.scan(view)

    def close(self) -> None:
        """Close the connections of this process."""
        self._reading.close()


class PostgresOnlineStore(OnlineStore):
    """Online rows in one PostgreSQL table. Usable from many threads, processes and machines, all of which may write.

    Nothing is opened before the first read or write, and nothing made before the first write: reading while there is
    no table finds nothing.

    Raises:
        FeatureStoreError: the url cannot be read.
    """

    def __init__(self, config: PostgresConfig, context: Context) -> None:  # noqa: ARG002 -- as the engine calls it
        address = Address(config)
        self._config = config
        self._pool = Pool(address, config, read_only=False)
        self._reading = Reading(address, config, self._pool)
        self._writer = Writer(address, config, self._pool)

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store the rows that are newer than what is there, in one durable transaction.

        Raises:
            FeatureStoreError: the server cannot be reached, refused, or ended the connection. In the last case the rows
                may have been stored; writing them again does no harm.
        """
        return self._writer.write(view, rows)

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        """Return payloads, all of one moment, in one round trip."""
        return self._reading.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key."""
        return self._reading.scan(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove rows, a few thousand a transaction."""
        return self._writer.drop(view, keys)

    def reader(self) -> PostgresReader:
        """Open a read-only handle."""
        return PostgresReader(self._config)

    def close(self) -> None:
        """Close the connections of this process."""
        self._pool.close()
