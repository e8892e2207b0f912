"""What a server listens to: a socket, shared with its workers and closed without losing who was let in; signals."""

from __future__ import annotations

import ctypes
import errno
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from types import FrameType
from typing import Final

from stackwright_interfaces.errors import ServerError

_SO_ATTACH_FILTER: Final = 26

_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
        (0x45, 0, 1, 0x02),  # SYN, which opens a connection?
        (0x06, 0, 0, 0),  # then drop the packet,
        (0x06, 0, 0, 0xFFFFFFFF),  # else let it pass
    )
)
"""A classic BPF program, see ``Documentation/networking/filter.rst`` of the Linux kernel."""


@contextmanager
def listening(host: str, port: int, backlog: int) -> Iterator[socket.socket]:
    """Listen while the block runs.

    Args:
        host: address or name.
        port: port, 0 for a free one.
        backlog: connections that may wait to be accepted.

    Raises:
        ServerError: the address cannot be used.
    """
    with ExitStack() as opened:
        try:
            sock = opened.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(backlog)
        except (OSError, TypeError, OverflowError) as error:  # a host that holds a NUL, a port beyond 65535
            where = f"address [{host}]:{port}" if ":" in host else f"address {host}:{port}"
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ServerError(where, f"cannot be used ({reason})", _remedy(error)) from error
        yield sock


def _remedy(error: Exception) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return "Stop what listens there, or take another port: --port 0, or [server] port = 0, takes a free one."
        case OverflowError():
            return "Set [server] port to a port from 0 to 65535."
        case PermissionError():
            return "Set [server] port to a port of 1024 or above, or allow this user the lower ones."
        case _:
            return "Set [server] host to an address of this machine."


def url(listener: socket.socket) -> str:
    """Return the base URL by which this machine reaches a socket."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"


def turn_away(listener: socket.socket) -> None:
    """Let nobody new in, while those who were let in wait to be accepted; then close this copy of the socket.

    Closing a socket resets the connections that wait at it. On Linux the kernel is told to ignore new ones, so that the
    workers, who hold copies of it, can empty the queue before they close theirs; a client that knocks meanwhile tries
    again a second later and is refused. Elsewhere a connection may be reset that comes after a worker's last look.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
        described = struct.pack("HL", len(_DROP_SYN) // 8, ctypes.addressof(program))
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    listener.close()


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set an event on SIGTERM and SIGINT while the block runs, where signals can be handled: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
