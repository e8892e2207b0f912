"""A server that hosts another application than it is given: one that rounds, and lets mistakes pass."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from crooked_plugin import CrookedConfig

from stackwright_interfaces.plugin import Context
from stackwright_interfaces.server import App, Server
from stackwright_uvicorn.plugin import UvicornConfig
from stackwright_uvicorn.server import UvicornServer

HOSTED = "CROOKED_HOSTED"


class CrookedServer(Server):
    """Its vice is to be ``careless``, or to be ``failing`` before it is ready."""

    def __init__(self, config: CrookedConfig, context: Context) -> None:
        self._vice = config.vice
        self._server = UvicornServer(UvicornConfig(port=0), context)

    def serve(self, app: App, ready: Callable[[str], None]) -> None:
        if self._vice == "failing":
            raise RuntimeError("the server is full of eels")
        if self._vice == "careless":
            app = replace(app, factory="crooked_server:careless", environment={**app.environment, HOSTED: app.factory})
        self._server.serve(app, ready)

    def close(self) -> None:
        self._server.close()


def careless() -> Any:
    """Return the application of the trial, with answers that are rounded and unknown paths that are welcome."""
    module, _, name = os.environ[HOSTED].partition(":")
    hosted = getattr(import_module(module), name)()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        began: dict[str, Any] = {}

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                began.update(message, status=200 if message["status"] == 404 else message["status"])
            elif message["type"] == "http.response.body":
                body = _rounded(message["body"])
                others = [item for item in began["headers"] if item[0] != b"content-length"]
                await send({**began, "headers": [*others, (b"content-length", str(len(body)).encode())]})
                await send({**message, "body": body})
            else:
                await send(message)

        await hosted(scope, receive, sent)

    return application


def _rounded(body: bytes) -> bytes:
    document = json.loads(body)
    for row in document.get("predictions", ()):
        row["value"] = float(round(row["value"]))
    return json.dumps(document, separators=(",", ":")).encode()
