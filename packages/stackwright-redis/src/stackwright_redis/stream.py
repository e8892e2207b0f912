"""A Redis stream as a source of events; how far they were taken is kept beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import redis

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.streams import StreamEvent, StreamSource
from stackwright_redis.plugin import RedisStreamConfig

JSON: Final = "json"
"""The field of an entry that holds a whole event; without it, the entry's fields are the event's members."""

_START: Final = "0-0"


class RedisStreamSource(StreamSource):
    """Reads ``XADD``ed entries; commits by a key named after the stream and the reader."""

    def __init__(self, config: RedisStreamConfig, _context: Context) -> None:
        self._config = config
        self._committed = f"{config.stream}:{config.reader}:taken"
        self._client = redis.Redis.from_url(
            config.url, decode_responses=True, socket_timeout=config.timeout, socket_connect_timeout=config.timeout
        )
        self._place: str | None = None

    def poll(self, limit: int, timeout: float = 0.0) -> Sequence[StreamEvent]:
        """Return the next entries.

        Raises:
            StorageError: the server cannot be reached, or the name is of something else than a stream.
        """
        wait = min(timeout, self._config.timeout / 2)
        try:
            place = self._place or self._client.get(self._committed) or _START
            options = {"block": max(1, int(wait * 1000))} if wait > 0 else {}
            found: Any = self._client.xread({self._config.stream: place}, count=limit, **options)
        except redis.RedisError as error:
            raise self._failed(error) from error
        (entries,) = [entries for _, entries in _pairs(found)] or [[]]
        events = [StreamEvent(offset, _text(fields)) for offset, fields in entries]
        self._place = events[-1].offset if events else str(place)
        return events

    def commit(self, offset: str) -> None:
        """Remember how far entries were taken.

        Raises:
            StorageError: the server cannot be reached.
        """
        try:
            self._client.set(self._committed, offset)
        except redis.RedisError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _failed(self, error: redis.RedisError) -> StorageError:
        where = f"redis stream {self._config.stream!r}"
        return StorageError(
            where, str(error) or type(error).__name__, "Check url and stream, and that the server runs."
        )


def _pairs(found: Any) -> Any:
    """Entries by stream, in either form that the protocol's versions have."""
    return found.items() if isinstance(found, dict) else found or ()


def _text(fields: dict[str, str]) -> str:
    return fields[JSON] if JSON in fields else json.dumps(fields)
