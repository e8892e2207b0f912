"""The child process of an adapter, from outside: started, handed lanes, and ended with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from stackwright_interfaces.errors import (
    FeatureStoreError,
    ModelError,
    MonitorError,
    StackwrightError,
    TrainingError,
)
from stackwright_interfaces.plugin import Context
from stackwright_isolated.host import HEAD, LANE, TABLE
from stackwright_isolated.lanes import Feed, Lane, LaneClosed, pair
from stackwright_isolated.tables import Outgoing

DIED: Final[Mapping[str, type[StackwrightError]]] = {
    "OfflineStore": FeatureStoreError,
    "Trainer": TrainingError,
    "ModelFormat": ModelError,
    "Monitor": MonitorError,
}
"""The error of each contract that its process died."""

_LOG_LIMIT: Final = 1 << 20
_PATIENCE: Final = 10.0
_OTHERS: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What starts an adapter apart.

    Args:
        where: the place in the blueprint, for messages.
        python: the interpreter of its environment.
        adapter: its name.
        provides: name of the contract that it implements.
        contract: version of that contract that it was written to.
        factory: ``"package.module:callable"``, of its environment.
        config: ``"package.module:class"``, of its environment.
        log: the file that what it prints is added to.
    """

    where: str
    python: Path
    adapter: str
    provides: str
    contract: int
    factory: str
    config: str
    log: Path


class Process:
    """One child process. It ends when nothing refers to it any more, and when this process does, however that is.

    Args:
        launch: what is started.
        context: asked by the adapter for the time, and told of progress.

    Attributes:
        log: the file that what it prints is added to.
    """

    def __init__(self, launch: Launch, context: Context) -> None:
        self.launch = launch
        self.log = launch.log
        _make_room(self.log)
        self._owner = os.getpid()
        self._lock = threading.RLock()  # a model may be dropped by the collector of garbage, anywhere
        self._lanes: list[Lane] = []
        self._sent = 0
        self._control, control = pair()
        caller, called = pair()
        self._child = self._start(control, called)
        self._end = weakref.finalize(self, _end, self._owner, self._child, self._control, self._lanes)
        threading.Thread(target=_serve, args=(caller, context.clock, context.progress), daemon=True).start()

    def _start(self, *ends: socket.socket) -> subprocess.Popen[bytes]:
        command = [str(self.launch.python), "-I", "-m", "stackwright_isolated.host"]
        variables = {name: value for name, value in os.environ.items() if name not in _OTHERS}
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*command, *(str(end.fileno()) for end in ends)],
                pass_fds=[end.fileno() for end in ends],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=variables,
                start_new_session=True,  # Ctrl-C comes to us, and we decide
            )
        for end in ends:
            end.close()
        return child

    @property
    def usable(self) -> bool:
        """Whether it takes calls: it runs, and this process, no parent of it by fork, started it."""
        return self._end.alive and self._owner == os.getpid() and self._child.poll() is None

    @property
    def number(self) -> int:
        """The process id."""
        return self._child.pid

    def lane(self) -> Lane:
        """Return a lane that nobody speaks over.

        Raises:
            LaneClosed: the process is gone.
        """
        with self._lock:
            if self._lanes:
                return self._lanes.pop()
            here, there = pair()
            self._hand(LANE, 0, there)
            return Lane(here)

    def feed(self, outgoing: Outgoing) -> tuple[int, Feed]:
        """Return the number of a stream, and the stream on a socket of its own.

        Raises:
            LaneClosed: the process is gone.
        """
        here, there = pair()
        with self._lock:
            self._sent += 1
            self._hand(TABLE, self._sent, there)
            return self._sent, Feed(outgoing, here)

    def _hand(self, what: bytes, number: int, sock: socket.socket) -> None:
        head = what + number.to_bytes(HEAD - len(what))
        try:
            socket.send_fds(self._control, [head], [sock.fileno()])
        except OSError as error:
            raise LaneClosed from error
        finally:
            sock.close()

    def free(self, lane: Lane) -> None:
        """Take a lane back, over which all was said."""
        with self._lock:
            if lane.feeds:  # rows that nobody asked for any more
                lane.close()
            else:
                self._lanes.append(lane)

    def discard(self, lane: Lane) -> None:
        """Close a lane over which not all was said, unless it was taken back."""
        with self._lock:
            if lane not in self._lanes:
                lane.close()

    def died(self) -> NoReturn:
        """Raise how the process ended; it is not used again.

        Raises:
            StackwrightError: always, the error of the contract.
        """
        try:
            code = self._child.wait(_PATIENCE)
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            self._child.kill()
            how = "broke off a call"
        self._end()
        found = f"the process of the isolated adapter {self.launch.adapter!r} {how}{_last(self.log)}"
        raise DIED[self.launch.provides](self.launch.where, found, f"Its log is {self.log}. The next call starts anew.")

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._owner == os.getpid():
            self._child.kill()
            self._end()


def _serve(sock: socket.socket, clock: Callable[[], Any], progress: Callable[[str, int, int], None]) -> None:
    """Answer what the adapter asks of its context, until it is gone."""
    lane = Lane(sock)
    with suppress(LaneClosed, OSError, ValueError):
        while True:
            asked = lane.receive()
            if asked["ask"] == "clock":
                lane.send({"now": clock().isoformat()})
            else:
                progress(*asked["of"])
    lane.close()


def _end(owner: int, child: subprocess.Popen[bytes], control: socket.socket, lanes: list[Lane]) -> None:
    control.close()
    for lane in lanes:
        lane.close()
    if owner != os.getpid():
        return
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _make_room(log: Path) -> None:
    """Set a log aside that has grown long."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))


def _last(log: Path) -> str:
    """Return the last line of a log, for a message."""
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; the last it said: {last}" if last else ""
    return ""
