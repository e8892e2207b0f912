"""Servers on free ports of this machine, gone when the benchmark ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis_server(folder: Path) -> Iterator[int | None]:
    """Run Redis; give its port, or ``None`` where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = _free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([*command, "--logfile", str(folder / "redis.log")])
    try:
        _wait(server, port)
        yield port
    finally:
        server.kill()
        server.wait()


@contextmanager
def postgres_server(folder: Path) -> Iterator[int | None]:
    """Run PostgreSQL; give its port, or ``None`` where it is not installed. It refuses to run as root."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        yield None
        return
    user = None if os.getuid() else "postgres"
    if user:
        shutil.chown(folder, user)
    data, port = folder / "data", _free_port()
    make = [str(found[-1]), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    subprocess.run(make, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run = [str(found[-1].with_name("postgres")), "-D", str(data), "-p", str(port)]
    run += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(run, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(server, port)
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
