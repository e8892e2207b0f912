"""Connections to the server: opened when needed, used by one thread at a time, and never after a failure.

redis-py's own client tries a command again when the connection broke, which would tell of a row that it was not stored
when it was stored by the first try. Here only reads are tried again, and once.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from redis.connection import Connection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 -- the vendor's name
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 -- the vendor's name
)

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_redis.failures import closed
from stackwright_redis.waiting import Waiting

_parse_url: Final[Callable[[str], dict[str, Any]]] = parse_url

_READ: Final = 1 << 17
"""Bytes that are read at once: redis-py's 32 KiB take two calls for a hundred keys of three views."""

_SAID_BY_SERVER: Final = (AuthenticationError, AuthorizationError, BusyLoadingError)


class _Wire(Protocol):
    """What is used of a connection of redis-py, TCP, TLS or a socket in the file system."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def can_read(self, timeout: float = 0) -> bool: ...
    def update_current_socket_timeout(self, relaxed_timeout: float | None = None) -> None: ...
    def send_packed_command(self, command: Sequence[bytes]) -> None: ...
    def read_response(self) -> Any: ...


class _Process:
    """This process: its number, which costs a system call, is asked for once and after each fork."""

    number = os.getpid()

    @classmethod
    def begin(cls) -> None:
        cls.number = os.getpid()


os.register_at_fork(after_in_child=_Process.begin)


class _Connections:
    """The connections of one process, and as many permits as there may be of them in use."""

    def __init__(self, size: int) -> None:
        self.process = _Process.number
        self.idle: deque[_Wire] = deque()
        self.permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self.permits.put(None)


class Pool:
    """Connections to one server. A forked child opens its own.

    Args:
        url: the server.
        timeout: seconds to wait for a connection or an answer where a call brings no deadline.
        size: connections at most.
        busy_wait: seconds to wait awake for the answer to a question that changes nothing.

    Raises:
        FeatureStoreError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout: float, size: int, busy_wait: float) -> None:
        self._options, self._class = _options(url)
        self.where = _where(self._options)
        self.timeout = timeout
        self._size = size
        self._waiting = Waiting(busy_wait)
        self._connections = _Connections(size)
        self._closed = False
        self._make(timeout)

    def call(self, commands: bytes, replies: int, deadline: float, *, repeatable: bool) -> list[Any]:
        """Send packed commands, and return their replies.

        Args:
            commands: all in one.
            replies: how many commands there are.
            deadline: until when (``time.monotonic``) to wait.
            repeatable: whether they may be sent again if a connection broke that had been idle.

        Raises:
            RedisError: of redis-py.
            FeatureStoreError: the pool was closed.
        """
        connections = self._connections
        if connections.process != _Process.number:
            connections = self._connections = _Connections(self._size)
        try:
            connections.permits.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise TimeoutError(f"all {self._size} connections were in use") from None
        alone = connections.permits.qsize() == self._size - 1  # others would want the interpreter's lock meanwhile
        try:
            return self._exchange(
                connections.idle, commands, replies, deadline, repeatable=repeatable, awake=repeatable and alone
            )
        finally:
            connections.permits.put(None)

    def _exchange(
        self,
        idle: deque[_Wire],
        commands: bytes,
        replies: int,
        deadline: float,
        *,
        repeatable: bool,
        awake: bool,
    ) -> list[Any]:
        connection = _pop(idle)
        if connection is not None and not repeatable and _is_dead(connection):
            connection = None
        if connection is not None:
            try:
                return self._send(connection, idle, commands, replies, deadline, awake=awake)
            except ConnectionError as error:
                if not repeatable or isinstance(error, _SAID_BY_SERVER):
                    raise
        if self._closed:
            raise closed(self.where)
        connection = self._make(_left(deadline))
        connection.connect()
        return self._send(connection, idle, commands, replies, deadline, awake=False)

    def _send(
        self,
        connection: _Wire,
        idle: deque[_Wire],
        commands: bytes,
        replies: int,
        deadline: float,
        *,
        awake: bool,
    ) -> list[Any]:
        answers: list[Any] = []
        usable = False
        try:
            connection.update_current_socket_timeout(_left(deadline))
            connection.send_packed_command((commands,))
            if awake and self._waiting.wait(connection, len(commands), deadline):
                connection.update_current_socket_timeout(_left(deadline))  # looking may have changed it
            for _ in range(replies):
                answers.append(connection.read_response())
                if time.monotonic() > deadline:
                    raise TimeoutError("the answer came too late")
            usable = True
        except ResponseError:
            usable = len(answers) == replies - 1
            raise
        finally:
            if usable and not self._closed:
                idle.append(connection)
            else:
                connection.disconnect()
        return answers

    def _make(self, timeout: float) -> _Wire:
        try:
            return self._class(**self._options, socket_timeout=timeout, socket_connect_timeout=timeout)
        except (TypeError, ValueError, RedisError) as error:
            todo = "Leave it out of url; timeout and pool_size are options of their own."
            raise FeatureStoreError(self.where, f"an option of the URL is refused ({error})", todo) from error

    def close(self) -> None:
        """Close the connections of this process; those in use are closed after their use."""
        self._closed = True
        if self._connections.process == _Process.number:
            while (connection := _pop(self._connections.idle)) is not None:
                connection.disconnect()


def _options(url: str) -> tuple[dict[str, Any], Callable[..., _Wire]]:
    try:
        options = _parse_url(url)
    except ValueError:  # whose text may hold a part of the password
        todo = "Correct it; in user and password, signs such as / and # are written as %2F and %23."
        raise FeatureStoreError("redis", "url is not understood", todo) from None
    kind: Callable[..., _Wire] = options.pop("connection_class", Connection)
    # RESP 2 needs no greeting; bytes stay bytes; nothing is told to the server about this library.
    return {"socket_read_size": _READ, **options, "protocol": 2, "decode_responses": False, "driver_info": None}, kind


def _where(options: dict[str, Any]) -> str:
    place = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"redis at {place}, database {options.get('db', 0)}"


def _pop(idle: deque[_Wire]) -> _Wire | None:
    try:
        return idle.pop()
    except IndexError:
        return None


def _is_dead(connection: _Wire) -> bool:
    """Tell whether the server ended an idle connection, or said something on it that nobody asked for."""
    try:
        unfit = connection.can_read(timeout=0)
    except RedisError:
        unfit = True
    if unfit:
        connection.disconnect()
    return unfit


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline passed")
    return left
