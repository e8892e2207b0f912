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
from stackwright_redis.joining import proposed_entry
from stackwright_redis.layout import command
from stackwright_redis.places import LEFT_OVER, Place
from stackwright_redis.reading import Server
from stackwright_redis.scripts import CUT, DROP, JOIN, LEAVE, SWEPT, WRITE, WRITE_SHARED, Script

ROWS: Final = 200
"""Rows a script at most: the server does nothing else meanwhile, for up to a millisecond."""

BYTES: Final = 2**19
"""Bytes a script at most, but for one row that is larger."""

_LOG: Final = logging.getLogger("stackwright_redis")


class Writer:
    """Writes through one server. Threads of a process take turns; other processes may write at the same time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._looked = False
        self._places: dict[str, Place] = {}

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store rows, as :meth:`OnlineStore.write` says."""
        stored = [False] * len(rows)
        if not rows:
            return stored
        with self._turn():
            self._look_at_eviction()
            for places in _batches(rows):
                arguments = [
                    part for place in places for part in (rows[place].key, pack(rows[place].order, rows[place].payload))
                ]
                for place, digit in zip(places, self._put(view, rows, arguments), strict=True):
                    stored[place] = digit == ord("1")
        return stored

    def _put(self, view: str, rows: Sequence[OnlineRow], arguments: Sequence[bytes]) -> bytes:
        """Store some of the rows where the view lies, or is to lie; return a digit for each."""
        while True:
            place = self._places.get(view) or self._join(view, rows)
            script = WRITE_SHARED if place.entry else WRITE
            digits: bytes | None = self._run(script, self._keys(place), (view.encode(), place.entry, *arguments))
            if digits is not None:
                return digits
            del self._places[view]

    def _join(self, view: str, rows: Sequence[OnlineRow]) -> Place:
        """Find where a view lies; one without rows gets its place now."""
        place = self._place(view)
        proposed = b"" if place.entry else proposed_entry(self._server, rows)
        if proposed:
            new = self._server.names.place(view, proposed)
            keys = (self._server.names.catalogue, place.hash)
            place = self._server.names.place(view, self._run(JOIN, keys, (view.encode(), proposed, new.field)))
        self._places[view] = place
        return place

    def drop(self, view: str, keys: Iterable[bytes] | None) -> int:
        """Remove rows, as :meth:`OnlineStore.drop` says."""
        with self._turn():
            self._places.pop(view, None)
            if keys is None:
                return self._drop_all(view)
            chosen, removed, place = list(keys), 0, None
            while place != (place := self._place(view)):  # until it lay there when they were removed
                removed += sum(self._cut(place, chunk) for chunk in _chunks(chosen))
            return removed

    def _drop_all(self, view: str) -> int:
        rows: int | None = None
        while rows is None:
            place = self._place(view)
            arguments = (view.encode(), place.entry)
            if place.entry:
                keys = (*self._keys(place), self._server.names.place(view, None).hash)
                rows = self._run(LEAVE, keys, (*arguments, place.field, LEFT_OVER + place.name))
            else:
                rows = self._run(DROP, self._keys(place), arguments)
        return self._sweep(place.name) if rows < 0 else rows

    def _sweep(self, name: bytes) -> int:
        """Remove what is left over of dropped views; return how many rows one of them had."""
        removed = 0
        for field, entry in list(self._server.fields(self._server.names.catalogue)):
            if field.startswith(LEFT_OVER):
                place = self._server.names.place("", entry)
                keys = (key for key, _ in self._server.fields(place.hash))
                cut = sum(self._cut(place, chunk) for chunk in _chunks(keys))
                self._run(SWEPT, self._keys(place), (field, place.field))
                removed += cut if place.name == name else 0
        return removed

    def _cut(self, place: Place, keys: Sequence[bytes]) -> int:
        """Remove the rows of keys from where a view lies, or lay."""
        if place.entry:
            return int(self._run(CUT, (place.hash,), (place.name, *keys)))
        return int(self._server.change(command(b"HDEL", place.hash, *keys)))

    def _place(self, view: str) -> Place:
        (entry,) = self._server.change(command(b"HMGET", self._server.names.catalogue, view.encode()))
        return self._server.names.place(view, entry)

    def _keys(self, place: Place) -> tuple[bytes, bytes]:
        return self._server.names.catalogue, place.hash

    def _run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Run a script by its digest, and by its text where the server does not know it (any more)."""
        count = b"%d" % len(keys)
        try:
            return self._server.change(command(b"EVALSHA", script.sha, count, *keys, *arguments))
        except NoScriptError:
            return self._server.change(command(b"EVAL", script.text, count, *keys, *arguments))

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


def _chunks(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    left = iter(keys)
    while chunk := list(islice(left, ROWS)):
        yield chunk
