"""Requests to an MLflow server, over its documented REST API.

Every request may be sent twice: what is made has a name of its own, a value that is there already is accepted when it
is the same, and what a repetition makes too much is named by nothing and removed later. So a request whose answer was
lost is simply sent again, a few times, within a bounded time.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from stackwright_interfaces.errors import ArtifactError, RegistryError
from stackwright_mlflow.plugin import MlflowConfig

API: Final = "/api/2.0/mlflow/"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts/"

PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each repetition of a request that failed on the way, or that the server was too busy to answer."""

_TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
_DENIED: Final = frozenset({401, 403})
_CHUNK: Final = 1 << 20
_LONGEST_ANSWER: Final = 1 << 28
_SHOWN: Final = 300


class Refused(RegistryError):
    """The server understood, and said no.

    Attributes:
        code: MLflow's name of the reason, ``RESOURCE_DOES_NOT_EXIST`` say.
    """

    code: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.code == "RESOURCE_DOES_NOT_EXIST"


class _NoRedirects(HTTPRedirectHandler):
    """A token must not follow to another host."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


class Server:
    """One MLflow server; usable from many threads and processes, holds nothing open."""

    def __init__(self, config: MlflowConfig) -> None:
        parts = urlsplit(config.url)
        host = parts.netloc.rpartition("@")[2]
        self.where = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._timeout = config.timeout
        self._headers = {"User-Agent": "stackwright"}
        if config.token:
            self._headers["Authorization"] = f"Bearer {config.token}"
        elif parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._opener = build_opener(_NoRedirects)

    def get(self, endpoint: str, **query: str | int) -> dict[str, Any]:
        """Ask an endpoint.

        Raises:
            Refused: the server said no.
            RegistryError: it cannot be reached, or is no MLflow server.
        """
        return self._call("GET", f"{endpoint}?{urlencode(query)}", None)

    def post(self, endpoint: str, *, method: str = "POST", **body: Any) -> dict[str, Any]:
        """Tell an endpoint; raises as :meth:`get`."""
        return self._call(method, endpoint, body)

    def upload(self, path: str, source: IO[bytes], size: int) -> None:
        """Store a file as an artifact; raises as :meth:`get`."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._send("PUT", ARTIFACTS + quote(path), source, headers).close()

    def delete_artifacts(self, path: str) -> None:
        """Delete the artifacts below a path; nothing happens where none are; raises as :meth:`get`."""
        self._send("DELETE", ARTIFACTS + quote(path), None, {}).close()

    def download(self, path: str, target: Path, *, at_most: int) -> None:
        """Fetch an artifact into a file.

        Raises:
            ArtifactError: it is missing, or has more bytes than it may.
            RegistryError: as :meth:`get`.
        """
        taken = 0
        try:
            with self._send("GET", ARTIFACTS + quote(path), None, {}) as answer, target.open("wb") as file:
                while taken <= at_most and (chunk := answer.read(_CHUNK)):
                    taken += file.write(chunk)
                is_cut = taken <= at_most and bool(answer.length)
        except Refused as error:
            raise ArtifactError(path, f"MLflow does not hand it out ({error.found})", "Publish it again.") from error
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if is_cut:
            raise self._unreachable(ConnectionError("the answer was cut off"))
        if taken > at_most:
            raise ArtifactError(path, f"more than the {at_most} bytes that were published", "Publish it again.")

    def _call(self, method: str, endpoint: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with self._send(method, API + endpoint, data, {"Content-Type": "application/json"}) as answer:
            try:
                document = json.loads(answer.read(_LONGEST_ANSWER) or b"{}")
            except ValueError as error:
                raise self._no_mlflow() from error
            except (HTTPException, OSError) as error:
                raise self._unreachable(error) from error
        if not isinstance(document, dict):
            raise self._no_mlflow()
        return document

    def _send(self, method: str, path: str, data: bytes | IO[bytes] | None, headers: Mapping[str, str]) -> HTTPResponse:
        request = Request(  # noqa: S310 (the configuration allows http and https alone)
            self.where + path, data, {**self._headers, **headers}, method=method
        )
        deadline = time.monotonic() + self._timeout
        for pause in (*PAUSES, None):
            if data is not None and not isinstance(data, bytes):
                data.seek(0)
            last = pause is None or time.monotonic() + pause > deadline
            try:
                answer: HTTPResponse = self._opener.open(request, timeout=self._timeout)
            except HTTPError as error:
                if last or error.code not in _TRANSIENT:
                    raise self._refused(error) from error
                error.close()
            except (OSError, HTTPException) as error:
                if last or _took_too_long(error):
                    raise self._unreachable(error) from error
            else:
                return answer
            time.sleep(pause or 0)
        raise AssertionError("the last attempt answers or raises")

    def _refused(self, error: HTTPError) -> RegistryError:
        with error:
            try:
                document = json.loads(error.read(_CHUNK))
                code, message = str(document["error_code"]), str(document.get("message", ""))
            except (ValueError, KeyError, TypeError, AttributeError, HTTPException, OSError):
                code, message = "", ""
        if error.code in _DENIED:
            todo = "Give a token or user with the right to do this; or let the server's --allowed-hosts name this host."
            return RegistryError(self.where, f"the server denies access (HTTP {error.code})", todo)
        if error.code in _TRANSIENT:
            found = f"the server failed (HTTP {error.code} {code}: {message[:_SHOWN]})"
            return RegistryError(self.where, found, "Look at its log, and try again.")
        if not code:
            return self._no_mlflow(f"HTTP {error.code}")
        refused = Refused(self.where, f"MLflow refused: {message[:_SHOWN]}")
        refused.code = code
        return refused

    def _unreachable(self, error: Exception) -> RegistryError:
        reason = getattr(error, "reason", None) or error
        found = f"the MLflow server cannot be reached ({reason or type(error).__name__})"
        return RegistryError(self.where, found, "See that it runs there, and try again.")

    def _no_mlflow(self, shown: str = "the answer is no JSON object") -> RegistryError:
        return RegistryError(self.where, f"this is no MLflow server ({shown})", "Correct `url`.")


def _took_too_long(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
