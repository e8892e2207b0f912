"""Reads: payloads of many keys in one round trip, and pages of a view."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

import psycopg

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_postgres import failures
from stackwright_postgres.address import Address
from stackwright_postgres.plugin import PostgresConfig
from stackwright_postgres.pool import Pool
from stackwright_postgres.schema import BYTEA, FEW, TEXT, Statements, array, column
from stackwright_postgres.session import Session

_FIRST_PAGE: Final = 100
_LONGEST_PAGE: Final = 5_000
_PAGE_BYTES: Final = 4 * 2**20

_Keys = Sequence[Sequence[bytes]]


class Reading:
    """What :class:`~stackwright_postgres.online.PostgresOnlineStore` and its readers share."""

    def __init__(self, address: Address, config: PostgresConfig, pool: Pool) -> None:
        self._where = address.where
        self._timeout = config.timeout
        self._pool = pool
        self._statements = Statements(config)

    def read(self, views: Sequence[str], keys: _Keys, timeout: float | None) -> list[list[bytes | None]]:
        """Return payloads, as :meth:`OnlineStore.read` says; all of one moment."""
        flat = list(chain.from_iterable(keys))
        if not flat:
            return [[] for _ in views]
        names = [name for view, asked in zip(views, keys, strict=True) for name in [view.encode()] * len(asked)]
        payloads = iter(self._payloads(names, flat, self._deadline(timeout)))
        return [list(islice(payloads, len(asked))) for asked in keys]

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, ordered by key.

        Each page of rows is of one moment. No connection, transaction or snapshot is held between pages, however long
        the caller takes.
        """
        statement, after, size = self._statements.first, b"", _FIRST_PAGE
        while True:
            page = self._page(statement, view, after, size)
            yield from page
            if len(page) < size:
                return
            statement, after = self._statements.page, page[-1].key
            bytes_a_row = sum(len(row.key) + len(row.payload) for row in page) // len(page) + 1
            size = max(1, min(_LONGEST_PAGE, _PAGE_BYTES // bytes_a_row))

    def close(self) -> None:
        """Close the connections of this process."""
        self._pool.close()

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self._timeout if timeout is None else timeout)

    def _payloads(self, names: list[bytes], keys: list[bytes], deadline: float) -> list[bytes | None]:
        action = self._few if len(keys) <= FEW else self._many
        for may_be_lost in (True, False):
            try:
                with self._pool.lend(deadline) as session:
                    return action(session, names, keys, deadline)
            except psycopg.Error as error:
                if error.sqlstate == failures.MISSING_TABLE:
                    break
                if not (may_be_lost and failures.is_loss(error)):
                    raise failures.translate(error, self._where) from error
        return [None] * len(keys)

    def _few(self, session: Session, names: list[bytes], keys: list[bytes], deadline: float) -> list[bytes | None]:
        parameters = list(chain.from_iterable(zip(names, keys, strict=True)))
        row = session.execute(self._statements.few[len(keys)], parameters, deadline=deadline)
        return [row.get_value(0, place) for place in range(len(keys))]

    def _many(self, session: Session, names: list[bytes], keys: list[bytes], deadline: float) -> list[bytes | None]:
        parameters = (array(TEXT, names), array(BYTEA, keys))
        rows = session.execute(self._statements.many, parameters, deadline=deadline)
        payloads: list[bytes | None] = [None] * len(keys)
        for number, place in enumerate(column(rows, 0)):
            payloads[int.from_bytes(place, "big") - 1] = rows.get_value(number, 1)
        return payloads

    def _page(self, statement: bytes, view: str, after: bytes, size: int) -> list[OnlineRow]:
        parameters = (view.encode(), after, b"%d" % size)
        deadline = self._deadline(None)
        for may_be_lost in (True, False):
            try:
                with self._pool.lend(deadline) as session:
                    page = session.execute(statement, parameters, deadline=deadline)
                return [OnlineRow(*row) for row in zip(column(page, 0), column(page, 1), column(page, 2), strict=True)]
            except psycopg.Error as error:
                if error.sqlstate == failures.MISSING_TABLE:
                    break
                if not (may_be_lost and failures.is_loss(error)):
                    raise failures.translate(error, self._where) from error
        return []
