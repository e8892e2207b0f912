"""Redis and PostgreSQL on free ports of this machine, for benchmarks and tests: they can be killed and restarted."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REDIS = "redis-server is not installed; run: apt-get install -y redis-server"
POSTGRES = "PostgreSQL is not installed; run: apt-get install -y postgresql, or put initdb and postgres on the PATH"

HBA = """
host all guarded 127.0.0.1/32 scram-sha-256
host all barred  127.0.0.1/32 reject
host all all     127.0.0.1/32 trust
"""
"""Who may log in: ``guarded`` by a password, ``barred`` never, all others freely."""


class NotInstalled(Exception):
    """A program is not there; the text is the command that installs it."""


class RedisServer:
    """A Redis over a folder; it keeps what it holds over a restart where ``--appendonly yes`` says so.

    Args:
        folder: an existing folder of its own.
        options: of ``redis-server``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise NotInstalled(REDIS)
        self._program = program
        self.folder, self.options = folder, options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._log = folder / "redis.log"
        self.start()

    def start(self, *, wait: bool = True) -> None:
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", "")
        self.process = subprocess.Popen([self._program, *where, "--logfile", str(self._log), *self.options])
        if wait:
            self.wait()

    def wait(self) -> None:
        """Return when it takes connections."""
        _until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close(), OSError, self._dead)

    def stall(self) -> None:
        """Let it keep its connections and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, stalled or not."""
        self.process.kill()
        self.process.wait()

    close = kill

    def raw(self) -> Any:
        """Return a client of the vendor's."""
        import redis

        return redis.Redis(port=self.port)

    def _dead(self) -> str:
        return "" if self.process.poll() is None else self._log.read_text()


class PostgresServer:
    """A PostgreSQL over a new database. It refuses to run as root, so that root starts it as another user.

    Args:
        folder: an existing, empty folder that other users may reach.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = _postgres_programs()
        self._folder = folder
        self._user = None if os.getuid() else _unprivileged()
        if self._user:
            shutil.chown(folder, self._user)
        self.port = free_port()
        make = ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        make[0] = str(self._programs / "initdb")
        subprocess.run(make, user=self._user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (folder / "data" / "pg_hba.conf").write_text(HBA)
        self.start()

    def url(self, user: str = "postgres", database: str = "postgres", rest: str = "") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{rest}"

    def admin(self) -> Any:
        """Return a connection that may do everything, each statement a transaction of its own."""
        import psycopg

        return psycopg.connect(self.url(), autocommit=True)

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        import psycopg

        self._spawn()
        _until(lambda: self.admin().close(), psycopg.OperationalError, self._again)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(30)

    close = stop

    def _spawn(self) -> None:
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60"]
        run = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        run += [part for option in options for part in ("-c", option)]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(run, user=self._user, cwd=self._folder, stdout=log, stderr=log)

    def _again(self) -> str:
        """Start it anew if it ended: what a killed server left behind keeps the next one away for a moment."""
        if self.process.poll() is not None:
            self._spawn()
        return ""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _until(attempt: Callable[[], object], failure: type[Exception], dead: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            attempt()
        except failure:
            assert not (why := dead()), why
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _postgres_programs() -> Path:
    """Return the folder of initdb and postgres, of the newest version that is installed."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise NotInstalled(POSTGRES)
    return found[-1].parent


def _unprivileged() -> str:
    """Return a user of this machine that may run a server."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
