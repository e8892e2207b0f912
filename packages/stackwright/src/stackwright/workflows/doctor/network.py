"""What a stack reaches over the network, and the port it listens on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from stackwright.assembly.project import Project
from stackwright.workflows.doctor.finding import Finding
from stackwright_interfaces.errors import StackwrightError

_PORTS: Final = {"redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432, "http": 80, "https": 443}
_SECONDS: Final = 3.0
_S3: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class Remote:
    """Something that is reached over the network.

    Args:
        subject: what needs it.
        url: where it is; may hold a password, and is never shown.
        ask: asks it for something harmless, by the adapter itself; ``None`` where nothing can be asked.
    """

    subject: str
    url: str
    ask: Callable[[], object] | None = None


def reached(remote: Remote) -> Finding:
    """Connect to something, then ask it, which tells whether it lets this user in."""
    try:
        address = _address(remote.url)
    except ValueError:  # its words may quote a password
        todo = "Write brackets of a user, a password or a name as %5B and %5D."
        return Finding(remote.subject, "its URL cannot be read", todo)
    if address is not None:
        try:
            _connect(address)
        except OSError as error:
            said = f"{_shown(address)} cannot be reached ({error.strerror or error})"
            todo = "Start it, or see that address, firewall and DNS are right."
            return Finding(remote.subject, said, todo)
    where = "answers" if address is None else f"{_shown(address)} answers"
    if remote.ask is None:
        return Finding(remote.subject, where)
    try:
        remote.ask()
    except Exception as error:  # noqa: BLE001 -- a vendor may raise anything
        said = error.found if isinstance(error, StackwrightError) else str(error)
        return Finding(remote.subject, f"does not answer: {said}", getattr(error, "todo", "") or "See its log.")
    return Finding(remote.subject, where)


def urls(value: Any) -> Iterator[str]:
    """Give every address of something on the network that options hold, at any depth."""
    if isinstance(value, str):
        if "://" in value and not value.startswith(("file:", "sqlite:", "duckdb:")):
            yield str(value)
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from urls(item)


def port(project: Project, subject: str, host: str, number: int) -> Finding:
    """Look whether a port can be listened on, or is listened on by this project's own server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
        except OSError as error:
            process = _own_server(project, number)
            if process:
                return Finding(subject, f"port {number} is this project's own, of process {process}")
            todo = "Stop what listens there, or give another port."
            return Finding(subject, f"port {number} of {host} cannot be listened on ({error.strerror})", todo)
    return Finding(subject, f"port {number} of {host} is free")


def _own_server(project: Project, number: int) -> int:
    """Return the process of the project's server, where it runs and listens on this port; else 0."""
    try:
        address = json.loads(project.address.read_text(encoding="utf-8"))
        process = int(address["pid"])
        os.kill(process, 0)
        return process if urlsplit(address["url"]).port == number else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _address(url: str) -> str | tuple[str, int] | None:
    """Return host and port of a URL, the path of a socket, or ``None`` where the URL does not tell."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    if parts.scheme == "s3":
        endpoint = parse_qs(parts.query).get("endpoint_url", [""])[0]
        endpoint = endpoint or next((os.environ[name] for name in _S3 if os.environ.get(name)), "")
        return _address(endpoint) if endpoint else ("s3.amazonaws.com", 443)
    try:
        number = parts.port or _PORTS.get(parts.scheme.partition("+")[0], 0)
    except ValueError:  # several hosts, as libpq takes them
        return None
    return (parts.hostname, number) if parts.hostname and number else None


def _connect(address: str | tuple[str, int]) -> None:
    if isinstance(address, tuple):
        socket.create_connection(address, _SECONDS).close()
        return
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
        client.settimeout(_SECONDS)
        client.connect(address)


def _shown(address: str | tuple[str, int]) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"
