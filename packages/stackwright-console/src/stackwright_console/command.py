"""The verb ``console``: the page of a project, on this machine, until it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn

from stackwright_console.application import application
from stackwright_console.desk import Desk
from stackwright_console.guard import Guard, is_loopback
from stackwright_interfaces.listening import listening, url

_LOCAL = ["127.0.0.1", "localhost"]
_BACKLOG = 64


def console(
    folder: Path,
    env: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8500,
    token: str = "",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Show a project as a web page until interrupted.

    Args:
        folder: the project folder.
        env: the environment.
        host: where to listen; on another host than loopback the token is asked for every page.
        port: where to listen, 0 for a free one.
        token: opens changes; without one the console is read-only.
        ready: called with the address when it answers.

    Raises:
        ProjectError: the folder holds no project.
        UsageError: the token is too short, or is needed.
        ServerError: the address cannot be used.
    """
    guard = Guard(token, open_pages=is_loopback(host))
    with closing(Desk(folder, env)) as desk, listening(host, port, _BACKLOG) as sock:
        hosts = _LOCAL if guard.open_pages else ["*"]
        config = uvicorn.Config(application(desk, guard, hosts), log_level="error", access_log=False, lifespan="off")
        (ready or _tell)(url(sock))
        uvicorn.Server(config).run(sockets=[sock])


def _tell(address: str) -> None:
    sys.stderr.write(f"The console answers on {address} (stop with Ctrl-C)\n")
