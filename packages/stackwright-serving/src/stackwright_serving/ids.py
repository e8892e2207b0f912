"""Ids of requests and predictions."""

from __future__ import annotations

import os
import re
import time
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_DIGITS: Final = 20  # drawn for an id, which needs one less
_VARIANTS: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def time_ordered_id() -> str:
    """Return a UUID of version 7 (RFC 9562): ids made later sort after ids made before, to the millisecond."""
    return time_ordered_ids(1)[0]


def time_ordered_ids(count: int) -> list[str]:
    """Return so many of them, of one millisecond."""
    moment = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{moment[:8]}-{moment[8:]}-7"
    drawn = os.urandom(_DIGITS // 2 * count).hex()
    return [
        f"{head}{drawn[at : at + 3]}-{_VARIANTS[drawn[at + 3]]}{drawn[at + 4 : at + 7]}-{drawn[at + 7 : at + 19]}"
        for at in range(0, _DIGITS * count, _DIGITS)
    ]


def request_id(given: str | None) -> str:
    """Return the client's request id where it is harmless, else a new one."""
    return given if given is not None and _SAFE.fullmatch(given) else time_ordered_id()
