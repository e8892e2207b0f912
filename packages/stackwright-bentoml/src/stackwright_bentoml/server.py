"""Hosts an application by ``bentoml serve`` in a child process, and ends what BentoML would leave behind."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import psutil

from stackwright_bentoml.orders import ORDERS, Channel, Orders, Word
from stackwright_bentoml.plugin import BentoMLConfig
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.listening import listening, stopped_by_signals, turn_away, url
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.server import App, Cargo, Server

STABLE: Final = 10.0
"""Seconds of service after which a worker's end is not taken for a failed start."""

FAILURES: Final = 5
"""Workers that failed in a row after which the server gives up."""

FLUSH: Final = 5.0
"""Seconds the application is given to close, after its requests."""

_TICK: Final = 0.1
_RUN: Final = "import sys; from stackwright_bentoml.serving import main; main(sys.argv[1:])"

log = logging.getLogger("stackwright_bentoml")


class BentoMLServer(Server):
    """See :class:`stackwright_interfaces.server.Server`."""

    def __init__(self, config: BentoMLConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._stop = threading.Event()

    def serve(self, app: App, ready: Callable[[str], None]) -> None:
        """See :meth:`stackwright_interfaces.server.Server.serve`."""
        config = self._config
        with stopped_by_signals(self._stop), listening(config.host, config.port, config.backlog) as listener:
            address = url(listener)
            child = Child(self._orders(app), config, listener, self._context.cache / "bentoml")
            try:
                if self._all_ready(child):
                    ready(address)
                    self._supervise(child)
            finally:
                turn_away(listener)
                child.end(config.drain + FLUSH)

    def image(self, cargo: Cargo, folder: Path) -> str:
        """See :meth:`stackwright_interfaces.server.SupportsImages.image`: a bento."""
        from stackwright_bentoml.bento import build

        build(
            cargo.app,
            cargo.project,
            folder,
            config=self._config,
            name=cargo.name,
            requirements=cargo.requirements,
            wheels=cargo.wheels,
        )
        return f"bentoml serve {folder}"

    def close(self) -> None:
        """Stop serving, for good. Closing twice is allowed, and so is closing before serving."""
        self._stop.set()

    def _orders(self, app: App) -> Orders:
        config = self._config
        return Orders(
            factory=app.factory,
            environment=dict(app.environment),
            path=tuple(sys.path),
            folder=str(Path.cwd()),
            workers=config.workers,
            timeout=config.timeout,
            batch=config.batch,
            batch_size=config.batch_size,
            batch_latency=config.batch_latency,
        )

    def _all_ready(self, child: Child) -> bool:
        """Wait until every worker accepts requests; return false where the server is told to stop first.

        Raises:
            ServerError: one does not start.
        """
        patience = time.monotonic() + self._config.start
        while not self._stop.is_set():
            child.listen()
            fault = child.words or child.fault()
            if not fault and time.monotonic() > patience:
                fault = f"not ready within {self._config.start:g} s"
            if fault:
                todo = "Mend that, or set [server] start higher if it is slow."
                raise ServerError("server", f"the application did not start: {fault}", todo)
            if len(child.ready) == self._config.workers:
                return True
        return False

    def _supervise(self, child: Child) -> None:
        """Watch until the server is told to stop; BentoML replaces workers that end.

        Raises:
            ServerError: one keeps failing, or BentoML itself ended.
        """
        child.begun = 0
        while not self._stop.is_set():
            child.listen()
            if child.begun > FAILURES:
                found = f"a worker failed {child.begun} times in a row: {child.words or 'its process ended'}"
                raise ServerError("server", found, "See the log.")
            if fault := child.fault():
                raise ServerError("server", fault, "See the log.")


class Child:
    """``bentoml serve`` with its workers.

    Attributes:
        ready: workers that accepted requests, and when they began to, on the monotonic clock.
        begun: workers in a row that were started while none had served well.
        words: why the last one that failed did not start, as one line.
    """

    def __init__(self, orders: Orders, config: BentoMLConfig, listener: socket.socket, home: Path) -> None:
        self.ready: dict[int, float] = {}
        self.begun = 0
        self.words = ""
        self._latest = ""
        self._rest = b""
        (home / "work").mkdir(parents=True, exist_ok=True)
        with ExitStack() as theirs:
            parent, self._hold = _pipe(theirs)
            self._said, words = os.pipe()
            theirs.callback(os.close, words)
            channel = Channel(parent=parent, words=words, listener=listener.fileno(), grace=config.drain + FLUSH)
            passed = (parent, words, listener.fileno())
            host, port = listener.getsockname()[:2]
            options = {
                "--host": host,
                "--port": port,
                "--working-dir": home / "work",
                "--backlog": config.backlog,
                "--timeout-keep-alive": config.keep_alive,
                "--timeout-graceful-shutdown": config.drain,
            }
            told = Orders(**{**vars(orders), "channel": channel})
            self._process = _start(told, home, [str(part) for option in options.items() for part in option], passed)

    def listen(self) -> None:
        """Wait a moment for workers to say something, and take note of it."""
        if not select.select([self._said], [], [], _TICK)[0]:
            return
        *lines, self._rest = (self._rest + os.read(self._said, 65_536)).split(b"\n")
        if not lines:
            time.sleep(_TICK)  # the pipe has no writer any more
        for line in lines:
            self._note(Word(**json.loads(line)))

    def _note(self, word: Word) -> None:
        match word.kind:
            case "begun":
                served = self._latest == "ready" and time.monotonic() - max(self.ready.values()) > STABLE
                self.begun = 1 if served else self.begun + 1
                self._latest = word.kind
            case "ready":
                self.ready[word.pid] = time.monotonic()
                self._latest = word.kind
            case "failed":
                self.words = word.text
                log.warning("worker %d: %s", word.pid, word.text)

    def fault(self) -> str:
        """Return how BentoML ended, or an empty string."""
        code = self._process.poll()
        return "" if code is None else f"bentoml serve ended with code {code}"

    def end(self, patience: float) -> None:
        """Have the workers finish what they accepted; what does not end in time, or is not ready, is killed.

        Args:
            patience: seconds they are given.
        """
        if self.ready and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience + FLUSH)
        if self._process.poll() is None:
            self._kill()
        os.close(self._hold)
        os.close(self._said)

    def _kill(self) -> None:
        """Kill BentoML and its workers; it is halted first, so that it starts no other."""
        if self.ready:
            log.warning("bentoml serve did not end in time and was killed")
        self._process.send_signal(signal.SIGSTOP)
        for worker in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        self._process.kill()
        self._process.wait()


def _pipe(theirs: ExitStack) -> tuple[int, int]:
    """Return both ends of a pipe, the first of which is closed with ``theirs``."""
    read, write = os.pipe()
    theirs.callback(os.close, read)
    return read, write


def _start(orders: Orders, home: Path, arguments: Sequence[str], passed: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start ``bentoml serve`` in a process group of its own: Ctrl-C reaches this process alone."""
    environment = {
        **os.environ,
        **orders.environment,
        ORDERS: orders.to_json(),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(home),
        "PYTHONSAFEPATH": "1",
    }
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _RUN, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=passed,
            process_group=0,
        )
    except OSError as error:
        raise ServerError("server", f"bentoml serve cannot be started ({error.strerror})") from error
