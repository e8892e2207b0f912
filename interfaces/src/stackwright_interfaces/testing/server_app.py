"""A tiny ASGI application for the server's kit: what a test wants to know, it writes into a folder.

Only the standard library is imported, so that a worker starts at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

FOLDER: Final = "STACKWRIGHT_KIT_FOLDER"
"""Variable with the folder that the application writes into."""

COLOUR: Final = "STACKWRIGHT_KIT_COLOUR"
"""Variable that the application reads when it is imported."""

COLOUR_SEEN: Final = os.environ.get(COLOUR, "")

ACCEPTED: Final = "accepted"
"""File that is there once ``/slow`` was asked for."""

GO: Final = "go"
"""File that lets ``/slow`` answer, and the application of :func:`slow_starting` start."""

_HELD: Final[list[IO[str]]] = []

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def application() -> Application:
    """Return an application that starts at once."""
    return _application(_nothing)


def slow_starting() -> Application:
    """Return an application that starts when it is let."""
    return _application(_permission)


def refusing() -> Application:
    """Return an application that says in its lifespan that it cannot start."""
    return _application(_refusal)


def raising() -> Application:
    """Return an application whose lifespan raises."""
    return _application(_failure)


def impossible() -> Application:
    """Raise: there is no application.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("the plan is\ntorn")


def living(folder: Path) -> set[int]:
    """Return the workers that opened their application and still live: each holds a lock as long as it lives."""
    return {int(path.name) for path in (folder / "workers").glob("*") if not _free(path)}


def closed(folder: Path) -> set[int]:
    """Return the workers that closed their application in order."""
    return {int(path.name) for path in (folder / "closed").glob("*")}


def _free(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class _Refused(Exception):
    """The application says that it cannot start."""


async def _nothing(_folder: Path) -> None:
    return None


async def _permission(folder: Path) -> None:
    while not (folder / GO).exists():
        await asyncio.sleep(0.02)


async def _refusal(_folder: Path) -> None:
    raise _Refused("the registry is away")


async def _failure(_folder: Path) -> None:
    raise RuntimeError("the store is shut")


def _application(start: Callable[[Path], Awaitable[None]]) -> Application:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        folder = Path(os.environ[FOLDER])
        if scope["type"] == "lifespan":
            await _lifespan(folder, start, receive, send)
        else:
            body = await _body(receive)
            answer = await _answer(folder, scope["path"], body)
            headers = [(b"content-length", str(len(answer)).encode("ascii"))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    return application


async def _lifespan(folder: Path, start: Callable[[Path], Awaitable[None]], receive: Receive, send: Send) -> None:
    await receive()
    _stay_locked(folder)
    try:
        await start(folder)
    except _Refused as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    (folder / "closed").mkdir(exist_ok=True)
    (folder / "closed" / str(os.getpid())).touch()
    await send({"type": "lifespan.shutdown.complete"})


def _stay_locked(folder: Path) -> None:
    (folder / "workers").mkdir(exist_ok=True)
    file = (folder / "workers" / str(os.getpid())).open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    _HELD.append(file)


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _answer(folder: Path, path: str, body: bytes) -> bytes:
    match path:
        case "/echo":
            return body
        case "/slow":
            (folder / ACCEPTED).touch()
            await _permission(folder)
        case "/busy":
            time.sleep(0.1)
        case "/broken":
            raise RuntimeError("a request that fails")
    return json.dumps({"pid": os.getpid(), "colour": COLOUR_SEEN}).encode()
