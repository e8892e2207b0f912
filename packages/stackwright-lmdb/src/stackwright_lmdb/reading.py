"""Reads: payloads of many keys in one read transaction, under a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import lmdb

from stackwright_interfaces.feature_store import OnlineRow, Payloads
from stackwright_interfaces.online_rows import order_of, payload_of, payloads_of
from stackwright_lmdb.environment import shared_environment
from stackwright_lmdb.failures import closed, no_row, timed_out, translate
from stackwright_lmdb.layout import LONGEST, Prefixes, name_at, place_of, prefixes
from stackwright_lmdb.plugin import LMDBConfig

CHUNK: Final = 256
"""Keys read between two looks at the clock."""

_PAGE: Final = 500

_Keys = Sequence[Sequence[bytes]]


class Reading:
    """What :class:`~stackwright_lmdb.online.LMDBOnlineStore` and its readers share."""

    def __init__(self, path: Path, config: LMDBConfig) -> None:
        self._shared = shared_environment(path)
        self._shared.use()
        self._path = self._shared.path
        self._map_mb = config.map_mb
        self._closed = False

    def read(self, views: Sequence[str], keys: _Keys, timeout: float | None) -> Payloads:
        """Return payloads, as :meth:`OnlineStore.read` says; all views are of one moment."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            with self._shared.reading:
                transaction = self._begin()
                if transaction is None:
                    return [[None] * len(asked) for asked in keys]
                with transaction:
                    return [
                        self._look_up(transaction, *question, deadline) for question in zip(views, keys, strict=True)
                    ]
        except lmdb.Error as error:
            raise translate(error, self._path) from error

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view; each page of rows is of one moment."""
        prefix = prefixes(view)
        for part in (prefix.short, prefix.long):
            page = self._page(prefix, part, part)
            while page:
                for _, row in page:
                    yield row
                page = self._page(prefix, part, page[-1][0] + b"\x00")

    def close(self) -> None:
        """Close the environment if no other handle of this process uses it."""
        if not self._closed:
            self._closed = True
            self._shared.release()

    def _begin(self) -> lmdb.Transaction[bytes] | None:
        if self._closed:
            raise closed(self._path)
        return self._shared.begin(self._map_mb)

    def _look_up(
        self, transaction: lmdb.Transaction[bytes], view: str, keys: Sequence[bytes], deadline: float | None
    ) -> Sequence[bytes | None]:
        prefix = prefixes(view)
        found: list[bytes | None] = []
        for start in range(0, len(keys), CHUNK):
            found += _values(transaction, prefix, keys[start : start + CHUNK])
            if deadline is not None and time.monotonic() > deadline:
                raise timed_out(self._path)
        try:
            return payloads_of(found)
        except IndexError as error:
            raise no_row(self._path) from error

    def _page(self, prefix: Prefixes, part: bytes, start: bytes) -> list[tuple[bytes, OnlineRow]]:
        """Return up to 500 rows of one part of a view, from an LMDB key on, with their LMDB keys."""
        try:
            with self._shared.reading:
                transaction = self._begin()
                if transaction is None:
                    return []
                with transaction:
                    return list(islice(_rows(transaction, prefix, part, start), _PAGE))
        except lmdb.Error as error:
            raise translate(error, self._path) from error
        except IndexError as error:
            raise no_row(self._path) from error


def _values(transaction: lmdb.Transaction[bytes], prefix: Prefixes, keys: Sequence[bytes]) -> list[bytes | None]:
    get, short = transaction.get, prefix.short
    return [get(short + key if len(key) <= LONGEST else place_of(prefix, key)) for key in keys]


def _rows(
    transaction: lmdb.Transaction[bytes], prefix: Prefixes, part: bytes, start: bytes
) -> Iterator[tuple[bytes, OnlineRow]]:
    with transaction.cursor() as cursor:
        there = cursor.set_range(start)
        while there and (place := cursor.key()).startswith(part):
            key = place[len(part) :] if part == prefix.short else transaction.get(name_at(prefix, place), b"")
            value = cursor.value()
            yield place, OnlineRow(key, order_of(value), payload_of(value))
            there = cursor.next()
