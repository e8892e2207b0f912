"""A real server for the tests, on a free port of this machine, gone when they end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stackwright_interfaces.testing.context import make_context
from stackwright_sql.plugin import SqlConfig
from stackwright_sql.source import SqlTableSource

INSTALL = "PostgreSQL is not installed: apt-get install postgresql, or put initdb and postgres on the PATH"

HBA = """
host all guarded 127.0.0.1/32 scram-sha-256
host all all     127.0.0.1/32 trust
"""


def programs() -> Path | None:
    """Return the folder of initdb and postgres, of the newest version that is installed."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def unprivileged() -> str:
    """Return a user of this machine that may run a server."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class Server:
    """A PostgreSQL server. It refuses to run as root, so that root starts it as another user."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder, self.bin = folder, bin
        self.user = None if os.getuid() else unprivileged()
        if self.user:
            shutil.chown(folder, self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        initdb = ["initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        command = [str(bin / "initdb"), *map(str, initdb[1:])]
        subprocess.run(command, user=self.user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (folder / "data" / "pg_hba.conf").write_text(HBA)
        self.start()

    def url(self, user: str = "postgres", database: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def admin(self) -> psycopg.Connection:
        return psycopg.connect(self.url(), autocommit=True)

    def start(self) -> None:
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=30"]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [part for option in options for part in ("-c", option)]
        deadline = time.monotonic() + 30
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, user=self.user, cwd=self.folder, stdout=log, stderr=log)
        while True:
            try:
                self.admin().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that runs."""
    folder_of_programs = programs()
    if folder_of_programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    folder = Path(tempfile.mkdtemp(prefix="stackwright-sql-"))
    running = Server(folder, folder_of_programs)
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def sql(server: Server) -> Iterator[Callable[..., None]]:
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
def source(server: Server, open_source: Open) -> SqlTableSource:
    """A source on the server."""
    return open_source(server.url())
