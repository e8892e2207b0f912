"""One HTTP exchange: request id, body within limits, errors as JSON, counted and logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stackwright_interfaces.errors import (
    DataError,
    FeatureStoreError,
    ModelError,
    ModelNotFound,
    PredictionError,
    StackwrightError,
    StoreTimeout,
    UnknownName,
    UsageError,
)
from stackwright_serving.ids import request_id, trace_id
from stackwright_serving.json_input import InvalidJson, parse
from stackwright_serving.metrics import Metrics
from stackwright_serving.settings import Settings

log = logging.getLogger("stackwright.serving")

_STATUS: Final[tuple[tuple[type[StackwrightError], int], ...]] = (
    (InvalidJson, 400),
    (UsageError, 400),
    (ModelNotFound, 404),
    (UnknownName, 404),
    (DataError, 422),
    (PredictionError, 422),
    (StoreTimeout, 504),
    (FeatureStoreError, 503),
    (ModelError, 500),
)


class Refused(UsageError):
    """A request refused for its form, with the status that says so."""

    def __init__(self, status: int, found: str, todo: str = "") -> None:
        self.status = status
        super().__init__("request", found, todo)


@dataclass
class Exchange:
    """What an endpoint gets: the request and what was learned of it."""

    request: Request
    settings: Settings
    id: str
    trace: str

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            Refused: it is larger than allowed (413), found while it streams in.
        """
        limit = self.settings.max_body
        declared = self.request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise Refused(413, f"the body has {declared} bytes", f"Send at most {limit}.")
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > limit:
                raise Refused(413, f"the body has more than {limit} bytes", "Send several requests.")
            parts.append(part)
        return b"".join(parts)

    async def json(self) -> Any:
        """Return the value of a JSON body.

        Raises:
            Refused: the body is declared to be something else (415), or is encoded.
            InvalidJson: it is not strict JSON.
        """
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise Refused(415, f"the content type is {kind!r}", "Send application/json.")
        encoding = self.request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise Refused(415, f"the content encoding is {encoding!r}", "Send the body as it is.")
        return parse(await self.body(), max_depth=self.settings.max_depth)


Endpoint = Callable[[Exchange], Awaitable[Response]]


def answer(document: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


def endpoint(
    route: str, function: Endpoint, settings: Settings, metrics: Metrics
) -> Callable[[Request], Awaitable[Response]]:
    """Wrap an endpoint: whatever happens, the client gets JSON with the request's id, and it is counted."""
    latency = metrics.latency.labels(route)

    async def run(request: Request) -> Response:
        started = time.perf_counter()
        exchange = Exchange(
            request,
            settings,
            request_id(request.headers.get("x-request-id")),
            trace_id(request.headers.get("traceparent")),
        )
        try:
            response = await function(exchange)
        except ClientDisconnect:
            response = Response(status_code=499)
        except StackwrightError as error:
            response = _failed(exchange, error)
        except Exception:
            log.exception("request failed", extra={"ecs": _fields(exchange, 500)})
            response = answer({"error": "The server failed.", "request_id": exchange.id}, 500)
        response.headers["X-Request-ID"] = exchange.id
        took = time.perf_counter() - started
        latency.observe(took)
        metrics.requests.labels(route, str(response.status_code)).inc()
        if log.isEnabledFor(logging.DEBUG) or response.status_code >= 500:
            log.info(
                "%s %s",
                request.method,
                route,
                extra={"ecs": {**_fields(exchange, response.status_code), "event.duration": int(took * 1e9)}},
            )
        return response

    return run


def _failed(exchange: Exchange, error: StackwrightError) -> Response:
    return answer({"error": str(error), "request_id": exchange.id}, status_of(error))


def status_of(error: StackwrightError) -> int:
    """Return the HTTP status that an error is answered with."""
    if isinstance(error, Refused):
        return error.status
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def _fields(exchange: Exchange, status: int) -> dict[str, Any]:
    return {
        "http.request.id": exchange.id,
        "http.request.method": exchange.request.method,
        "http.response.status_code": status,
        "url.path": exchange.request.url.path,
        "trace.id": exchange.trace,
    }
