"""Writes: one durable transaction a call, by one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

import lmdb

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.online_rows import greatest, order_of, pack
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_lmdb import layout
from stackwright_lmdb.environment import needed_length, shared_environment
from stackwright_lmdb.failures import closed, translate, translate_os
from stackwright_lmdb.plugin import LMDBConfig

_T = TypeVar("_T")
_Transaction: TypeAlias = "lmdb.Transaction[bytes]"


class Writer:
    """Writes to one file. Threads and processes take turns under a lock file."""

    def __init__(self, path: Path, config: LMDBConfig) -> None:
        self._shared = shared_environment(path)
        self._shared.use()
        self._path = self._shared.path
        self._config = config
        # LMDB has a lock of its own, which it waits for without end, and which does not tell who holds it.
        self._lock = WriterLock(self._path.with_name(f"{self._path.name}.writer"))
        self._closed = False

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store rows, as :meth:`OnlineStore.write` says, all in one transaction."""
        if not rows:
            return []
        places = greatest(rows)
        prefix = layout.prefixes(view)
        with self._turn():
            taken = self._transact(lambda transaction: _put(transaction, prefix, rows, places))
        return [place in taken for place in range(len(rows))]

    def drop(self, view: str, keys: Iterable[bytes] | None) -> int:
        """Remove rows, as :meth:`OnlineStore.drop` says, all in one transaction."""
        chosen = None if keys is None else list(keys)
        if not self._path.exists():
            return 0
        prefix = layout.prefixes(view)
        with self._turn():
            if chosen is None:
                return self._transact(lambda transaction: _clear(transaction, prefix))
            return self._transact(lambda transaction: _remove(transaction, prefix, chosen))

    def close(self) -> None:
        """Close the environment if no other handle of this process uses it."""
        if not self._closed:
            self._closed = True
            self._shared.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._closed:
            raise closed(self._path)
        with self._lock.hold(self._config.lock_timeout), self._shared.writing:
            try:
                yield
            except lmdb.Error as error:
                with self._shared.reading:
                    self._shared.discard()
                raise translate(error, self._path) from error
            except OSError as error:
                raise translate_os(error, self._path) from error

    def _transact(self, action: Callable[[_Transaction], _T]) -> _T:
        """Carry out an action in a transaction, again in a larger map as long as the map is full."""
        while True:
            environment = self._open()
            size = environment.info()["map_size"]
            try:
                with environment.begin(write=True) as transaction:
                    transaction.put(layout.MARK, layout.LAYOUT, overwrite=False)
                    result = action(transaction)
            except lmdb.MapFullError:
                self._resize(2 * size)
            except lmdb.MapResizedError:
                self._resize(0)
            else:
                self._lengthen(needed_length(environment))
                return result

    def _open(self) -> lmdb.Environment:
        with self._shared.reading:
            if self._closed:
                raise closed(self._path)
            environment = self._shared.current(self._config.map_mb, create=True)
            assert environment is not None
            environment.reader_check()
            return environment

    def _resize(self, size: int) -> None:
        with self._shared.reading:
            self._shared.resize(size)

    def _lengthen(self, needed: int) -> None:
        """Let the file hold its last page, which LMDB does not write if one transaction took it and gave it back."""
        if self._path.stat().st_size < needed:
            os.truncate(self._path, needed)


def _put(
    transaction: _Transaction, prefix: layout.Prefixes, rows: Sequence[OnlineRow], places: dict[bytes, int]
) -> set[int]:
    """Store the rows at these places that are newer than what is there; return their places."""
    taken: set[int] = set()
    for key in sorted(places):
        row = rows[places[key]]
        place = layout.place_of(prefix, key)
        before = transaction.get(place)
        if before is None or row.order > order_of(before):
            transaction.put(place, pack(row.order, row.payload))
            taken.add(places[key])
            if before is None and not place.startswith(prefix.short):
                transaction.put(layout.name_of(prefix, key), key)
    return taken


def _remove(transaction: _Transaction, prefix: layout.Prefixes, keys: Sequence[bytes]) -> int:
    removed = 0
    for key in keys:
        removed += transaction.delete(layout.place_of(prefix, key))
        if len(key) > layout.LONGEST:
            transaction.delete(layout.name_of(prefix, key))
    return removed


def _clear(transaction: _Transaction, prefix: layout.Prefixes) -> int:
    _delete_part(transaction, prefix.names)
    return _delete_part(transaction, prefix.short) + _delete_part(transaction, prefix.long)


def _delete_part(transaction: _Transaction, part: bytes) -> int:
    removed = 0
    with transaction.cursor() as cursor:
        there = cursor.set_range(part)
        while there and cursor.key().startswith(part):
            removed += 1
            there = cursor.delete()
    return removed
