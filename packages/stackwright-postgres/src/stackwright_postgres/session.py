"""One connection: statements over libpq's asynchronous calls, each under a deadline.

psycopg's cursors wait without end; its ``pq`` layer, used here, lets the caller wait as long as it wants to.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from itertools import count
from typing import Final

from psycopg import errors, pq
from psycopg.pq.abc import PGconn, PGresult

_READ: Final = select.POLLIN
_BOTH: Final = select.POLLIN | select.POLLOUT
_GOOD: Final = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_BINARY: Final = 1


class DeadlinePassed(Exception):
    """The server did not answer in time."""


class Refused(Exception):
    """The server could not be reached, or let nobody in; libpq's message."""


class Session:
    """A connection, and the statements prepared on it. One thread at a time may use it.

    Attributes:
        unanswered: the answer to a statement is still out.
    """

    def __init__(self, conninfo: bytes, deadline: float) -> None:
        """Connect.

        Args:
            conninfo: for libpq.
            deadline: when (``time.monotonic``) to give up.

        Raises:
            Refused: no connection came about.
            DeadlinePassed: it did not by then.
        """
        self._connection = _connect(conninfo, deadline)
        self._poll = select.poll()
        self._poll.register(self._connection.socket, _READ)
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()
        self.unanswered = False
        self._results: list[PGresult] = []

    def execute(self, statement: bytes, parameters: Sequence[bytes] = (), *, deadline: float) -> PGresult:
        """Run a statement, prepared when it is first seen; parameters and results are in PostgreSQL's binary form.

        Raises:
            psycopg.Error: the server refused it, or the connection was lost.
            DeadlinePassed: there was no answer in time; it may still be carried out.
        """
        connection = self._connection
        name = self._names.get(statement)
        if name is None:
            name = b"stackwright %d" % next(self._numbers)
            connection.send_prepare(name, statement)
            self._answer(deadline)
            self._names[statement] = name
        connection.send_query_prepared(name, list(parameters), [_BINARY] * len(parameters), _BINARY)
        return self._answer(deadline)

    def ready(self) -> bool:
        """Tell whether the next statement can be sent, without waiting.

        ``False`` where the server ended the connection, or an answer that nobody waited for is still out.
        """
        try:
            while self._poll.poll(0):
                if not self.unanswered:
                    return False
                self._connection.consume_input()
                self._drain()
        except errors.Error:
            return False
        return not self.unanswered and self._connection.transaction_status == pq.TransactionStatus.IDLE

    def reusable(self) -> bool:
        """Tell whether it is worth keeping: nothing is open on it, but perhaps an answer that is still out."""
        return self.unanswered or self._connection.transaction_status == pq.TransactionStatus.IDLE

    def close(self) -> None:
        """End the connection; what the server still does for it, it stops within a second."""
        self.unanswered = False
        self._connection.finish()

    def _answer(self, deadline: float) -> PGresult:
        connection = self._connection
        self.unanswered = True
        while connection.flush():
            self._wait(_BOTH, deadline)
        while (results := self._drain()) is None:
            self._wait(_READ, deadline)
        for result in results:
            if result.status not in _GOOD:
                raise errors.error_from_result(result)
        return results[-1]

    def _drain(self) -> list[PGresult] | None:
        """Return the results of a statement, ``None`` while they are not complete."""
        while not self._connection.is_busy():
            result = self._connection.get_result()
            if result is None:
                self.unanswered = False
                results, self._results = self._results, []
                return results
            self._results.append(result)
        return None

    def _wait(self, events: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        if events != _READ:
            self._poll.modify(self._connection.socket, events)
        try:
            ready = self._poll.poll(left * 1000)
        finally:
            if events != _READ:
                self._poll.modify(self._connection.socket, _READ)
        if not ready:
            raise DeadlinePassed
        if ready[0][1] & ~select.POLLOUT:
            self._connection.consume_input()


def _connect(conninfo: bytes, deadline: float) -> PGconn:
    connection = pq.PGconn.connect_start(conninfo)
    try:
        while (state := _progress(connection)) != pq.PollingStatus.OK:
            poll = select.poll()
            poll.register(connection.socket, _READ if state == pq.PollingStatus.READING else select.POLLOUT)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise DeadlinePassed
        connection.nonblocking = 1
    except BaseException:
        connection.finish()
        raise
    return connection


def _progress(connection: PGconn) -> pq.PollingStatus:
    state = pq.PollingStatus.FAILED
    if connection.status != pq.ConnStatus.BAD:
        state = pq.PollingStatus(connection.connect_poll())
    if state == pq.PollingStatus.FAILED:
        raise Refused(connection.error_message.decode(errors="replace").strip())
    return state
