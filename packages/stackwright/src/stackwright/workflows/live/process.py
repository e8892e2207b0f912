"""A server in a process of its own, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from stackwright.assembly.project import Project
from stackwright.workflows.live.serve import ENDS_WITH_STDIN
from stackwright_interfaces.errors import ServerError


@contextmanager
def serving(project: Project, *, timeout: float = 60.0) -> Iterator[str]:
    """Serve a project on a free port in a child process while the block runs; give the base URL.

    Raises:
        ServerError: the server did not come up; the message holds its last words.
    """
    log_path = project.state / "server.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("w+", encoding="utf-8") as log:
        command = [
            sys.executable,
            "-m",
            "stackwright.cli.main",
            "serve",
            "--project",
            str(project.folder),
            f"--env={project.env}",
            "--port",
            "0",
        ]
        project.address.unlink(missing_ok=True)
        variables = {**os.environ, ENDS_WITH_STDIN: "1"}  # so that it does not outlive a killed parent
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.PIPE, env=variables)
        try:
            yield _await_address(child, project.address, log, timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()


def _await_address(child: subprocess.Popen[bytes], address: Path, log: IO[str], timeout: float) -> str:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        if address.exists():
            return str(json.loads(address.read_text(encoding="utf-8"))["url"])
        time.sleep(0.02)
    log.flush()
    log.seek(0, os.SEEK_SET)
    words = log.read().strip()[-1000:] or f"nothing within {timeout:g} s"
    raise ServerError("server", f"did not come up; it said: {words}", "Run: stackwright serve")


def send(url: str, model: str, bodies: Sequence[tuple[dict[str, Any], str]]) -> list[float]:
    """Send requests one after the other over one connection.

    Args:
        bodies: (keys and request fields, asked instant as ISO 8601) of each.

    Returns:
        seconds each took.

    Raises:
        ServerError: a request was not answered with a prediction.
    """
    address = urlsplit(url).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    took = []
    try:
        for body, asked in bodies:
            path = f"/predict/{quote(model)}?at={quote(asked)}"
            started = time.perf_counter()
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            took.append(time.perf_counter() - started)
            if response.status != 200:
                raise ServerError(
                    f"POST {path}",
                    f"answered {response.status}: {answer.decode()[:500]}",
                    "See .stackwright/server.log",
                )
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(url, f"the connection broke ({error})", "See .stackwright/server.log") from error
    finally:
        connection.close()
    return took
