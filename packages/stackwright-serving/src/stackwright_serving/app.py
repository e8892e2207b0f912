"""The ASGI application: finds the endpoint, lets in who may ask, and turns whatever happens into an answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from stackwright_interfaces.errors import StackwrightError
from stackwright_serving.exchange import OURS, Exchange, Receive, Response, answer, failed
from stackwright_serving.logs import ACCESS
from stackwright_serving.metrics import Metrics
from stackwright_serving.refused import ClientLeft, Refused
from stackwright_serving.routes import routes
from stackwright_serving.routing import Access, Route, Router
from stackwright_serving.state import State
from stackwright_serving.telemetry import Span
from stackwright_serving.tokens import Tokens
from stackwright_serving.upkeep import Upkeep

Opener = Callable[[AsyncExitStack, Metrics], State]
Message = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("stackwright.serving")
access_log = logging.getLogger(ACCESS)

_LEFT = 499
"""Status of a request whose client left, as web servers log it; nobody receives it."""


def create_app(open_state: Opener, started: Callable[[], None] = lambda: None) -> Application:
    """Return the application.

    Args:
        open_state: called when the lifespan starts, not before; what it pushes onto the exit stack is closed when the
            lifespan ends.
        started: called once everything is loaded, before the first request.
    """
    return Application(open_state, started)


class Application:
    """An ASGI 3 application. It opens nothing before its lifespan starts."""

    def __init__(self, open_state: Opener, started: Callable[[], None] = lambda: None) -> None:
        self._open_state = open_state
        self._started = started
        self._metrics = Metrics()
        self._gate: Gate | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a connection of a server."""
        if scope["type"] == "http":
            assert self._gate is not None, "a server starts the lifespan before it sends requests"
            await self._gate.answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[State]:
        """Open what endpoints need, and close it at the end of the block."""
        async with AsyncExitStack() as opened:
            state = self._open_state(opened, self._metrics)
            if state.tracing is not None:
                opened.push_async_callback(asyncio.to_thread, state.tracing.close)
            state.work.start()
            opened.push_async_callback(state.work.stop)
            await state.host.start()
            opened.push_async_callback(state.host.stop)
            if state.recommenders is not None:
                await state.recommenders.start()
                opened.push_async_callback(state.recommenders.stop)
            upkeep = Upkeep(state)
            upkeep.start()
            opened.push_async_callback(upkeep.stop)
            self._gate = Gate(state)
            self._started()
            yield state
            state.draining = True

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except StackwrightError as error:
            phase = "startup" if self._gate is None else "shutdown"
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


class Gate:
    """What every request passes on its way to its endpoint and back.

    Args:
        state: what all endpoints share.
    """

    def __init__(self, state: State) -> None:
        settings = state.settings
        self._state = state
        self._settings = settings
        self._metrics = state.metrics
        self._router = Router(routes(state))
        predict = Tokens(settings.tokens, open_without=True)
        told = Tokens((*settings.tokens, *settings.admin_tokens) if settings.tokens else (), open_without=True)
        admin = Tokens(settings.admin_tokens, open_without=False)
        self._tokens = {Access.PREDICT: predict, Access.TOLD: told, Access.ADMIN: admin}

    async def answer(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        exchange = Exchange(scope, receive, self._settings)
        tracing = self._state.tracing
        span: Span | None = None if tracing is None else tracing.begin(exchange)
        response, path = await self._response(exchange)
        status = response.status
        try:
            if status != _LEFT:
                await _send(response, exchange, send)
        finally:
            took = time.perf_counter() - started
            self._metrics.answered(path, status, took)
            if span is not None:
                span.end(exchange, path, status)
            if status >= 500 or self._settings.access_log:
                self._log(exchange, path, response, took)
            if response.after is not None:
                self._do(response.after, exchange)

    async def _response(self, exchange: Exchange) -> tuple[Response, str]:
        """Return the response, and the path of the route it came from."""
        path = ""
        try:
            route = self._route(exchange)
            path = route.path
            if not route.limited:
                return await route.endpoint(exchange), path
            self._state.work.enter(exchange)
            try:
                return await route.endpoint(exchange), path
            finally:
                self._state.work.leave(exchange)
        except StackwrightError as error:
            return self._failed(exchange, error), path
        except ClientLeft:
            return Response(status=_LEFT), path
        except asyncio.CancelledError:
            if not exchange.late:
                raise
            if exchange.task is not None:
                exchange.task.uncancel()
            return self._late(exchange), path
        except Exception:
            log.exception("a request failed", extra={"ecs": _fields(exchange, 500)})
            return answer({"error": OURS, "request_id": exchange.id}, 500), path

    def _route(self, exchange: Exchange) -> Route:
        """Return the route of a request that may be asked by who asks.

        Raises:
            Refused: there is none, its headers are too long, or its token does not fit.
        """
        if exchange.size > self._settings.max_head:
            raise Refused(431, f"the headers have {exchange.size} bytes", f"Send at most {self._settings.max_head}.")
        route, names = self._router.find(exchange.method, exchange.path)
        exchange.model, exchange.version, exchange.job = names.get("model"), names.get("version"), names.get("job")
        if route.access is not Access.OPEN:
            tokens = self._tokens[route.access]
            if tokens.asked and not tokens.open(exchange.headers.get(b"authorization", b"")):
                self._metrics.refused.labels("token").inc()
                raise Refused(401, "no token that fits", "Send: Authorization: Bearer TOKEN")
        return route

    def _failed(self, exchange: Exchange, error: StackwrightError) -> Response:
        response = failed(exchange, error)
        if response.status == 401:
            response.headers.append((b"www-authenticate", b'Bearer realm="stackwright"'))
        elif response.status == 503 and isinstance(error, Refused):
            self._metrics.refused.labels("busy").inc()
        elif response.status >= 500:
            log.warning("%s", error, extra={"ecs": _fields(exchange, response.status)})
        return response

    def _late(self, exchange: Exchange) -> Response:
        self._metrics.refused.labels("late").inc()
        status, what = (504, "answered") if exchange.whole else (408, "received whole")
        found = f"it was not {what} within {self._settings.timeout:g} s"
        return failed(exchange, Refused(status, found, "Ask for less, or ask again later."))

    def _do(self, after: Callable[[], None], exchange: Exchange) -> None:
        try:
            after()
        except Exception:
            log.exception("an answered request was not noted", extra={"ecs": _fields(exchange, 200)})

    def _log(self, exchange: Exchange, path: str, response: Response, took: float) -> None:
        fields = {
            **_fields(exchange, response.status),
            "event.kind": "event",
            "event.category": ["web"],
            "event.type": ["access"],
            "event.dataset": ACCESS,
            "event.outcome": "success" if response.status < 400 else "failure",
            "event.duration": int(took * 1e9),
            "http.request.body.bytes": exchange.received,
            "http.response.body.bytes": len(response.body),
        }
        access_log.info("%s %s", exchange.method, path or "unknown", extra={"ecs": fields})


async def _send(response: Response, exchange: Exchange, send: Send) -> None:
    headers = [*response.headers, (b"x-request-id", exchange.id.encode("latin-1"))]
    if exchange.trace is not None:
        headers.extend(exchange.trace.answer)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _fields(exchange: Exchange, status: int) -> dict[str, Any]:
    """Return what a line says of a request."""
    fields = {
        "http.request.id": exchange.id,
        "http.request.method": exchange.method,
        "http.response.status_code": status,
        "url.path": exchange.path[:512],
    }
    if exchange.model:
        fields["labels.model"] = exchange.model
    if exchange.trace is not None:
        trace = exchange.trace
        fields |= {"trace.id": trace.id, "transaction.id": trace.span, "span.id": trace.span}
    return fields
