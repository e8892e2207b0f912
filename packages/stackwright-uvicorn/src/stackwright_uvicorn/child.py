"""A worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from stackwright_interfaces.errors import ServerError

_RUN: Final = "import sys; from stackwright_uvicorn.worker import main; sys.exit(main(*map(int, sys.argv[1:])))"


DRAIN: Final = "drain"
"""What a worker is told when it will be stopped soon."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a worker is told first.

    Args:
        factory: ``"package.module:function"`` that returns the application.
        path: where else modules are looked for.
        options: uvicorn's.
        limits: of a connection; see :class:`stackwright_uvicorn.protocol.PatientProtocol`.
        grace: seconds the worker has from the order to stop, or from its parent's end, to its own.
    """

    factory: str
    path: tuple[str, ...]
    options: Mapping[str, Any]
    limits: Mapping[str, Any]
    grace: float


class Child:
    """A worker process. It ends when this end of its pipe is closed, so it never outlives its parent.

    Attributes:
        pipe: what it says comes through here: ``("ready", "")``, or ``("failed", words)`` before it ends.
        ready: when it began to accept requests, on the monotonic clock; ``None`` before.
        words: why it did not start, as one line; empty where it did not say.
    """

    def __init__(self, orders: Orders, environment: Mapping[str, str], listener: socket.socket) -> None:
        self.pipe, theirs = Pipe()
        self.ready: float | None = None
        self.words = ""
        self.pipe.send(orders)
        with theirs:
            self._process = _start(environment, listener.fileno(), theirs)
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def listen(self) -> None:
        """Take note of what it said; after its end the pipe is closed."""
        try:
            while not self.pipe.closed and self.pipe.poll():
                kind, words = self.pipe.recv()
                self.ready = time.monotonic() if kind == "ready" else None
                self.words = " ".join(words.split())
        except (EOFError, OSError):
            self.pipe.close()

    def fault(self, patience: float) -> str:
        """Return why another worker is needed in its place, or an empty string.

        Args:
            patience: seconds after which a worker that is not ready is ended.
        """
        code = self._process.poll()
        if code is not None:
            return f"its process ended by {_signal(-code)}" if code < 0 else f"its process ended with code {code}"
        if self.ready is None and time.monotonic() > self._started + patience:
            self._process.kill()
            return f"not ready within {patience:g} s"
        return ""

    def drain(self) -> None:
        """Tell it that it will be stopped soon, so that its application can say so."""
        with contextlib.suppress(OSError):
            self.pipe.send(DRAIN)

    def stop(self) -> None:
        """Have it finish what it accepted; one that accepts nothing yet is ended at once."""
        self.listen()
        self._process.send_signal(signal.SIGKILL if self.ready is None else signal.SIGTERM)

    def join(self, deadline: float) -> bool:
        """Wait for its end; return false where it had to be forced.

        Args:
            deadline: when its time is up, on the monotonic clock.
        """
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self.pipe.close()


def _start(environment: Mapping[str, str], listener: int, pipe: Connection) -> subprocess.Popen[bytes]:
    """Start a process that has the socket and the pipe, and nothing else of ours.

    It is in a process group of its own: Ctrl-C reaches the parent alone, which then stops its workers in order.
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _RUN, str(listener), str(pipe.fileno())],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            pass_fds=(listener, pipe.fileno()),
            process_group=0,
        )
    except OSError as error:
        raise ServerError("server", f"no worker process can be started ({error.strerror})") from error


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
