"""Requests that ask to go on in another protocol, as Java's client does by default: they are answered in this one."""

from __future__ import annotations

import sys
from typing import Any, Final

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stackwright_uvicorn.protocol import PatientProtocol

_ASKING: Final = (b"upgrade", b"http2-settings")
"""Headers, and members of the header ``connection``, that ask for another protocol."""


class PlainProtocol(PatientProtocol):
    """Reads a request that asks for an upgrade as if it did not, which a server may (RFC 9110, section 7.8).

    The parser takes such a request to end with its head, and what follows for the other protocol; a body would be lost.
    So the head is read a second time, without the question, by a parser that then goes on.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Take what arrives."""
        self._data = data
        super().data_received(data)
        self._data = b""

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is to be read again."""
        if not self._asks:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is whole, unless its head is to be read again."""
        if not self._asks:
            super().on_message_complete()

    @property
    def _asks(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """Read on. It is called while the parser's exception is handled, whose argument is where the head ended."""
        stopped = sys.exception()
        if stopped is not None and self._asks:
            self._data = self._head_without_question() + self._data[stopped.args[0] :]
            self.parser = HttpRequestParser(self)
            HttpToolsProtocol.data_received(self, self._data)

    def _head_without_question(self) -> bytes:
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name not in _ASKING:
                lines.append(name + b": " + (_without_question(value) if name == b"connection" else value))
        return b"\r\n".join([*lines, b"", b""])


def _without_question(connection: bytes) -> bytes:
    members = (member.strip() for member in connection.split(b","))
    return b", ".join(member for member in members if member.lower() not in _ASKING)
