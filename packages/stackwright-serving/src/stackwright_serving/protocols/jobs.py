"""``POST /jobs`` and ``GET /jobs/ID``: jobs of the blueprint, started once a key, and what became of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.jobs import JobRequests
from stackwright_serving.refused import Refused
from stackwright_serving.state import State
from stackwright_serving.values import instant

_KEY: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Jobs:
    """The endpoints."""

    def __init__(self, state: State, requests: JobRequests) -> None:
        self._state = state
        self._requests = requests

    async def start(self, exchange: Exchange) -> Response:
        """``POST /jobs``: 202 where it was taken now, 200 where it was before."""
        exchange.check_json()
        key = exchange.header(b"idempotency-key")
        if not _KEY.fullmatch(key):
            found = "no usable Idempotency-Key" if key else "no Idempotency-Key"
            raise Refused(400, found, "Send the header: up to 128 letters, digits or ._:/+=@- of your own.")
        job, at = self._asked(exchange.document(await exchange.body()))
        told, new = await asyncio.to_thread(self._requests.start, key, job, at)
        return answer(told, 202 if new else 200, headers=((b"location", f"/jobs/{told['id']}".encode()),))

    async def status(self, exchange: Exchange) -> Response:
        """``GET /jobs/ID``."""
        found = await asyncio.to_thread(self._requests.status, exchange.job or "")
        if found is None:
            raise Refused(404, "no such job was started", "POST /jobs answers with the id.")
        return answer(found)

    def _asked(self, document: Any) -> tuple[str, datetime | None]:
        named = isinstance(document, Mapping) and isinstance(document.get("job"), str)
        if not named or set(document) - {"job", "at"}:
            raise Refused(400, "the body is no request for a job", 'Send {"job": NAME}, and "at": TIME if you like.')
        text = document.get("at")
        if text is None:
            return document["job"], None
        try:
            at = instant(text)
        except ValueError as error:
            raise Refused(400, "at is no ISO 8601 time", "Send 2025-03-01T00:00:00Z, say.") from error
        if (at - self._state.clock()).total_seconds() > self._state.settings.clock_skew:
            raise Refused(400, "at has not come yet", "Ask as of now, or of earlier.")
        return document["job"], at
