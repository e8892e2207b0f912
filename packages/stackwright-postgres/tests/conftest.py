"""Stores over a real PostgreSQL server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import PostgresServer

from stackwright_interfaces.testing.context import make_context
from stackwright_postgres.online import PostgresOnlineStore
from stackwright_postgres.plugin import PostgresConfig

PROLOGUE = """
import sys, time
from pathlib import Path
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_postgres.online import PostgresOnlineStore
from stackwright_postgres.plugin import PostgresConfig

url, schema, folder = sys.argv[1:]
store = PostgresOnlineStore(PostgresConfig(url=url, schema=schema), make_context(Path(folder)))
"""


@pytest.fixture(scope="session")
def server(start_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    """A server that runs."""
    return start_postgres()


@pytest.fixture
def schema(server: PostgresServer, tmp_path: Path) -> str:
    """A schema of the test's own, not made yet."""
    return f"schema of {tmp_path.name}"[:63]


@pytest.fixture
def open_store(server: PostgresServer, schema: str, tmp_path: Path) -> Iterator[Callable[..., PostgresOnlineStore]]:
    """Opens stores over one table of the test."""
    opened: list[PostgresOnlineStore] = []

    def open_(**options: object) -> PostgresOnlineStore:
        config = PostgresConfig(**{"url": server.url(), "schema": schema, **options})
        opened.append(PostgresOnlineStore(config, make_context(tmp_path)))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()
    with server.admin() as admin:
        admin.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@pytest.fixture
def store(open_store: Callable[..., PostgresOnlineStore]) -> PostgresOnlineStore:
    return open_store()


@pytest.fixture
def start(server: PostgresServer, schema: str, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a child process that has ``store`` open over the same table."""
    children: list[subprocess.Popen[str]] = []

    def start_(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROLOGUE + code, server.url(), schema, str(tmp_path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start_
    for child in children:
        child.kill()
        child.communicate()
