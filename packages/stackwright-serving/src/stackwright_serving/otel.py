"""Traces by OpenTelemetry, sent as OTLP over HTTP: the extra ``stackwright-serving[otel]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry import context as contexts
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from stackwright_serving.exchange import Exchange
from stackwright_serving.settings import Settings
from stackwright_serving.telemetry import Part, Span
from stackwright_serving.trace_context import Trace

WAIT: Final = 1.0
"""Seconds between two sendings."""

_SERVER_ERROR: Final = 500


class OtelTracing:
    """Sends a span for each request, and one for each read of features below it.

    Args:
        settings: the receiver, and which traces are sent.
        resource: what is said of this server: ``service.name`` and such.
    """

    def __init__(self, settings: Settings, resource: Mapping[str, str]) -> None:
        address = settings.traces.rstrip("/")
        address = address if address.endswith("/v1/traces") else f"{address}/v1/traces"
        exporter = OTLPSpanExporter(address, headers=dict(settings.trace_headers), timeout=settings.timeout)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.trace_share)),
            resource=Resource.create(dict(resource)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=int(WAIT * 1000)))
        self._tracer = self._provider.get_tracer("stackwright_serving")

    def begin(self, exchange: Exchange) -> Span:
        """Note that a request came; its ``trace`` is set to where it stands in a trace now."""
        given = exchange.trace
        parent = contexts.Context() if given is None else _remote(given)
        span = self._tracer.start_span(exchange.method, parent, SpanKind.SERVER)
        made = span.get_span_context()
        exchange.trace = Trace(
            f"{made.trace_id:032x}",
            "" if given is None else given.parent,
            f"{made.span_id:016x}",
            f"{made.trace_flags:02x}",
            "" if given is None else given.state,
        )
        return _Request(span)

    def begin_part(self, name: str) -> Part:
        """Note that a part of the present request's way begins."""
        part: Part = self._tracer.start_span(name)
        return part

    def close(self) -> None:
        """Send what waits to be sent."""
        self._provider.shutdown()


class _Request:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        self._token = contexts.attach(set_span_in_context(span))

    def end(self, exchange: Exchange, route: str, status: int) -> None:
        contexts.detach(self._token)
        span = self._span
        if span.is_recording():
            span.update_name(f"{exchange.method} {route}")
            span.set_attributes(
                {
                    "http.request.method": exchange.method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "url.path": exchange.path[:512],
                    "stackwright.request_id": exchange.id,
                }
            )
            if status >= _SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
        span.end()


def _remote(given: Trace) -> contexts.Context:
    """Return a context whose span is the client's."""
    span = SpanContext(
        trace_id=int(given.id, 16),
        span_id=int(given.parent, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(given.flags, 16)),
        trace_state=TraceState.from_header([given.state] if given.state else []),
    )
    return set_span_in_context(NonRecordingSpan(span), contexts.Context())
