"""HTTP connections that do not wait for ever: a request arrives whole within a time, and its head within a size."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stackwright_uvicorn.answering import HeadWithBody

_TOO_LONG: Final = "431 Request Header Fields Too Large"
_TOO_MANY: Final = "503 Service Unavailable\r\nretry-after: 1"
_REFUSAL: Final = "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, closing a connection with 408 or 431 where a client sends too slowly or a head too long.

    Args:
        receive: seconds from the first byte of a request, or from the opening of the connection, to the last byte.
        head: bytes of a request's head, its line and headers, after which it is refused.
        connections: connections that may be open; more are refused with 503.
        closing: set when the server stops: what is answered from then on is the connection's last answer.
    """

    def __init__(
        self, *arguments: Any, receive: float, head: int, connections: int, closing: Event, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._receive = receive
        self._most = head
        self._room = connections
        self._closing = closing
        self._arriving = self._in_head = True
        self._head = 0
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Expect a request."""
        super().connection_made(transport)
        if len(self.connections) > self._room:
            self.connections.discard(self)
            transport.write(_REFUSAL.format(_TOO_MANY).encode("ascii"))
            transport.close()
        else:
            self._alarm = self.loop.call_later(self._receive, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrives, and watch for the rest."""
        if self.transport.is_closing():
            return
        before = self.scope
        super().data_received(data)
        if self._alarm is None and (self._arriving or not self.answering):
            self._alarm = self.loop.call_later(self._receive, self._late)
        if self._in_head:
            self._head = self._head + len(data) if self.scope is before else self._length()
            if self._head > self._most:
                self._refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._arriving = self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that its head is whole.

        Raises:
            ValueError: it is too long.
        """
        self._head = self._length()
        if self._head > self._most:
            raise ValueError(_TOO_LONG)
        self._in_head = False
        super().on_headers_complete()
        if self.cycle.scope["method"] != "HEAD":  # whose answer is a head alone
            self.cycle.transport = HeadWithBody(self.transport)  # type: ignore[assignment]  # it has what uvicorn calls
        if self._closing.is_set():
            self.close_after_answer()

    def on_message_complete(self) -> None:
        """Note that it is whole."""
        self._relax()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one that is refused on purpose."""
        if self._head > self._most:
            self._refuse(_TOO_LONG)
        else:
            super().send_400_response(msg)

    def close_after_answer(self) -> None:
        """Make the answer under way, if there is one, the connection's last, and say so in its head."""
        if self.answering:
            self.cycle.keep_alive = False
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"close")]

    def _length(self) -> int:
        """Return the length of the head as far as it is read."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _relax(self) -> None:
        self._arriving = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _late(self) -> None:
        if self.flow.read_paused or (self._in_head and self.answering):
            self._alarm = self.loop.call_later(self._receive, self._late)
        else:
            self._refuse("408 Request Timeout")

    @property
    def answering(self) -> bool:
        """Whether a request before the one that arrives, or that one itself once its head is whole, has no answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: str) -> None:
        """Close the connection; say why if the client asked for something, and hears nothing else."""
        asked = self.scope is not None and not self.transport.is_closing()
        silent = not self.answering if self._in_head else self.answering and not self.cycle.response_started
        self._relax()
        if asked and silent:
            self.transport.write(_REFUSAL.format(status).encode("ascii"))
        self.transport.close()
