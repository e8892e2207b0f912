"""The application inside a worker; no BentoML is needed for this."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_bentoml.hosting import Host
from stackwright_bentoml.orders import Channel, Orders, Word
from stackwright_bentoml.plugin import BentoMLConfig
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.listening import listening, turn_away
from stackwright_interfaces.server import App

SOURCE = """
import json, os

def make():
    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with open("closed", "w"):
                pass
            await send({"type": "lifespan.shutdown.complete"})
            return
        asked = json.loads((await receive())["body"])
        if asked.get("rows") == "boom":
            raise RuntimeError("secret")
        answer = {"path": scope["path"], "asked": asked, "colour": os.environ["COLOUR"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
    return application
"""


def orders(app: App, folder: Path, **more: Any) -> Orders:
    environment = {"COLOUR": "blue"}
    return Orders(factory=app.factory, environment=environment, folder=str(folder), path=(str(folder),), **more)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host changes in its process is put back."""
    monkeypatch.setenv("COLOUR", "none")
    monkeypatch.chdir(Path.cwd())


@pytest.mark.usefixtures("surroundings")
def test_the_application_is_made_started_asked_and_closed(written: Callable[[str], App], tmp_path: Path) -> None:
    host = Host(orders(written(SOURCE), tmp_path))

    async def run() -> tuple[int, Any]:
        await host.start()
        answer = await host.ask("/predict", {"rows": [1]})
        await host.stop()
        return answer

    assert asyncio.run(run()) == (200, {"path": "/predict", "asked": {"rows": [1]}, "colour": "blue"})
    assert (tmp_path / "closed").exists()


@pytest.mark.usefixtures("surroundings")
def test_an_application_that_fails_before_it_answers_is_answered_with_500(
    written: Callable[[str], App], tmp_path: Path
) -> None:
    host = Host(orders(written(SOURCE), tmp_path))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"rows": "boom"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await host.start()
        await host({"type": "http", "path": "/"}, receive, send)
        await host.stop()

    asyncio.run(run())
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]


REFUSING = '''
MESSAGE = """Traceback (most recent call last):
  File "app.py", line 1, in lifespan
    check()
ValueError: the registry is away:
no route to host
"""

def make():
    async def application(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": MESSAGE})
    return application
'''

ENDING = """
def make():
    async def application(scope, receive, send):
        return
    return application
"""


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize(
    ("source", "words"),
    [(REFUSING, "ValueError: the registry is away: no route to host"), (ENDING, "its lifespan ended in startup")],
)
def test_why_an_application_does_not_start_is_said_in_one_line(
    written: Callable[[str], App], tmp_path: Path, source: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "written_app", raising=False)
    (parent, hold), (heard, said) = os.pipe(), os.pipe()
    channel = Channel(parent=parent, words=said, listener=0, grace=1.0)
    told = orders(written(source), tmp_path, channel=channel)
    monkeypatch.setattr("stackwright_bentoml.hosting.end_with_parent", lambda *_: None)
    with pytest.raises(ServerError):
        asyncio.run(Host(told).start())
    begun, failed = (Word(**json.loads(line)) for line in os.read(heard, 65_536).splitlines())
    assert (begun.kind, failed.kind, failed.text) == ("begun", "failed", words)
    for end in (parent, hold, heard, said):
        os.close(end)


def test_orders_cross_as_they_are() -> None:
    channel = Channel(parent=3, words=4, listener=5, grace=2.5)
    told = Orders(factory="a:b", environment={"X": "größer"}, path=("/p",), batch="/predict", channel=channel)
    assert Orders.from_json(told.to_json()) == told


def test_a_word_however_long_is_one_line_that_is_written_whole() -> None:
    heard, said = os.pipe()
    Word("failed", 7, "ü\n" * 100_000).say(Channel(parent=0, words=said, listener=0, grace=0.0))
    line = os.read(heard, 65_536)
    assert len(line) <= 4096
    assert line.endswith(b"\n")
    os.close(heard)
    os.close(said)


def test_whoever_comes_after_the_door_was_closed_is_not_let_in() -> None:
    with listening("127.0.0.1", 0, 8) as listener, listener.dup() as theirs:
        turn_away(listener)
        theirs.settimeout(0.2)
        port = theirs.getsockname()[1]
        import socket

        with pytest.raises(OSError):  # noqa: PT011  # refused or unanswered, as the platform has it
            socket.create_connection(("127.0.0.1", port), 0.2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", ""),
        ("port", 70_000),
        ("workers", 0),
        ("drain", -1),
        ("keep_alive", -1),
        ("timeout", 0.0),
        ("backlog", 1),
        ("start", 0.0),
        ("batch", "predict"),
        ("batch_size", 0),
        ("batch_latency", 0.0),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{option} is {value!r}, must be "):
        BentoMLConfig(**{option: value})
