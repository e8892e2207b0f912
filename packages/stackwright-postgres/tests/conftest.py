"""A real server for the tests, on a free port of this machine, gone when they end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stackwright_interfaces.testing.context import make_context
from stackwright_postgres.online import PostgresOnlineStore
from stackwright_postgres.plugin import PostgresConfig

INSTALL = "PostgreSQL is not installed: apt-get install postgresql, or put initdb and postgres on the PATH"

HBA = """
host all guarded 127.0.0.1/32 scram-sha-256
host all barred  127.0.0.1/32 reject
host all all     127.0.0.1/32 trust
"""

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
        self._run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        (folder / "data" / "pg_hba.conf").write_text(HBA)
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.bin / program), *map(str, arguments)]
        subprocess.run(command, user=self.user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def url(self, user: str = "postgres", database: str = "postgres", rest: str = "") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{rest}"

    def admin(self) -> psycopg.Connection:
        return psycopg.connect(self.url(), autocommit=True)

    def start(self) -> None:
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60"]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [part for option in options for part in ("-c", option)]
        deadline = time.monotonic() + 30
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, user=self.user, cwd=self.folder, stdout=log, stderr=log)
            while True:
                try:
                    self.admin().close()
                except psycopg.OperationalError:
                    if time.monotonic() > deadline:
                        raise
                    # What a killed server left behind keeps the next one from starting for a moment.
                    if self.process.poll() is not None:
                        self.process = subprocess.Popen(
                            command, user=self.user, cwd=self.folder, stdout=log, stderr=log
                        )
                    time.sleep(0.05)
                else:
                    return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that runs."""
    folder_of_programs = programs()
    if folder_of_programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    folder = Path(tempfile.mkdtemp(prefix="stackwright-postgres-"))
    running = Server(folder, folder_of_programs)
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def schema(server: Server, tmp_path: Path) -> str:
    """A schema of the test's own, not made yet."""
    return f"schema of {tmp_path.name}"[:63]


@pytest.fixture
def open_store(server: Server, schema: str, tmp_path: Path) -> Iterator[Callable[..., PostgresOnlineStore]]:
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
def start(server: Server, schema: str, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
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
