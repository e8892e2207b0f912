"""The child process: one adapter, in the environment that it was installed in.

It is started with the numbers of two sockets. Over the first come lanes and tables, each a socket of its own; where
that ends, so does the process, for whoever started it is gone. Over the second it asks for the time and tells of
progress. The first message of the first lane says hello; then each lane takes one call at a time.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

import pyarrow as pa

from stackwright_interfaces.contracts import bridged, in_force, older, refusal
from stackwright_interfaces.errors import PluginError, StackwrightError, StorageError
from stackwright_interfaces.feature_store import OfflineStore
from stackwright_interfaces.model import ModelFormat, Predictor
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.trainer import FittedModel, StopFit, Trainer
from stackwright_isolated import documents, tables
from stackwright_isolated.abilities import found_of
from stackwright_isolated.lanes import Lane, LaneClosed
from stackwright_isolated.tables import Outgoing, StreamFailed

PROTOCOL: Final = 1
"""Version of what the two processes say to each other."""

LANE: Final = b"L"
TABLE: Final = b"T"
HEAD: Final = 9
"""Bytes before a socket: what it is for, and its number (8 bytes, big endian)."""

CONTRACTS: Final[Mapping[str, type]] = {
    "OfflineStore": OfflineStore,
    "Trainer": Trainer,
    "ModelFormat": ModelFormat,
    "Monitor": Monitor,
}
"""What may run apart."""

_PATIENCE: Final = 1.0


class Caller:
    """Whoever started the process, asked for what the context of an adapter holds."""

    def __init__(self, sock: socket.socket) -> None:
        self._lane = Lane(sock)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the present."""
        with self._lock:
            self._lane.send({"ask": "clock"})
            return datetime.fromisoformat(self._lane.receive()["now"])

    def progress(self, what: str, done: int, total: int) -> None:
        """Tell how far a piece of work is."""
        with self._lock:
            self._lane.send({"ask": "progress", "of": [what, done, total]})

    def storage(self, url: str) -> Storage:
        """Refuse to open a storage.

        Raises:
            StorageError: always.
        """
        found = "an isolated adapter gets no storage of the project"
        raise StorageError(url, found, "Take out isolated, or give the adapter a folder.")


class Host:
    """The adapter, what it made, and the sockets of tables that are on their way."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._objects: dict[int, Any] = {}
        self._made = 0
        self._tables: dict[int, socket.socket] = {}
        self._arrived = threading.Condition()

    def table(self, number: int, sock: socket.socket) -> None:
        """Take the socket of a table."""
        with self._arrived:
            self._tables[number] = sock
            self._arrived.notify_all()

    def serve(self, lane: Lane) -> None:
        """Answer the calls of a lane until it is closed."""
        try:
            while True:
                self._answer(lane, lane.receive())
        except LaneClosed:
            lane.close()

    def close(self) -> None:
        """Close the adapter."""
        for found in reversed(self._objects.values()):
            getattr(found, "close", lambda: None)()
        self._objects.clear()

    def _answer(self, lane: Lane, message: dict[str, Any]) -> None:
        files: list[Any] = []
        try:
            if "hello" in message:
                lane.send({"result": self._hello(documents.read(message["hello"]))})
            elif "drop" in message:
                self._objects.pop(message["drop"], None)
                lane.send({"result": None})
            else:
                self._call(lane, message, files)
        except LaneClosed:
            raise
        except Exception as error:  # noqa: BLE001 -- an adapter may raise anything; whoever called is told
            told = error.document if isinstance(error, StreamFailed) else documents.write_error(error)
            if not isinstance(error, StackwrightError | StreamFailed | StopFit):
                traceback.print_exc()
            lane.send({"error": told})
        finally:
            for file in files:
                file.close()

    def _hello(self, hello: Mapping[str, Any]) -> Any:
        if hello["protocol"] != PROTOCOL:
            found = f"its environment speaks version {PROTOCOL} of the protocol, the engine {hello['protocol']}"
            raise PluginError(hello["where"], found, "Run: stackwright lock --upgrade")
        provides = CONTRACTS[hello["provides"]]
        current = in_force(provides)
        if current != hello["in_force"]:
            found = f"its environment has version {current} of the contract, the engine {hello['in_force']}"
            raise PluginError(hello["where"], found, "Run: stackwright lock --upgrade")
        if refused := refusal(hello["contract"], current, older(provides)):
            raise PluginError(hello["where"], f"the adapter {refused}", "Run: stackwright lock --upgrade")
        context = Context(
            project=hello["project"],
            cache=hello["cache"],
            storage=self._caller.storage,
            clock=self._caller.now,
            progress=self._caller.progress,
        )
        module, _, name = hello["config"].partition(":")
        config = getattr(import_module(module), name)
        try:
            given = config(**hello["given"])
        except (TypeError, ValueError) as error:
            raise PluginError(hello["where"], f"the options are refused ({error})", "Correct them.") from error
        module, _, name = hello["factory"].partition(":")
        adapter = getattr(import_module(module), name)(given, context)
        if not isinstance(adapter, provides):
            found = f"the factory gives a {type(adapter).__name__}, no {provides.__name__}"
            raise PluginError(hello["where"], found, "Upgrade the adapter.")
        self._objects[0] = bridged(provides, hello["contract"], adapter)
        return documents.write(found_of(self._objects[0]))

    def _call(self, lane: Lane, message: dict[str, Any], files: list[Any]) -> None:
        target = self._objects.get(message["of"])
        name: str = message["method"]
        if target is None or name.startswith("_"):
            raise PluginError("isolated", f"there is no {name!r} of {message['of']}")
        incoming = [self._incoming(number, files) for number in message["streams"]]

        def inside(place: Mapping[str, Any]) -> Any:
            if place["$"] == "report":
                return _Report(lane)
            schema, batches = incoming[place["at"]]
            return _handed(place, schema, batches)

        arguments = documents.read(message["arguments"], inside)
        options = documents.read(message["options"], inside)
        method = getattr(target, name) if name != "close" else getattr(target, "close", lambda: None)
        result = method(*arguments, **options)
        if isinstance(result, Iterator) and not hasattr(result, "__arrow_c_stream__"):
            self._chunks(lane, result)
        else:
            self._result(lane, result)

    def _incoming(self, number: int, files: list[Any]) -> Any:
        with self._arrived:
            self._arrived.wait_for(lambda: number in self._tables)
            sock = self._tables.pop(number)
        file = sock.makefile("rb", buffering=1 << 18)
        sock.close()  # the file holds it
        files.append(file)
        return tables.read(file)

    def _chunks(self, lane: Lane, chunks: Iterator[Any]) -> None:
        lane.send({"result": {"$": "chunks"}})
        for chunk in chunks:
            outgoing = Outgoing.of(chunk)
            assert outgoing is not None, "a chunk is a table"
            lane.send({"chunk": True})
            lane.write_stream(outgoing)
        lane.send({"chunk": False})

    def _result(self, lane: Lane, result: Any) -> None:
        streams: list[Outgoing] = []

        def outside(value: Any) -> dict[str, Any] | None:
            if isinstance(value, FittedModel | Predictor):
                return self._kept(value)
            outgoing = Outgoing.of(value)
            if outgoing is None:
                return None
            streams.append(outgoing)
            return {"$": "stream", "at": len(streams) - 1, **outgoing.about}

        document = documents.write(result, outside)
        lane.send({"result": document, "streams": len(streams)})
        for outgoing in streams:
            try:
                lane.write_stream(outgoing)
            except LaneClosed:
                raise
            except Exception:  # noqa: BLE001 -- told in the stream
                traceback.print_exc()

    def _kept(self, made: Any) -> dict[str, Any]:
        with self._arrived:
            self._made += 1
            self._objects[self._made] = made
            number = self._made
        about = documents.write(found_of(made))
        return {"$": "object", "kind": "model" if isinstance(made, FittedModel) else "predictor", "at": number, **about}


class _Report:
    """Whoever called, told about the progress of a fit."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def __call__(self, step: int, steps: int, metrics: Mapping[str, float], /) -> None:
        self._lane.send({"report": documents.write([step, steps, metrics])})
        answer = self._lane.receive()
        if "stop" in answer:
            raise StopFit(*answer["stop"])


def _handed(place: Mapping[str, Any], schema: Any, batches: Iterator[Any]) -> Any:
    if place["form"] == "table":
        return pa.RecordBatchReader.from_batches(schema, batches)
    return tables.array_of(place, schema, batches)


def _sockets(control: socket.socket) -> Iterator[tuple[bytes, int, socket.socket]]:
    """Give the sockets that come, until whoever sends them is gone."""
    parent = os.getppid()
    while True:
        if not select.select([control], [], [], _PATIENCE)[0]:
            if os.getppid() != parent:  # another process may hold the other end open
                return
            continue
        head, numbers, _, _ = socket.recv_fds(control, HEAD, 1)
        if len(head) < HEAD or not numbers:
            return
        yield head[:1], int.from_bytes(head[1:]), socket.socket(fileno=numbers[0])


def main() -> None:
    """Serve until whoever started this process is gone."""
    control, caller = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    host = Host(Caller(caller))
    for what, number, sock in _sockets(control):
        if what == TABLE:
            host.table(number, sock)
        else:
            threading.Thread(target=host.serve, args=(Lane(sock),), daemon=True).start()
    threading.Timer(_PATIENCE * 5, lambda: os._exit(1)).start()
    host.close()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
