"""Connections that wait at a socket when it is to be closed."""

from __future__ import annotations

import socket
from contextlib import suppress


def waiting(listener: socket.socket) -> list[socket.socket]:
    """Accept all connections that wait."""
    accepted = []
    listener.settimeout(0)
    with suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])
    return accepted
