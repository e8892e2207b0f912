"""Reads: all views of a call in one round trip."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

from redis.exceptions import RedisError

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.online_rows import order_of, payload_of
from stackwright_redis.failures import damaged, translate
from stackwright_redis.layout import arguments, command, command_ending
from stackwright_redis.plugin import RedisConfig
from stackwright_redis.pool import Pool

CHUNK: Final = 1000
"""Keys a command, so that no command keeps the server from its other clients for long."""

_PAGE: Final = b"200"


class Server:
    """What is asked of the server, by a store and by its readers."""

    def __init__(self, config: RedisConfig) -> None:
        self._pool = Pool(config.url, config.timeout, config.pool_size)
        self._prefix = config.prefix.encode() + b":"
        self.where = self._pool.where

    def name_of(self, view: str) -> bytes:
        """Return the name of a view's hash."""
        return self._prefix + view.encode()

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], timeout: float | None
    ) -> list[list[bytes | None]]:
        """Return payloads, as :meth:`OnlineStore.read` says."""
        deadline = time.monotonic() + (self._pool.timeout if timeout is None else timeout)
        packed: dict[int, list[tuple[int, bytes]]] = {}  # several views are mostly asked for one list of keys
        for asked in keys:
            if id(asked) not in packed:
                chunks = (asked[start : start + CHUNK] for start in range(0, len(asked), CHUNK))
                packed[id(asked)] = [(len(chunk), arguments(chunk)) for chunk in chunks]
        commands = [
            command_ending(b"HMGET", self.name_of(view), rest=rest, count=count)
            for view, asked in zip(views, keys, strict=True)
            for count, rest in packed[id(asked)]
        ]
        if not commands:
            return [[] for _ in views]
        values = chain.from_iterable(self.ask(b"".join(commands), len(commands), deadline=deadline))
        answers: list[list[bytes | None]] = []
        for view, asked in zip(views, keys, strict=True):
            try:
                answers.append(
                    [None if value is None else value[1 + value[0] :] for value in islice(values, len(asked))]
                )
            except IndexError as error:
                raise damaged(self.where, view) from error
        return answers

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view once; the server may name it twice while its table grows."""
        seen: set[bytes] = set()
        cursor = b"0"
        while True:
            (reply,) = self.ask(command(b"HSCAN", self.name_of(view), cursor, b"COUNT", _PAGE), 1)
            cursor, flat = reply
            for key, value in zip(flat[::2], flat[1::2], strict=True):
                if key in seen:
                    continue
                seen.add(key)
                if not value:
                    raise damaged(self.where, view)
                yield OnlineRow(key, order_of(value), payload_of(value))
            if cursor == b"0":
                return

    def ask(self, commands: bytes, replies: int, *, deadline: float | None = None) -> list[Any]:
        """Send commands that change nothing.

        Raises:
            StoreTimeout: the deadline (``time.monotonic``) passed.
            FeatureStoreError: the server cannot be reached, or refuses.
        """
        deadline = time.monotonic() + self._pool.timeout if deadline is None else deadline
        try:
            return self._pool.call(commands, replies, deadline, repeatable=True)
        except RedisError as error:
            raise translate(error, self.where, reading=True) from error

    def change(self, commands: bytes) -> Any:
        """Send one command that changes something; one that fails may have been carried out.

        Raises:
            RedisError: of redis-py.
        """
        (answer,) = self._pool.call(commands, 1, time.monotonic() + self._pool.timeout, repeatable=False)
        return answer

    def close(self) -> None:
        """Close the connections of this process."""
        self._pool.close()
