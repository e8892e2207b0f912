"""Ids of requests and predictions."""

from __future__ import annotations

import os
import re
import time
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_VERSION: Final = 7 << 76
_VARIANT: Final = 2 << 62
_FREE: Final = ~(0xF << 76 | 0x3 << 62)


def time_ordered_id() -> str:
    """Return a UUID of version 7 (RFC 9562): ids made later sort after ids made before, to the millisecond."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    text = f"{value & _FREE | _VERSION | _VARIANT:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def request_id(given: str | None) -> str:
    """Return the client's request id where it is harmless, else a new one."""
    return given if given is not None and _SAFE.fullmatch(given) else time_ordered_id()
