"""The child process of an adapter, from outside: started, called, and ended with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import pyarrow as pa

from stackwright_interfaces.contracts import in_force
from stackwright_interfaces.errors import (
    FeatureStoreError,
    ModelError,
    MonitorError,
    StackwrightError,
    TrainingError,
)
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import Report, StopFit
from stackwright_isolated import documents, tables
from stackwright_isolated.host import CONTRACTS, HEAD, LANE, PROTOCOL, TABLE
from stackwright_isolated.lanes import Feed, Lane, LaneClosed, pair
from stackwright_isolated.tables import Outgoing, StreamFailed

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
        given: the options of the adapter.
        context: asked by the adapter for the time, and told of progress.

    Attributes:
        about: which abilities the adapter has, and the attributes that it shows.

    Raises:
        StackwrightError: the adapter cannot be built.
    """

    def __init__(self, launch: Launch, given: Mapping[str, Any], context: Context) -> None:
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
        hello = {
            "protocol": PROTOCOL,
            "where": launch.where,
            "provides": launch.provides,
            "contract": launch.contract,
            "in_force": in_force(CONTRACTS[launch.provides]),
            "factory": launch.factory,
            "config": launch.config,
            "given": dict(given),
            "project": context.project,
            "cache": context.cache,
        }
        self.about: Mapping[str, Any] = self._ask({"hello": documents.write(hello)})

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

    def call(self, of: int, method: str, *arguments: Any, report: Report | None = None, **options: Any) -> Any:
        """Call a method of the adapter (0), or of what it made.

        Raises:
            StackwrightError: what the method raised; or the process died.
        """
        streams: list[Outgoing] = []

        def outside(value: Any) -> dict[str, Any] | None:
            outgoing = Outgoing.of(value)
            if outgoing is None:
                return None
            streams.append(outgoing)
            return {"$": "stream", "at": len(streams) - 1, **outgoing.about}

        handed = documents.write(list(arguments), outside)
        named = documents.write(options, outside)
        if report is not None:
            named["report"] = {"$": "report"}
        message = {"of": of, "method": method, "arguments": handed, "options": named}
        return self._ask(message, streams, report)

    def drop(self, number: int) -> None:
        """Let go of what the adapter made."""
        with suppress(StackwrightError, OSError):
            if self.usable:
                self._ask({"drop": number})

    def _ask(self, message: dict[str, Any], streams: list[Outgoing] | None = None, report: Report | None = None) -> Any:
        lane = None
        try:
            lane = self._lane()
            feeds = [self._feed(outgoing) for outgoing in streams or ()]
            lane.send({**message, "streams": [number for number, _ in feeds]} if streams is not None else message)
            lane.feeds = [feed for _, feed in feeds]
            answer = self._answer(lane, report)
            failure = next((feed.failure for _, feed in feeds if feed.failure is not None), None)
            if "error" in answer:
                self._free(lane)
                raise failure or self._error(answer["error"])
            return self._result(lane, answer)
        except LaneClosed:
            self._died()
        except KeyboardInterrupt:
            self.kill()
            raise
        except BaseException:
            if lane is not None and lane not in self._lanes:
                lane.close()
            raise

    def _lane(self) -> Lane:
        with self._lock:
            if self._lanes:
                return self._lanes.pop()
            here, there = pair()
            self._hand(LANE, 0, there)
            return Lane(here)

    def _feed(self, outgoing: Outgoing) -> tuple[int, Feed]:
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

    def _free(self, lane: Lane) -> None:
        with self._lock:
            if lane.feeds:  # rows that nobody asked for any more
                lane.close()
            else:
                self._lanes.append(lane)

    def _answer(self, lane: Lane, report: Report | None) -> dict[str, Any]:
        while True:
            answer = lane.receive()
            if "report" not in answer:
                return answer
            assert report is not None, "only who was given a report reports"
            try:
                report(*documents.read(answer["report"]))
                lane.send({"go": True})
            except StopFit as stop:
                lane.send({"stop": [str(item) for item in stop.args]})

    def _result(self, lane: Lane, answer: Mapping[str, Any]) -> Any:
        document = answer["result"]
        kind = document.get("$") if isinstance(document, dict) else None
        if kind == "chunks":
            return self._chunks(lane)
        if kind == "stream" and document["form"] == "table":
            return pa.RecordBatchReader.from_batches(*self._rows(lane))
        arrays = [self._array(lane, place) for place in _places(document)]
        self._free(lane)

        def inside(place: Mapping[str, Any]) -> Any:
            return Made(self, place) if place["$"] == "object" else arrays[place["at"]]

        return documents.read(document, inside)

    def _array(self, lane: Lane, place: Mapping[str, Any]) -> Any:
        try:
            return tables.array_of(place, *tables.read(lane.reader))
        except StreamFailed as failed:
            raise self._error(failed.document) from None
        except (OSError, pa.ArrowException):
            self._died()

    def _rows(self, lane: Lane) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        try:
            schema, batches = tables.read(lane.reader)
        except (OSError, pa.ArrowException):
            self._died()
        return schema, self._consumed(lane, batches)

    def _consumed(self, lane: Lane, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except StreamFailed as failed:
            self._free(lane)
            raise self._error(failed.document) from None
        except (OSError, pa.ArrowException):
            self._died()
        except GeneratorExit:
            lane.close()  # the adapter need not go on
            raise
        self._free(lane)

    def _chunks(self, lane: Lane) -> Iterator[pa.Table]:
        """Give tables as the adapter makes them, of which none is made before it is asked for."""
        try:
            while True:
                answer = lane.receive()
                if "error" in answer:
                    self._free(lane)
                    raise self._error(answer["error"])
                if not answer["chunk"]:
                    self._free(lane)
                    return
                schema, batches = tables.read(lane.reader)
                yield pa.Table.from_batches(batches, schema)
        except StreamFailed as failed:
            lane.close()
            raise self._error(failed.document) from None
        except (LaneClosed, OSError, pa.ArrowException):
            self._died()
        except GeneratorExit:
            lane.close()
            raise

    def _error(self, document: Mapping[str, Any]) -> Exception:
        return documents.read_error(document, self.launch.where, self.log)

    def _died(self) -> NoReturn:
        """Raise how the process ended; it is not used again."""
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


class Made:
    """What an adapter made, as it stands on this side.

    Args:
        process: the process that holds it.
        place: what the answer says of it.
    """

    def __init__(self, process: Process, place: Mapping[str, Any]) -> None:
        self.process = process
        self.kind: str = place["kind"]
        self.about: Mapping[str, Any] = {name: documents.read(place[name]) for name in ("abilities", "shown")}
        self._number: int = place["at"]
        weakref.finalize(self, process.drop, self._number).atexit = False

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of it.

        Raises:
            StackwrightError: what the method raised; or the process that held it is gone, and it with it.
        """
        if not self.process.usable:
            launch = self.process.launch
            found = f"the process of {launch.adapter!r} has ended, and what it had fitted or loaded with it"
            raise DIED[launch.provides](launch.where, found, "Fit or load again.")
        return self.process.call(self._number, method, *arguments)


def _places(document: Any) -> Iterator[Mapping[str, Any]]:
    """Give the places of streams in a document, in their order on the lane."""
    items = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    if isinstance(document, dict) and document.get("$") == "stream":
        yield document
        return
    for item in items:
        yield from _places(item)


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
