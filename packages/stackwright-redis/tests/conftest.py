"""A real Redis server for the tests, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from stackwright_interfaces.testing.context import make_context
from stackwright_redis.online import RedisOnlineStore
from stackwright_redis.plugin import RedisConfig

PROLOGUE = """
import sys
from pathlib import Path
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_redis.online import RedisOnlineStore
from stackwright_redis.plugin import RedisConfig

url, prefix, folder = sys.argv[1:]
store = RedisOnlineStore(RedisConfig(url=url, prefix=prefix), make_context(Path(folder)))
"""


def needed(program: str, package: str) -> str:
    """Return where a program is; without it the test is skipped, but in CI it fails."""
    found = shutil.which(program)
    if found is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{program} is not installed; run: apt-get install -y {package}")
    assert found is not None
    return found


class RedisServer:
    """A server that can be stopped, killed and started again over the same folder and port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.program = needed("redis-server", "redis-server")
        self.folder, self.options = folder, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self, *, wait: bool = True) -> None:
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", "")
        log = ("--logfile", str(self.folder / "redis.log"))
        self.child = subprocess.Popen([self.program, *where, *log, *self.options])
        if wait:
            self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.child.poll() is None, (self.folder / "redis.log").read_text()
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def raw(self) -> redis.Redis:
        return redis.Redis(port=self.port)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server that most tests share, each with a prefix of its own."""
    started = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "no")
    yield started
    started.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers for one test alone, with options of ``redis-server``."""
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis {len(started)}"
        folder.mkdir()
        started.append(RedisServer(folder, *options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def open_store(server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., RedisOnlineStore]]:
    """Opens stores under a prefix of the test."""
    opened: list[RedisOnlineStore] = []

    def open_(**options: object) -> RedisOnlineStore:
        config = RedisConfig(**{"url": server.url, "prefix": str(tmp_path), **options})
        opened.append(RedisOnlineStore(config, make_context(tmp_path)))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., RedisOnlineStore]) -> RedisOnlineStore:
    return open_store()


@pytest.fixture
def start(server: RedisServer, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a child process that has ``store`` open under the same prefix."""
    children: list[subprocess.Popen[str]] = []

    def start_(code: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + code, server.url, str(tmp_path), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield start_
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def program() -> Callable[[str, str], str]:
    """Says where a program is, given it and its Debian package."""
    return needed
