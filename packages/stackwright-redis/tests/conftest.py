"""Stores over a real Redis server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import RedisServer

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


@pytest.fixture(scope="session")
def server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """The server that most tests share, each with a prefix of its own."""
    return start_redis("--appendonly", "no")


@pytest.fixture
def own_server(start_redis: Callable[..., RedisServer]) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers for one test alone, with options of ``redis-server``."""
    with ExitStack() as started:

        def start(*options: str) -> RedisServer:
            server = start_redis(*options)
            started.callback(server.kill)
            return server

        yield start


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
