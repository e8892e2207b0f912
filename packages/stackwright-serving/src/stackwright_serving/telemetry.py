"""What a request's way through the server is told to, where it is traced; without a tracer nothing is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stackwright_interfaces.errors import ServerError
from stackwright_serving.exchange import Exchange
from stackwright_serving.settings import Settings


class Part(Protocol):
    """A part of a request's way that has begun."""

    def end(self) -> None:
        """Note its end."""
        ...


class Span(Protocol):
    """The way of one request, which has begun."""

    def end(self, exchange: Exchange, route: str, status: int) -> None:
        """Note its end."""
        ...


class Tracing(Protocol):
    """Takes note of requests."""

    def begin(self, exchange: Exchange) -> Span:
        """Note that a request came; its ``trace`` is set to where it stands in a trace now."""
        ...

    def begin_part(self, name: str) -> Part:
        """Note that a part of the present request's way begins."""
        ...

    def close(self) -> None:
        """Send what waits to be sent."""
        ...


def open_tracing(settings: Settings, resource: Mapping[str, str]) -> Tracing | None:
    """Return what sends traces, or ``None`` where none are to be sent.

    Args:
        resource: what is said of this server: ``service.name`` and such.

    Raises:
        ServerError: OpenTelemetry is not installed.
    """
    if not settings.traces:
        return None
    try:
        from stackwright_serving.otel import OtelTracing
    except ImportError as error:
        todo = "Run: pip install 'stackwright-serving[otel]'"
        raise ServerError("[serving] traces", f"OpenTelemetry cannot be used ({error})", todo) from error
    return OtelTracing(settings, resource)
