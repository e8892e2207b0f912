"""A live server, asked over one HTTP connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from stackwright_interfaces.errors import ServerError, UsageError

PURPOSE: Final = "X-Stackwright-Purpose"
"""Header of requests that are no real ones: ``test``. Their predictions are journaled with the arm ``test``."""

_WRITE: Final = "Write http://HOST:PORT, say."
_LARGEST: Final = 100_000_000


@dataclass(frozen=True)
class Reply:
    """What the server answered.

    Args:
        status: the HTTP status.
        headers: name in lower case → value.
        body: the bytes.
        seconds: from the request to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def document(self) -> Any:
        """The JSON value of the body; ``None`` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Endpoint:
    """A server at a URL.

    Args:
        url: ``http://`` or ``https://`` with address and, where it lies deeper, a path.
        token: sent as a bearer token; empty sends none.
        timeout: seconds to connect, and for each answer.

    Raises:
        UsageError: it is no such URL.
    """

    def __init__(self, url: str, *, token: str = "", timeout: float = 30.0) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"URL {url!r}", f"is no address of a server ({error})", _WRITE) from error
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"URL {url!r}", "is no address of a server", _WRITE)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._connection = kind(host, port, timeout=timeout)
        self._headers = {PURPOSE: "test", **({"Authorization": f"Bearer {token}"} if token else {})}

    def get(self, path: str) -> Reply:
        """Ask for a path.

        Raises:
            ServerError: the server cannot be reached, or broke off.
        """
        return self.send("GET", path)

    def post(self, path: str, document: Any) -> Reply:
        """Post a JSON value.

        Raises:
            ServerError: the server cannot be reached, or broke off.
        """
        return self.send("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request; once more over a new connection where the server closed the old one in between.

        Raises:
            ServerError: the server cannot be reached, or broke off.
        """
        fresh = self._connection.sock is None
        try:
            return self._sent(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if fresh:
                raise self._broken(error) from error
        try:
            return self._sent(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self._broken(error) from error

    def _sent(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None) -> Reply:
        started = time.perf_counter()
        self._connection.request(method, self._path + path, body, {**self._headers, **(headers or {})})
        response = self._connection.getresponse()
        found = response.read(_LARGEST)
        took = time.perf_counter() - started
        given = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, given, found, took)

    def _broken(self, error: Exception) -> ServerError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerError(self.url, f"cannot be asked ({reason})", "See that a server runs there, and its log.")

    def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
