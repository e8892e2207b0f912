"""A worker process: uvicorn over a socket that its parent opened."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from multiprocessing.connection import Connection
from threading import Event, Thread
from types import FrameType
from typing import Any, Final, NoReturn

import uvicorn

from stackwright_interfaces.errors import StackwrightError
from stackwright_uvicorn.child import DRAIN, Orders
from stackwright_uvicorn.listener import waiting
from stackwright_uvicorn.protocol import PatientProtocol
from stackwright_uvicorn.upgrade import PlainProtocol

LINGER: Final = 0.5
"""Seconds in which a connection may still ask for something, once the server stops."""

log = logging.getLogger("stackwright_uvicorn")


@dataclass(frozen=True)
class Told:
    """What parent and worker have told each other.

    Args:
        ready: set once requests are accepted.
        draining: set once the server is about to stop.
    """

    ready: Event = field(default_factory=Event)
    draining: Event = field(default_factory=Event)


class Worker(uvicorn.Server):
    """uvicorn, telling its parent when it accepts requests, and losing none when it is told to stop.

    The application finds in the state of each request, under ``draining``, an event that is set once the server is
    about to stop.
    """

    def __init__(self, config: uvicorn.Config, parent: Connection, told: Told, closing: Event) -> None:
        super().__init__(config)
        self._parent = parent
        self._told = told
        self._closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the parent."""
        self.lifespan.state["draining"] = self._told.draining
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._told.ready.set()
            with suppress(OSError):
                self._parent.send(("ready", ""))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what was asked, then shut down as uvicorn does.

        uvicorn by itself resets connections that wait to be accepted, and those whose request it has not read yet.
        """
        self._told.draining.set()
        self._closing.set()
        for protocol in self._protocols():
            protocol.close_after_answer()
        late = [connection for sock in sockets or [] for connection in waiting(sock)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in late:
            await loop.connect_accepted_socket(self._protocol, connection)
        deadline = loop.time() + LINGER
        while self._silent() and loop.time() < deadline:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def _silent(self) -> bool:
        """Whether a connection is open on which nothing is asked."""
        return any(not protocol.answering for protocol in self._protocols())

    def _protocols(self) -> list[PatientProtocol]:
        return [item for item in self.server_state.connections if isinstance(item, PatientProtocol)]


class LastWords:
    """A filter of uvicorn's log that lets everything pass, and keeps the first error."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, record: logging.LogRecord) -> bool:
        """Let pass."""
        if record.levelno >= logging.ERROR and not self.text:
            error = record.exc_info[1] if record.exc_info else None
            self.text = describe(error) if error else _ending(record.getMessage().strip())
        return True


def describe(error: BaseException) -> str:
    """Return an error in words; one of ours says everything itself."""
    return str(error) if isinstance(error, StackwrightError) else f"{type(error).__name__}: {error}"


def _ending(text: str) -> str:
    """Return what a traceback ends with, which may take several lines; other text as it is."""
    if not text.startswith("Traceback"):
        return text
    message = takewhile(lambda line: not line.startswith(" "), reversed(text.splitlines()))
    return "\n".join(reversed(list(message)))


def main(listener: int, pipe: int) -> int:
    """Serve until SIGTERM; return the exit code, which is not zero where the application did not start.

    Args:
        listener: file descriptor of the listening socket.
        pipe: file descriptor of the pipe to the parent.
    """
    parent = Connection(_private(pipe))
    sock = socket.socket(fileno=_private(listener))
    orders: Orders = parent.recv()
    told = Told()
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_end_with_parent, args=(parent, told, orders.grace), daemon=True).start()
    sys.path.extend(place for place in orders.path if place not in sys.path)
    words = _serve(orders, sock, parent, told)
    if told.ready.is_set():
        return 0
    with suppress(OSError):
        parent.send(("failed", words))
    return 1


def _serve(orders: Orders, listener: socket.socket, parent: Connection, told: Told) -> str:
    """Serve; return why the application did not start, if it did not."""
    last, closing = LastWords(), Event()
    logging.getLogger("uvicorn.error").addFilter(last)
    try:
        application = _load(orders.factory)
        protocol = partial(PlainProtocol, **orders.limits, closing=closing)
        config = uvicorn.Config(application, **{**orders.options, "http": protocol})
        Worker(config, parent, told, closing).run(sockets=[listener])
    except SystemExit as end:  # uvicorn's way to end where the application's lifespan does not start
        return last.text or f"it ended with code {end.code}"
    except Exception as error:
        if told.ready.is_set():
            raise
        if not isinstance(error, StackwrightError):
            log.error("the application did not start", exc_info=error)
        return describe(error)
    return last.text


def _private(descriptor: int) -> int:
    """Return a copy that no process inherits which the application starts, and close the one given."""
    copy = os.dup(descriptor)
    os.close(descriptor)
    return copy


def _load(factory: str) -> Any:
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End on SIGTERM: before uvicorn handles it, and when uvicorn raises it again after it has finished."""
    sys.exit(0)


def _end_with_parent(parent: Connection, told: Told, grace: float) -> None:
    with suppress(EOFError, OSError):
        while parent.recv() == DRAIN:
            told.draining.set()
    if told.ready.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
    os._exit(1)
