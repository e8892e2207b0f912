"""Connections of one process, lent to one thread at a time."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from stackwright_postgres import failures
from stackwright_postgres.address import Address
from stackwright_postgres.plugin import PostgresConfig
from stackwright_postgres.session import DeadlinePassed, Refused, Session

_pools: WeakSet[Pool] = WeakSet()
_inherited: list[object] = []  # of the parent: ending them here would end them there


class Pool:
    """Lends connections, at most ``pool_size`` at a time; opens them when needed, and again after a fork.

    The one used last is lent first. One that the server ended while it was idle is noticed before it is lent.
    """

    def __init__(self, address: Address, config: PostgresConfig, *, read_only: bool) -> None:
        self._address = address
        self._size = config.pool_size
        self._settings = _settings(config, read_only=read_only)
        self._closed = False
        self._start()
        _pools.add(self)

    def _start(self) -> None:
        self._idle: deque[Session] = deque()
        self._free = threading.BoundedSemaphore(self._size)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        _inherited.append(self._idle)
        self._start()

    @contextmanager
    def lend(self, deadline: float) -> Iterator[Session]:
        """Lend a connection.

        Args:
            deadline: when (``time.monotonic``) to give up waiting for one.

        Raises:
            StoreTimeout: none was free, or could be opened, by then, or the borrower raised ``DeadlinePassed``.
            FeatureStoreError: closed, or the server cannot be reached.
            psycopg.Error: the server ended the connection as soon as it was opened.
        """
        if self._closed:
            raise failures.closed(self._address.where)
        free = self._free
        if not free.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise failures.busy(self._address.where, self._size)
        session: Session | None = None
        try:
            session = self._ready() or self._open(deadline)
            yield session
        except DeadlinePassed as error:
            raise failures.timed_out(self._address.where) from error
        except Refused as error:
            raise failures.unreachable(str(error), self._address.where) from error
        finally:
            if session is not None:
                self._take_back(session)
            free.release()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        self._closed = True
        while (session := self._next()) is not None:
            session.close()

    def _next(self) -> Session | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _ready(self) -> Session | None:
        while (session := self._next()) is not None:
            if session.ready():
                return session
            session.close()
        return None

    def _open(self, deadline: float) -> Session:
        session = Session(self._address.conninfo, deadline)
        try:
            session.execute(self._settings, deadline=deadline)
        except BaseException:
            session.close()
            raise
        return session

    def _take_back(self, session: Session) -> None:
        if self._closed or not session.reusable():
            session.close()
        elif session.unanswered:
            self._idle.appendleft(session)
        else:
            self._idle.append(session)


def _settings(config: PostgresConfig, *, read_only: bool) -> bytes:
    """Return the statement that makes a connection fit; what an older server does not know is left out.

    All our statements look rows up by the primary key, whatever the statistics say of a table that is being filled:
    hence a generic plan, no sequential scan and no compilation. Durable needs a commit that waits for the disk.
    """
    milliseconds = max(1, int(config.timeout * 1000))
    values = {
        "statement_timeout": str(milliseconds),
        "client_connection_check_interval": "1000",
        "default_transaction_isolation": "read committed",
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "jit": "off",
    }
    if read_only:
        values["default_transaction_read_only"] = "on"
    rows = ", ".join(f"('{name}', '{value}')" for name, value in values.items())
    return (
        f"SELECT set_config(name, wanted.value, false) FROM (VALUES {rows}) AS wanted (name, value) "  # noqa: S608 -- constants
        "JOIN pg_catalog.pg_settings USING (name) UNION ALL "
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    ).encode()


def _begin_in_child() -> None:
    for pool in _pools:
        pool.after_fork()


os.register_at_fork(after_in_child=_begin_in_child)
