"""Calls of an adapter in its process: documents and streams over a lane, there and back."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa

from stackwright_interfaces.contracts import in_force
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import Report, StopFit
from stackwright_isolated import documents, tables
from stackwright_isolated.host import CONTRACTS, PROTOCOL
from stackwright_isolated.lanes import Lane, LaneClosed
from stackwright_isolated.process import DIED, Process
from stackwright_isolated.tables import Outgoing, StreamFailed


class Calls:
    """What an adapter is asked, from any thread.

    Args:
        process: the process, which was started for this.
        given: the options of the adapter.
        context: the context of the adapter.

    Attributes:
        about: which abilities the adapter has, and the attributes that it shows.

    Raises:
        StackwrightError: the adapter cannot be built.
    """

    def __init__(self, process: Process, given: Mapping[str, Any], context: Context) -> None:
        self.process = process
        launch = process.launch
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
            if self.process.usable:
                self._ask({"drop": number})

    def _ask(self, message: dict[str, Any], streams: list[Outgoing] | None = None, report: Report | None = None) -> Any:
        lane = None
        try:
            lane = self.process.lane()
            feeds = [self.process.feed(outgoing) for outgoing in streams or ()]
            lane.send({**message, "streams": [number for number, _ in feeds]} if streams is not None else message)
            lane.feeds = [feed for _, feed in feeds]
            answer = self._answer(lane, report)
            failure = next((feed.failure for _, feed in feeds if feed.failure is not None), None)
            if "error" in answer:
                self.process.free(lane)
                raise failure or self._error(answer["error"])
            return self._result(lane, answer)
        except LaneClosed:
            self.process.died()
        except KeyboardInterrupt:
            self.process.kill()
            raise
        except BaseException:
            if lane is not None:
                self.process.discard(lane)
            raise

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
        self.process.free(lane)

        def inside(place: Mapping[str, Any]) -> Any:
            return Made(self, place) if place["$"] == "object" else arrays[place["at"]]

        return documents.read(document, inside)

    def _array(self, lane: Lane, place: Mapping[str, Any]) -> Any:
        try:
            return tables.array_of(place, *tables.read(lane.reader))
        except StreamFailed as failed:
            raise self._error(failed.document) from None
        except (OSError, pa.ArrowException):
            self.process.died()

    def _rows(self, lane: Lane) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        try:
            schema, batches = tables.read(lane.reader)
        except (OSError, pa.ArrowException):
            self.process.died()
        return schema, self._consumed(lane, batches)

    def _consumed(self, lane: Lane, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except StreamFailed as failed:
            self.process.free(lane)
            raise self._error(failed.document) from None
        except (OSError, pa.ArrowException):
            self.process.died()
        except GeneratorExit:
            lane.close()  # the adapter need not go on
            raise
        self.process.free(lane)

    def _chunks(self, lane: Lane) -> Iterator[pa.Table]:
        """Give tables as the adapter makes them, of which none is made before it is asked for."""
        try:
            while True:
                answer = lane.receive()
                if "error" in answer:
                    self.process.free(lane)
                    raise self._error(answer["error"])
                if not answer["chunk"]:
                    self.process.free(lane)
                    return
                schema, batches = tables.read(lane.reader)
                yield pa.Table.from_batches(batches, schema)
        except StreamFailed as failed:
            lane.close()
            raise self._error(failed.document) from None
        except (LaneClosed, OSError, pa.ArrowException):
            self.process.died()
        except GeneratorExit:
            lane.close()
            raise

    def _error(self, document: Mapping[str, Any]) -> Exception:
        return documents.read_error(document, self.process.launch.where, self.process.log)


class Made:
    """What an adapter made, as it stands on this side.

    Args:
        calls: those of the adapter.
        place: what the answer says of it.
    """

    def __init__(self, calls: Calls, place: Mapping[str, Any]) -> None:
        self._calls = calls
        self.kind: str = place["kind"]
        self.about: Mapping[str, Any] = {name: documents.read(place[name]) for name in ("abilities", "shown")}
        self._number: int = place["at"]
        weakref.finalize(self, calls.drop, self._number).atexit = False

    @property
    def usable(self) -> bool:
        """Whether the process that holds it takes calls."""
        return self._calls.process.usable

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of it.

        Raises:
            StackwrightError: what the method raised; or the process that held it is gone, and it with it.
        """
        if not self.usable:
            launch = self._calls.process.launch
            found = f"the process of {launch.adapter!r} has ended, and what it had fitted or loaded with it"
            raise DIED[launch.provides](launch.where, found, "Fit or load again.")
        return self._calls.call(self._number, method, *arguments)


def _places(document: Any) -> Iterator[Mapping[str, Any]]:
    """Give the places of streams in a document, in their order on the lane."""
    items = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    if isinstance(document, dict) and document.get("$") == "stream":
        yield document
        return
    for item in items:
        yield from _places(item)
