"""Sources over a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import PostgresServer

from stackwright_interfaces.testing.context import make_context
from stackwright_sql.plugin import SqlConfig
from stackwright_sql.source import SqlTableSource


@pytest.fixture(scope="session")
def server(start_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    """A server that runs."""
    return start_postgres()


@pytest.fixture
def sql(server: PostgresServer) -> Iterator[Callable[..., None]]:
    """Carries out statements; what was made is gone after the test."""
    with server.admin() as admin:

        def sql(*statements: str) -> None:
            for statement in statements:
                admin.execute(statement)

        yield sql
        sql(
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO public",
            "DROP SCHEMA IF EXISTS sales CASCADE",
        )


Open = Callable[..., SqlTableSource]


@pytest.fixture
def open_source(tmp_path: Path) -> Iterator[Open]:
    """Opens sources by URL."""
    opened: list[SqlTableSource] = []

    def open_(url: str, **options: int) -> SqlTableSource:
        opened.append(SqlTableSource(SqlConfig(url=url, **options), make_context(tmp_path)))
        return opened[-1]

    yield open_
    for source in opened:
        source.close()


@pytest.fixture
def source(server: PostgresServer, open_source: Open) -> SqlTableSource:
    """A source on the server."""
    return open_source(server.url())
