"""Ids of requests and predictions."""

from __future__ import annotations

import os
import re
import time
import uuid
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


def time_ordered_id() -> str:
    """Return a UUID of version 7 (RFC 9562): ids made later sort after ids made before, to the millisecond."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def request_id(given: str | None) -> str:
    """Return the client's request id where it is harmless, else a new one."""
    return given if given is not None and _SAFE.fullmatch(given) else time_ordered_id()


def trace_id(traceparent: str | None) -> str:
    """Return the trace id of a W3C ``traceparent`` header, or an empty string."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match and match[1] != "0" * 32 else ""
