"""Hosts an application in worker processes over one listening socket, and replaces those that end."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Final

from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.listening import listening, stopped_by_signals, turn_away, url
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.server import App, Server
from stackwright_uvicorn.child import Child, Orders
from stackwright_uvicorn.plugin import UvicornConfig

STABLE: Final = 10.0
"""Seconds of service after which a worker's end is not taken for a failed start."""

FAILURES: Final = 5
"""Failed starts in a row, of one worker, after which the server gives up."""

FLUSH: Final = 5.0
"""Seconds the application is given to close, after its requests."""

_TICK: Final = 0.1

log = logging.getLogger("stackwright_uvicorn")


class Place:
    """One of the server's workers: a process, and where it ends the next one, later each time it fails at once."""

    def __init__(self, start: Callable[[], Child], patience: float) -> None:
        self._start = start
        self._patience = patience
        self._failures = 0
        self._due: float | None = None
        self.child = start()

    def tend(self) -> None:
        """Replace the worker if it ended.

        Raises:
            ServerError: it keeps failing.
        """
        if self._due is None:
            fault = self.child.fault(self._patience)
            if fault:
                self._bury(fault)
        elif time.monotonic() >= self._due:
            self._restart()

    def _restart(self) -> None:
        try:
            self.child = self._start()
            self._due = None
        except ServerError as error:
            self._put_off(error.found)

    def _bury(self, fault: str) -> None:
        self.child.listen()
        self.child.join(time.monotonic() + 1.0)
        if self.child.ready is not None and time.monotonic() - self.child.ready > STABLE:
            self._failures = 0
        self._put_off(self.child.words or fault)

    def _put_off(self, words: str) -> None:
        self._failures += 1
        if self._failures > FAILURES:
            raise ServerError("server", f"a worker failed {self._failures} times in a row: {words}", "See the log.")
        delay = 0.1 * 2 ** (self._failures - 1)
        log.warning("worker %d: %s; another starts in %.1f s", self.child.pid, words, delay)
        self._due = time.monotonic() + delay


class UvicornServer(Server):
    """See :class:`stackwright_interfaces.server.Server`."""

    def __init__(self, config: UvicornConfig, _context: Context) -> None:
        self._config = config
        self._stop = threading.Event()

    def serve(self, app: App, ready: Callable[[str], None]) -> None:
        """See :meth:`stackwright_interfaces.server.Server.serve`."""
        config = self._config
        with stopped_by_signals(self._stop), listening(config.host, config.port, config.backlog) as listener:
            places: list[Place] = []
            try:
                places.extend(Place(lambda: self._worker(app, listener), config.start) for _ in range(config.workers))
                if self._all_ready(places):
                    ready(url(listener))
                    self._supervise(places)
                    self._delay(places)
            finally:
                turn_away(listener)
                self._drain([place.child for place in places])

    def close(self) -> None:
        """Stop serving, for good. Closing twice is allowed, and so is closing before serving."""
        self._stop.set()

    def _worker(self, app: App, listener: socket.socket) -> Child:
        options = {
            "loop": "uvloop",
            "ws": "none",
            "lifespan": "on",
            "interface": "asgi3",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "backlog": self._config.backlog,
            "timeout_keep_alive": self._config.keep_alive,
            "timeout_graceful_shutdown": self._config.drain,
        }
        orders = Orders(
            factory=app.factory,
            path=tuple(sys.path),
            options=options,
            limits={
                "receive": self._config.receive,
                "head": self._config.head,
                "connections": self._config.connections,
            },
            grace=self._config.drain + FLUSH,
        )
        return Child(orders, app.environment, listener)

    def _all_ready(self, places: Sequence[Place]) -> bool:
        """Wait until every worker accepts requests; return false where the server is told to stop first.

        Raises:
            ServerError: one ended instead, or did not come up in time.
        """
        while not self._stop.is_set():
            _listen(places)
            for child in (place.child for place in places):
                if fault := child.fault(self._config.start):
                    child.listen()
                    found = f"the application did not start: {child.words or fault}"
                    raise ServerError("server", found, "Mend that, or set [server] start higher if it is slow.")
            if all(place.child.ready for place in places):
                return True
        return False

    def _supervise(self, places: Sequence[Place]) -> None:
        """Replace workers that end, until the server is told to stop.

        Raises:
            ServerError: one keeps failing.
        """
        while not self._stop.is_set():
            _listen(places)
            for place in places:
                place.tend()

    def _delay(self, places: Sequence[Place]) -> None:
        """Go on for a moment, while the application says that it is not ready."""
        for place in places:
            place.child.drain()
        until = time.monotonic() + self._config.delay
        while time.monotonic() < until:
            _listen(places)
            time.sleep(min(_TICK, max(0.0, until - time.monotonic())))

    def _drain(self, children: Sequence[Child]) -> None:
        """Let accepted requests end, then end the workers."""
        for child in children:
            child.stop()
        deadline = time.monotonic() + self._config.drain + FLUSH
        for child in children:
            if not child.join(deadline):
                log.warning("worker %d did not end in time and was killed", child.pid)


def _listen(places: Sequence[Place]) -> None:
    """Wait a moment for workers to say something, and take note of it."""
    wait([place.child.pipe for place in places if not place.child.pipe.closed], _TICK)
    for place in places:
        place.child.listen()
