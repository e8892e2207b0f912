"""Logs in Elastic Common Schema, and traces sent to an OpenTelemetry receiver."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_serving import telemetry
from stackwright_serving.logs import ACCESS, LOGGERS, EcsFormatter, Lines, configure
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import GuardedReader, Reads
from stackwright_serving.settings import Settings

TRACE, SPAN = "a" * 32, "b" * 16


@pytest.fixture
def told() -> Iterator[Any]:
    """What was logged, as documents."""
    before = {name: vars(logging.getLogger(name)).copy() for name in (*LOGGERS, "uvicorn")}
    stream = io.BytesIO()
    handler = configure(
        redact=lambda line: line.replace("hunter2", "***"), fields={"service.name": "homes"}, stream=stream
    )

    def lines() -> list[dict[str, Any]]:
        handler.flush()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield lines
    for name, state in before.items():
        vars(logging.getLogger(name)).update(state)


def ask(world: Any, *requests: tuple[str, str, Any], headers: Any = None) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        app = world.app()
        async with app.lifespan():
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
                return [
                    await made.request(method, path, json=body, headers=headers or {})
                    for method, path, body in requests
                ]

    return asyncio.run(run())


PREDICT = ("POST", "/predict/valuation", {"listing_id": "L1"})


def test_a_request_is_one_line_in_the_words_of_the_schema(world: Any, told: Any) -> None:
    world.settings = Settings(access_log=True)
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-ID": "r-1"}
    (response,) = ask(world, PREDICT, headers=headers)
    (line,) = [line for line in told() if line["log.logger"] == ACCESS]
    span = response.headers["traceparent"].split("-")[2]
    expected = {
        "ecs.version": "8.11.0",
        "log.level": "info",
        "message": "POST /predict/{model}",
        "service.name": "homes",
        "event.kind": "event",
        "event.category": ["web"],
        "event.outcome": "success",
        "http.request.id": "r-1",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.response.body.bytes": len(response.content),
        "url.path": "/predict/valuation",
        "labels.model": "valuation",
        "trace.id": TRACE,
        "transaction.id": span,
        "span.id": span,
    }
    assert {name: line[name] for name in expected} == expected
    assert line["event.duration"] > 0
    assert line["@timestamp"].endswith("+00:00")


def test_without_the_access_log_only_what_the_server_failed_at_is_told(world: Any, told: Any) -> None:
    ask(world, PREDICT, ("POST", "/predict", {}))
    assert [line for line in told() if line["log.logger"] == ACCESS] == []
    world.source.homes.failure = FeatureStoreError("store", "the password is hunter2")
    ask(world, PREDICT)
    messages = [line["message"] for line in told() if line.get("http.response.status_code") == 503]
    assert "store: the password is ***." in messages
    assert "POST /predict/{model}" in messages


def test_an_error_is_told_with_its_stack_and_secrets_are_masked(world: Any, told: Any) -> None:
    world.source.homes.failure = None
    logging.getLogger("stackwright.serving").error("hunter2", exc_info=ValueError("it is hunter2"))
    (line,) = told()
    assert (line["message"], line["error.type"], line["error.message"]) == ("***", "ValueError", "it is ***")
    assert line["error.stack_trace"].endswith("ValueError: it is ***")


@pytest.mark.parametrize("text", ["half \ud800", "line\nbreak", "\x00\x1b[31m"], ids=["half", "break", "control"])
def test_whatever_a_client_sends_stays_one_line(text: str) -> None:
    stream = io.BytesIO()
    handler = Lines(stream)
    handler.setFormatter(EcsFormatter())
    record = logging.LogRecord(ACCESS, logging.INFO, "", 0, text, None, None)
    record.ecs = {"url.path": text, "labels.number": 2**70}
    handler.emit(record)
    handler.flush()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["log.logger"] == ACCESS


def test_nobody_waits_for_who_reads_the_log_slowly() -> None:
    release = threading.Event()

    class Stuck(io.BytesIO):
        def write(self, data: Any) -> int:
            release.wait(10)
            return len(data)

    handler = Lines(Stuck())
    record = logging.LogRecord("x", logging.INFO, "", 0, "line", None, None)
    for _ in range(25_000):
        handler.emit(record)
    release.set()
    assert handler.dropped >= 1_000


class Receiver(BaseHTTPRequestHandler):
    """Takes traces as OTLP over HTTP."""

    taken: list[tuple[dict[str, str], Any]]

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        type(self).taken.append((dict(self.headers), ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        return None


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    handler = type("Handler", (Receiver,), {"taken": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.taken
    server.shutdown()
    server.server_close()
    thread.join()


def spans(taken: list[Any]) -> list[Any]:
    return [
        span
        for _, request in taken
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def trace(world: Any, url: str, *requests: Any, headers: Any = None, **options: Any) -> list[httpx.Response]:
    world.settings = Settings(traces=url, trace_headers={"x-key": "k"}, **options)
    world.tracing = telemetry.open_tracing(world.settings, {"service.name": "homes", "service.version": "1"})
    reads = Reads(world.settings, Metrics(), world.tracing)
    world.source.homes = GuardedReader(world.source.homes, {}, reads)
    return ask(world, *requests, headers=headers)


def test_a_request_and_its_read_are_sent_as_spans_of_the_clients_trace(
    world: Any, receiver: tuple[str, list[Any]]
) -> None:
    url, taken = receiver
    (response,) = trace(world, url, PREDICT, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    read, request = sorted(spans(taken), key=lambda span: span.name, reverse=True)
    assert (request.name, read.name) == ("POST /predict/{model}", "read features")
    assert request.trace_id.hex() == read.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == SPAN
    assert read.parent_span_id == request.span_id
    assert response.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    attributes = {item.key: item.value for item in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    given, sent = taken[0]
    assert given["x-key"] == "k"
    resource = {item.key: item.value.string_value for item in sent.resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.version"]) == ("homes", "1")


def test_a_client_that_does_not_record_its_trace_is_followed_and_a_share_of_none_sends_nothing(
    world: Any, receiver: tuple[str, list[Any]]
) -> None:
    url, taken = receiver
    trace(world, url, PREDICT, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    (response,) = trace(world, url, PREDICT, trace_share=0.0)
    assert spans(taken) == []
    assert int(response.headers["traceparent"].rpartition("-")[2], 16) & 1 == 0


def test_a_receiver_that_is_away_costs_no_answer(world: Any) -> None:
    (response,) = trace(world, "http://127.0.0.1:9", PREDICT, timeout=0.5)
    assert response.status_code == 200


def test_nothing_is_traced_unless_it_is_asked_for() -> None:
    assert telemetry.open_tracing(Settings(), {}) is None
