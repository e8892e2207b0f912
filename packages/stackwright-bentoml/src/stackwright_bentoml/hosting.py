"""An ASGI application inside a BentoML worker: its lifespan, which BentoML does not run, and requests from within."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import takewhile
from threading import Event, Thread
from typing import Any

from stackwright_bentoml.orders import Channel, Orders, Word
from stackwright_interfaces.errors import ServerError, StackwrightError

log = logging.getLogger("stackwright_bentoml")

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class Host:
    """The application of a worker. BentoML mounts the host; the application is made when the worker starts.

    Args:
        orders: what to host.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._application: Application | None = None
        self._lifespan: asyncio.Task[None] | None = None
        self._to_application: asyncio.Queue[Message] = asyncio.Queue()
        self._from_application: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Hand a request over; where the application fails before it answers, answer 500.

        BentoML would wait for an answer until its timeout.
        """
        assert self._application is not None, "BentoML starts a worker before it serves"
        answered = False

        async def note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._application(scope, receive, note)
        except Exception:
            if answered or scope["type"] != "http":
                raise
            log.exception("a request failed")
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    async def start(self) -> None:
        """Make the application and start its lifespan; tell the server how that went.

        Raises:
            ServerError: it does not start.
        """
        channel, ready = self._orders.channel, Event()
        if channel is not None:
            Word("begun", os.getpid()).say(channel)
            end_with_parent(channel, ready)
        try:
            self._application = _load(self._orders)
            self._lifespan = asyncio.create_task(self._live(self._application))
            await self._phase("startup")
        except Exception as error:
            if channel is not None:
                Word("failed", os.getpid(), _describe(error)).say(channel)
            raise
        ready.set()
        if channel is not None:
            Word("ready", os.getpid()).say(channel)

    async def stop(self) -> None:
        """End the application's lifespan."""
        if self._lifespan is not None:
            await self._phase("shutdown")
            await self._lifespan
            self._lifespan = None

    async def ask(self, path: str, document: Any) -> tuple[int, Any]:
        """Post a JSON document to the application; return the status and the document it answers."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": None,
            "server": None,
        }
        answered: list[Message] = []
        asked = iter([{"type": "http.request", "body": json.dumps(document).encode(), "more_body": False}])

        async def receive() -> Message:
            return next(asked, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            answered.append(message)

        await self(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in answered)
        return int(answered[0]["status"]), json.loads(body)

    async def _live(self, application: Application) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        await application(scope, self._to_application.get, self._from_application.put)

    async def _phase(self, name: str) -> None:
        """Have the application start or shut down.

        Raises:
            ServerError: it says that it cannot.
        """
        assert self._lifespan is not None
        await self._to_application.put({"type": f"lifespan.{name}"})
        answer = asyncio.ensure_future(self._from_application.get())
        await asyncio.wait({answer, self._lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            self._lifespan.result()
            raise ServerError("application", f"its lifespan ended in {name}")
        if answer.result()["type"] != f"lifespan.{name}.complete":
            raise ServerError("application", _ending(answer.result().get("message", "")) or f"its {name} failed")


def end_with_parent(channel: Channel, ready: Event | None = None) -> None:
    """End this process when the server is to end, or has died: in order where it is ready, else at once.

    Args:
        channel: to the server.
        ready: whether requests are accepted; ``None`` for a process that accepts none.
    """

    def watch() -> None:
        with suppress(OSError):
            while os.read(channel.parent, 1):
                pass
        if ready is None or ready.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(channel.grace)
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


def _load(orders: Orders) -> Application:
    """Make the application in the surroundings that were asked for; BentoML changes some of them."""
    os.environ.update(orders.environment)
    if orders.folder:
        os.chdir(orders.folder)
    sys.path.extend(place for place in orders.path if place not in sys.path)
    module, _, name = orders.factory.partition(":")
    application: Application = getattr(importlib.import_module(module), name)()
    return application


def _describe(error: BaseException) -> str:
    if isinstance(error, ServerError) and error.where == "application":
        return error.found
    return str(error) if isinstance(error, StackwrightError) else f"{type(error).__name__}: {error}"


def _ending(text: str) -> str:
    """Return what a traceback ends with, which may take several lines; other text as it is."""
    if not text.startswith("Traceback"):
        return text
    message = takewhile(lambda line: not line.startswith(" "), reversed(text.splitlines()))
    return "\n".join(reversed(list(message)))
