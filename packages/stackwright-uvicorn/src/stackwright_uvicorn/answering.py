"""The head of an answer and the first part of its body, sent at once."""

from __future__ import annotations

import asyncio
from typing import Final

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HeadWithBody:
    """A transport for one answer, which keeps its head until there is something of its body.

    ASGI asks for that. uvicorn sends the head by itself, and the call of the system that this takes is the dearest part
    of a small answer; the client is woken twice as well.

    Args:
        transport: of the connection.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Keep the head, or send what there is."""
        if self._head is None and data != _CONTINUE:
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection, once the head is sent."""
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._transport.is_closing()
