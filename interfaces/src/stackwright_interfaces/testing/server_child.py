"""A server under test in a process of its own, which can be killed; and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.server import App
from stackwright_interfaces.testing import server_app

PATIENCE: Final = 180.0
"""Seconds after which something that should have happened counts as never happening; servers give up sooner."""

SOON: Final = 10.0
"""Seconds within which a server with nothing left to do ends, on a machine with nothing else to do."""

_SERVE: Final = """
import importlib, json, pickle, sys
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.testing.context import make_context

factory, config, folder, app = pickle.load(sys.stdin.buffer)
module, _, name = factory.partition(":")
server = getattr(importlib.import_module(module), name)(config, make_context(folder))
with (folder / "said.jsonl").open("w", buffering=1) as said:
    try:
        server.serve(app, lambda url: said.write(json.dumps({"ready": url}) + chr(10)))
    except ServerError as error:
        said.write(json.dumps({"error": str(error)}) + chr(10))
        sys.exit(1)
    finally:
        server.close()
"""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def pid(self) -> int:
        """The worker that answered."""
        return int(json.loads(self.body)["pid"])

    @property
    def colour(self) -> str:
        """The variable that it saw when it imported the application."""
        return str(json.loads(self.body)["colour"])


class Running:
    """A server in a child process.

    Args:
        spec: of the server.
        config: its configuration.
        folder: an empty folder: the project, and what server and application say.
        factory: function of :mod:`~stackwright_interfaces.testing.server_app`.
        environment: more variables for the application.
    """

    def __init__(
        self,
        spec: AdapterSpec,
        config: Any,
        folder: Path,
        factory: str = "application",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / "plan.json"
        plan.write_text("{}")
        variables = {server_app.FOLDER: str(folder), **(environment or {})}
        app = App(factory=f"{server_app.__name__}:{factory}", plan=plan, environment=variables)
        self.folder = folder
        with (folder / "log.txt").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        assert self.process.stdin is not None
        with self.process.stdin as orders:
            pickle.dump((spec.factory, config, folder, app), orders)

    @property
    def said(self) -> list[dict[str, str]]:
        """``{"ready": url}`` for each call of ``ready``, then ``{"error": words}`` where it raised a ServerError."""
        path = self.folder / "said.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log.txt").read_text(errors="replace")

    @property
    def workers(self) -> set[int]:
        """Its workers that live, from when they open the application."""
        return server_app.living(self.folder)

    @property
    def soon(self) -> float:
        """Seconds within which it ends with nothing left to do; as many as its workers took to start, if more."""
        begun = (self.folder / "plan.json").stat().st_mtime
        opened = [path.stat().st_mtime for path in (self.folder / "workers").glob("*")]
        return max([SOON, *(moment - begun for moment in opened)])

    @property
    def error(self) -> str:
        """The words of the one error that it said, having never been ready."""
        told = self.said
        assert [[*line] for line in told] == [["error"]], f"one error was to be told, but {told}: {self.log}"
        return told[0]["error"]

    def await_workers(self, count: int = 1) -> None:
        """Wait until so many workers have opened the application."""
        until(lambda: len(self.workers) >= count or self.process.poll() is not None)
        assert len(self.workers) >= count, f"the server ended with code {self.process.poll()}: {self.log}"

    def url(self) -> str:
        """Wait until it is ready, and return the base URL."""
        until(lambda: self.said or self.process.poll() is not None)
        assert self.said, f"the server ended with code {self.process.poll()} before it was ready: {self.log}"
        assert "ready" in self.said[0], f"the server did not start: {self.said[0]} {self.log}"
        return self.said[0]["ready"]

    def ask(self, path: str = "/", body: bytes | None = None, *, timeout: float = PATIENCE) -> Answer:
        """Send a request over a connection of its own.

        Raises:
            OSError: it does not answer.
            http.client.HTTPException: it does not answer with HTTP.
        """
        connection = self.connect(timeout)
        try:
            return ask(connection, path, body)
        finally:
            connection.close()

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        """Return a connection."""
        return http.client.HTTPConnection(urlsplit(self.url()).netloc, timeout=timeout)

    def answers(self) -> Answer | None:
        """Send a request; return ``None`` where it is not answered."""
        try:
            return self.ask(timeout=5.0)
        except (OSError, http.client.HTTPException):
            return None

    def listens(self) -> bool:
        """Whether connections are taken at its address."""
        address = urlsplit(self.url())
        try:
            socket.create_connection((str(address.hostname), address.port or 80), timeout=0.5).close()
        except OSError:
            return False
        return True

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def let_go(self) -> None:
        """Let slow requests be answered, and a slow application start."""
        (self.folder / server_app.GO).touch()

    def end(self) -> int:
        """Wait for its end, and return the exit code."""
        return self.process.wait(PATIENCE)

    def clear(self) -> None:
        """Kill it and all its workers, if they live."""
        self.process.kill()
        self.process.wait()
        for pid in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.workers, PATIENCE)


def ask(connection: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> Answer:
    """Send a request over a connection."""
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    return Answer(response.status, response.read())


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not come about.
    """
    assert wait_for(condition, seconds), f"waited {seconds:g} s in vain"


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Wait for a condition, and return whether it came about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
