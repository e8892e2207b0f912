"""Writes: guarded upserts and removals, their rows locked in the order of their keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

import psycopg

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.online_rows import greatest
from stackwright_postgres import failures
from stackwright_postgres.address import Address
from stackwright_postgres.plugin import PostgresConfig
from stackwright_postgres.pool import Pool
from stackwright_postgres.schema import BYTEA, LOCK, Statements, array, column
from stackwright_postgres.session import Session

_CHUNK_ROWS: Final = 10_000
_CHUNK_BYTES: Final = 16 * 2**20
_KEYS_AT_ONCE: Final = 5_000
_TRIES: Final = 5

_T = TypeVar("_T")


class Writer:
    """Writes to one table. Any number of threads, processes and machines may, at the same time."""

    def __init__(self, address: Address, config: PostgresConfig, pool: Pool) -> None:
        self._where = address.where
        self._timeout = config.timeout
        self._pool = pool
        self._statements = Statements(config)

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store rows, as :meth:`OnlineStore.write` says, all in one transaction."""
        stored = [False] * len(rows)
        if not rows:
            return stored
        places = greatest(rows)
        chunks = list(_chunks([rows[places[key]] for key in sorted(places)]))
        for key in self._run(lambda session, deadline: self._upsert(session, view.encode(), chunks, deadline)):
            stored[places[key]] = True
        return stored

    def drop(self, view: str, keys: Iterable[bytes] | None) -> int:
        """Remove rows, as :meth:`OnlineStore.drop` says, one transaction for some thousands."""
        name = view.encode()
        return self._drop_view(name) if keys is None else self._drop_keys(name, iter(keys))

    def _drop_keys(self, view: bytes, keys: Iterator[bytes]) -> int:
        removed = 0
        while some := list(islice(keys, _KEYS_AT_ONCE)):
            parameters = (view, array(BYTEA, sorted(set(some))))
            removed += len(self._remove(self._statements.remove, parameters))
        return removed

    def _drop_view(self, view: bytes) -> int:
        size = b"%d" % _KEYS_AT_ONCE
        page = self._remove(self._statements.remove_first, (view, b"", size))
        removed = len(page)
        while page:
            page = self._remove(self._statements.remove_page, (view, max(page), size))
            removed += len(page)
        return removed

    def _remove(self, statement: bytes, parameters: Sequence[bytes]) -> list[bytes]:
        return self._run(
            lambda session, deadline: column(session.execute(statement, parameters, deadline=deadline), 0),
            without_a_table=[],
        )

    def _run(self, action: Callable[[Session, float], _T], *, without_a_table: _T | None = None) -> _T:
        """Carry out a transaction, again if it collided with another; where there is no table, make it or answer so.

        A lost connection is not tried again: what was stored before it was lost would count as refused.
        """
        deadline = time.monotonic() + self._timeout
        tries = 0
        while True:
            tries += 1
            try:
                with self._pool.lend(deadline) as session:
                    return action(session, deadline)
            except psycopg.Error as error:
                missing = error.sqlstate == failures.MISSING_TABLE
                if missing and without_a_table is not None:
                    return without_a_table
                if tries == _TRIES or not (missing or failures.is_collision(error)):
                    raise failures.translate(error, self._where) from error
            if missing:
                self._make_table(deadline)

    def _upsert(
        self, session: Session, view: bytes, chunks: Sequence[Sequence[OnlineRow]], deadline: float
    ) -> list[bytes]:
        if len(chunks) == 1:
            return self._upsert_chunk(session, view, chunks[0], deadline)
        with _transaction(session, deadline):
            return [key for chunk in chunks for key in self._upsert_chunk(session, view, chunk, deadline)]

    def _upsert_chunk(self, session: Session, view: bytes, rows: Sequence[OnlineRow], deadline: float) -> list[bytes]:
        columns = ([row.key for row in rows], [row.order for row in rows], [row.payload for row in rows])
        parameters = (view, *(array(BYTEA, items) for items in columns))
        return column(session.execute(self._statements.upsert, parameters, deadline=deadline), 0)

    def _make_table(self, deadline: float) -> None:
        """Make the table, and its schema where it is missing; of several processes one at a time."""
        statements = self._statements
        try:
            with self._pool.lend(deadline) as session, _transaction(session, deadline):
                session.execute(b"SELECT pg_advisory_xact_lock(%d)" % LOCK, deadline=deadline)
                known = b"SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text"
                if not session.execute(known, (statements.schema,), deadline=deadline).ntuples:
                    session.execute(statements.create_schema, deadline=deadline)
                session.execute(statements.create_table, deadline=deadline)
        except psycopg.Error as error:
            raise failures.translate(error, self._where) from error


@contextmanager
def _transaction(session: Session, deadline: float) -> Iterator[None]:
    """Let several statements be one; after an error the connection is closed, which undoes it and frees its locks."""
    try:
        session.execute(b"BEGIN", deadline=deadline)
        yield
        session.execute(b"COMMIT", deadline=deadline)
    except BaseException:
        session.close()
        raise


def _chunks(rows: Sequence[OnlineRow]) -> Iterator[list[OnlineRow]]:
    """Give rows in lists of as many as fit into one statement, at least one each."""
    chunk: list[OnlineRow] = []
    size = 0
    for row in rows:
        length = len(row.key) + len(row.order) + len(row.payload)
        if chunk and (len(chunk) == _CHUNK_ROWS or size + length > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    yield chunk
