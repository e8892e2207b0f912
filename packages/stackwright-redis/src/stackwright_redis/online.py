"""The online store on Redis, and its read-only handle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stackwright_interfaces.feature_store import OnlineRow, OnlineStore, Payloads
from stackwright_interfaces.online_rows import ReadOnlyStore
from stackwright_interfaces.plugin import Context
from stackwright_redis.plugin import RedisConfig
from stackwright_redis.reading import Server
from stackwright_redis.writing import Writer


class RedisReader(ReadOnlyStore):
    """A read-only handle with connections of its own. Usable from many threads and in forked children."""

    def __init__(self, config: RedisConfig) -> None:
        self._server = Server(config)
        super().__init__(self._server.where)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Return payloads, in one round trip; without a timeout the configured one holds."""
        return self._server.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view that is there from beginning to end, and others perhaps."""
        return self._server.scan(view)

    def close(self) -> None:
        """Close the connections of this process."""
        self._server.close()


class RedisOnlineStore(OnlineStore):
    """Online rows on a Redis server. Usable from many threads, processes and machines, of which all may write.

    Nothing is opened before the first read or write. A connection that fails is closed and the next call opens another,
    so that a server may come and go.
    """

    def __init__(self, config: RedisConfig, _context: Context) -> None:
        self._config = config
        self._server = Server(config)
        self._writer = Writer(self._server)

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store the rows that are newer than what is there, some hundred at once.

        How durable they are when it returns is the server's to say.

        Raises:
            FeatureStoreError: the server cannot be reached, or refuses; some of the rows may have been stored.
        """
        return self._writer.write(view, rows)

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Return payloads, in one round trip; without a timeout the configured one holds."""
        return self._server.read(views, keys, timeout)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view that is there from beginning to end, and others perhaps."""
        return self._server.scan(view)

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove rows; a whole view vanishes at once."""
        return self._writer.drop(view, keys)

    def reader(self) -> RedisReader:
        """Open a read-only handle."""
        return RedisReader(self._config)

    def close(self) -> None:
        """Close the connections of this process."""
        self._server.close()
