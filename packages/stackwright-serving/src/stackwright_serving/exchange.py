"""One HTTP exchange: what was asked, a body within its limits, and an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from stackwright_interfaces.errors import (
    DataError,
    FeatureStoreError,
    ModelError,
    ModelNotFound,
    StackwrightError,
    StoreTimeout,
    UnknownName,
    UsageError,
)
from stackwright_serving.ids import request_id
from stackwright_serving.json_input import InvalidJson, parse
from stackwright_serving.refused import ClientLeft, EntityNotFound, Refused, RowRefused
from stackwright_serving.settings import Settings
from stackwright_serving.trace_context import Trace
from stackwright_serving.unpacking import Unpacking

JSON: Final = b"application/json"

_STATUS: Final[tuple[tuple[type[StackwrightError], int], ...]] = (
    (InvalidJson, 400),
    (UsageError, 400),
    (ModelNotFound, 404),
    (UnknownName, 404),
    (EntityNotFound, 404),
    (DataError, 422),
    (RowRefused, 422),
    (StoreTimeout, 504),
    (FeatureStoreError, 503),
    (ModelError, 500),
)

OURS: Final = "The server failed; its log tells why, under this request id."
"""What is answered with 500: the cause is nobody's business outside."""

_DIGITS: Final = 18
"""Digits of a length beyond which it is not read."""

Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Response:
    """What is answered.

    Args:
        body: the bytes.
        status: the HTTP status.
        media_type: of the body.
        headers: more headers.
        after: called once the answer is sent, for what the client needs not wait for.
    """

    __slots__ = ("after", "body", "headers", "status")

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        media_type: bytes = JSON,
        headers: Sequence[Header] = (),
        after: Callable[[], None] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.headers: list[Header] = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]
        self.after = after


class Exchange:
    """What an endpoint gets: the request and what was learned of it.

    Args:
        scope: as ASGI has it.
        receive: as ASGI has it.
        settings: limits.

    Attributes:
        id: of the request: the client's where it is harmless.
        headers: name in lower case → value; of a header that is sent several times, all values.
        trace: where it stands in a trace; ``None`` where nobody traces it.
        received: bytes of the body so far.
        whole: whether all of it is there.
        model: the model that the path names, or ``None``.
        version: the version that the path names, or ``None``.
        job: the started job that the path names, or ``None``.
        deadline: until when it must be answered, on the loop's clock.
        late: whether that moment has passed.
        task: answers it.
    """

    def __init__(self, scope: Mapping[str, Any], receive: Receive, settings: Settings) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.settings = settings
        self.model: str | None = None
        self.version: str | None = None
        self.job: str | None = None
        self.received = 0
        self.whole = False
        self.deadline = 0.0
        self.late = False
        self.task: asyncio.Task[Any] | None = None
        self._scope = scope
        self._receive = receive
        raw: list[Header] = scope["headers"]
        headers = dict(raw)
        self.headers = headers if len(headers) == len(raw) else _joined(raw)
        given = self.headers.get(b"x-request-id")
        self.id = request_id(None if given is None else given.decode("latin-1"))
        self.trace = Trace.read(self.headers) if b"traceparent" in headers else None

    @property
    def size(self) -> int:
        """Bytes of the headers."""
        return sum([len(name) + len(value) for name, value in self._scope["headers"]])

    @property
    def test(self) -> bool:
        """Whether the client says that it asks to see whether the server does as it should."""
        return self.headers.get(b"x-stackwright-purpose") == b"test"

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of one that is sent several times, the last."""
        return dict(parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def has_query(self) -> bool:
        """Whether the path has a query."""
        return bool(self._scope["query_string"])

    @property
    def draining(self) -> bool:
        """Whether the server says that it is about to stop."""
        event = self._scope.get("state", {}).get("draining")
        return event is not None and event.is_set()

    def header(self, name: bytes) -> str:
        """Return a header's value, or an empty string."""
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self) -> bytes:
        """Return the body, unpacked where it is packed.

        Raises:
            Refused: it is larger than allowed (413), found while it streams in, or packed in a way that is not read.
            ClientLeft: it does not come whole.
        """
        limit = self.settings.max_body
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > _DIGITS or int(declared) > limit):
            found = f"the body has {declared[:_DIGITS].decode()} bytes"
            raise Refused(413, found, f"Send at most {limit}.")
        unpacking = Unpacking.of(self.headers.get(b"content-encoding", b""), limit)
        parts, more = [], True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(part)
            if self.received > limit:
                raise Refused(413, f"the body has more than {limit} bytes", "Send several requests.")
            parts.append(part if unpacking is None else unpacking.part(part))
        self.whole = True
        if unpacking is not None:
            unpacking.end()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def document(self, body: bytes) -> Any:
        """Return the value of a JSON body.

        Raises:
            InvalidJson: it is not strict JSON.
        """
        return parse(body, max_depth=self.settings.max_depth)

    def check_json(self, kinds: Sequence[str] = ("application/json",)) -> None:
        """Refuse a body that is declared to be something else than JSON.

        Args:
            kinds: content types that are taken.

        Raises:
            Refused: it is (415).
        """
        declared = self.headers.get(b"content-type", b"")
        if declared in (b"", JSON):
            return
        kind = declared.decode("latin-1").partition(";")[0].strip().lower()
        if kind and kind not in kinds and not kind.endswith("+json"):
            raise Refused(415, f"the content type is {kind[:100]!r}", f"Send one of: {', '.join(kinds)}.")

    async def gone(self) -> None:
        """Wait until the client leaves; to be asked once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            continue


Endpoint = Callable[[Exchange], Awaitable[Response]]


def _joined(raw: Sequence[Header]) -> dict[bytes, bytes]:
    """Return headers of which some are sent several times: lists are joined, others made invalid by it."""
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        found[name] = value if name not in found else found[name] + b"," + value
    return found


def answer(document: Any, status: int = 200, **more: Any) -> Response:
    """Return a JSON response; ``more`` goes to it."""
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), status, **more)


def failed(exchange: Exchange, error: StackwrightError) -> Response:
    """Return the response that tells of an error."""
    status = status_of(error)
    headers = ((b"retry-after", b"1"),) if status == 503 else ()
    words = OURS if status == 500 else _printable(str(error))
    return answer({"error": words, "request_id": exchange.id}, status, headers=headers)


def status_of(error: StackwrightError) -> int:
    """Return the HTTP status that an error is answered with."""
    if isinstance(error, Refused):
        return error.status
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def _printable(text: str) -> str:
    """Return a text that UTF-8 can hold; what a client sent may be quoted in it."""
    return text.encode("utf-8", "backslashreplace").decode()
