"""A lane between two processes: JSON messages, and Arrow streams behind them, over a local socket.

A message is its length (four bytes, big endian) and UTF-8 JSON. Tables that are handed over have sockets of their own,
for whoever gets them may read them in any order; whoever hands them over feeds these while it waits for an answer, in
the thread that called, a piece at a time.
"""

from __future__ import annotations

import io
import json
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from stackwright_isolated.tables import Outgoing

_LENGTH: Final = struct.Struct("!I")
_BUFFER: Final = 1 << 18


class LaneClosed(Exception):
    """The other side is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a lane."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return ends


class Feed:
    """A stream on its way to the other side, whose socket takes what it can without waiting.

    Attributes:
        failure: what making the stream raised; the other side was told.
    """

    def __init__(self, outgoing: Outgoing, sock: socket.socket) -> None:
        self.sock = sock
        self.failure: Exception | None = None
        self._pending = bytearray()
        self._steps: Iterator[None] | None = outgoing.write(_Gathering(self._pending))
        sock.settimeout(0.0)

    def step(self) -> bool:
        """Send what goes without waiting; return whether there is more."""
        try:
            if not self._pending:
                self._make()
            del self._pending[: self.sock.send(self._pending) if self._pending else 0]
        except BlockingIOError:
            return True
        except OSError:  # the other side has had enough
            self.close()
            return False
        if self._steps is None and not self._pending:
            self.close()
            return False
        return True

    def _make(self) -> None:
        while self._steps is not None and not self._pending:
            try:
                next(self._steps)
            except StopIteration:
                self._steps = None
            except Exception as error:  # noqa: BLE001 -- of whoever made the rows; it is told by who waits
                self._steps, self.failure = None, error

    def close(self) -> None:
        """Send no more."""
        self._steps = None
        self.sock.close()


class _Gathering:
    """A sink that gathers what is written."""

    closed = False

    def __init__(self, pending: bytearray) -> None:
        self._pending = pending

    def write(self, piece: bytes) -> int:
        self._pending += piece
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""


class Lane(io.RawIOBase):
    """One end. Whoever reads from it feeds what is still to be handed over meanwhile.

    Args:
        sock: the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.feeds: list[Feed] = []
        self.reader = io.BufferedReader(self, _BUFFER)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, at least a byte; 0 where the other side is gone."""
        while self.feeds and not self._answered():
            pass
        try:
            return self.sock.recv_into(buffer)
        except ConnectionError:
            return 0

    def _answered(self) -> bool:
        """Feed until something can be read; return whether it can."""
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        by_number = {feed.sock.fileno(): feed for feed in self.feeds}
        for number in by_number:
            waiting.register(number, select.POLLOUT)
        ready = [number for number, _ in waiting.poll()]
        if self.sock.fileno() in ready:
            return True
        over = [by_number[number] for number in ready if not by_number[number].step()]
        self.feeds = [feed for feed in self.feeds if feed not in over]
        return False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            LaneClosed: the other side is gone.
        """
        content = json.dumps(message).encode()
        try:
            self.sock.sendall(_LENGTH.pack(len(content)) + content)
        except OSError as error:
            raise LaneClosed from error

    def receive(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            LaneClosed: the other side is gone.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        message: dict[str, Any] = json.loads(self._exactly(length))
        return message

    def _exactly(self, size: int) -> bytes:
        found = self.reader.read(size)
        if found is None or len(found) < size:
            raise LaneClosed
        return found

    def write_stream(self, outgoing: Outgoing) -> None:
        """Write a stream behind the last message, waiting for who reads it.

        Raises:
            LaneClosed: the other side is gone, or has had enough.
        """
        with self.sock.makefile("wb", buffering=_BUFFER) as sink:
            try:
                for _ in outgoing.write(sink):
                    pass
                sink.flush()
            except (BrokenPipeError, ConnectionError) as error:
                raise LaneClosed from error

    def close(self) -> None:
        """Close this end, and what is still to be handed over. Closing twice is allowed."""
        for feed in self.feeds:
            feed.close()
        self.feeds = []
        self.sock.close()
        super().close()

    def __enter__(self) -> Self:
        return self
