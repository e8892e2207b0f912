"""Writes: batches of rows, each one script that the server carries out whole."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from redis.exceptions import NoPermissionError, NoScriptError, RedisError

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.online_rows import greatest, pack
from stackwright_redis.failures import translate
from stackwright_redis.layout import DROP, WRITE, Script, command
from stackwright_redis.reading import Server

ROWS: Final = 200
"""Rows a script at most: the server does nothing else meanwhile, for about half a millisecond."""

BYTES: Final = 2**19
"""Bytes a script at most, but for one row that is larger."""

_KEYS: Final = 1000
_LOG: Final = logging.getLogger("stackwright_redis")


class Writer:
    """Writes through one server. Threads of a process take turns; other processes may write at the same time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._looked = False

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store rows, as :meth:`OnlineStore.write` says."""
        stored = [False] * len(rows)
        if not rows:
            return stored
        name = self._server.name_of(view)
        with self._turn():
            self._look_at_eviction()
            for places in _batches(rows):
                arguments = [
                    part for place in places for part in (rows[place].key, pack(rows[place].order, rows[place].payload))
                ]
                for place, digit in zip(places, self._run(WRITE, name, arguments), strict=True):
                    stored[place] = digit == ord("1")
        return stored

    def drop(self, view: str, keys: Iterable[bytes] | None) -> int:
        """Remove rows, as :meth:`OnlineStore.drop` says."""
        name = self._server.name_of(view)
        with self._turn():
            if keys is None:
                return int(self._run(DROP, name, ()))
            removed, left = 0, iter(keys)
            while chunk := list(islice(left, _KEYS)):
                removed += int(self._server.change(command(b"HDEL", name, *chunk)))
            return removed

    def _run(self, script: Script, name: bytes, arguments: Sequence[bytes]) -> Any:
        """Run a script by its digest, and by its text where the server does not know it (any more)."""
        try:
            return self._server.change(command(b"EVALSHA", script.sha, b"1", name, *arguments))
        except NoScriptError:
            return self._server.change(command(b"EVAL", script.text, b"1", name, *arguments))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            try:
                yield
            except RedisError as error:
                raise translate(error, self._server.where, reading=False) from error

    def _look_at_eviction(self) -> None:
        """Warn, once, of a server that throws rows away when its memory is full."""
        if self._looked:
            return
        try:
            info: bytes = self._server.change(command(b"INFO", b"memory"))
        except NoPermissionError:
            info = b""
        self._looked = True
        facts = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        if facts.get("maxmemory", "0") != "0" and facts.get("maxmemory_policy", "").startswith("allkeys"):
            _LOG.warning(
                "%s throws away whole views when its memory is full (maxmemory-policy %s): set it to noeviction.",
                self._server.where,
                facts["maxmemory_policy"],
            )


def _batches(rows: Sequence[OnlineRow]) -> Iterator[list[int]]:
    """Give the places of the rows that are to be written, of each key only the greatest, in batches."""
    batch: list[int] = []
    size = 0
    for place in greatest(rows).values():
        length = len(rows[place].key) + len(rows[place].payload)
        if batch and (len(batch) == ROWS or size + length > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += length
    yield batch
