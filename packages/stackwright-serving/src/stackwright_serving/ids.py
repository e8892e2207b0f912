"""Ids of requests and predictions."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_DIGITS: Final = 20  # drawn for an id, which needs one less
_AHEAD: Final = 256
_VARIANTS: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def time_ordered_id() -> str:
    """Return a UUID of version 7 (RFC 9562): ids made later sort after ids made before, to the millisecond."""
    return time_ordered_ids(1)[0]


def time_ordered_ids(count: int) -> list[str]:
    """Return so many of them, of one millisecond."""
    moment = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{moment[:8]}-{moment[8:]}-7"
    drawn = (_drawn() for _ in range(count))
    return [f"{head}{digits[:3]}-{_VARIANTS[digits[3]]}{digits[4:7]}-{digits[7:19]}" for digits in drawn]


_ready: Final[deque[str]] = deque()
os.register_at_fork(after_in_child=_ready.clear)  # its parent uses them


def _drawn() -> str:
    """Return random digits, each once; many are drawn at once, since that is a call of the system."""
    while True:
        try:
            return _ready.pop()
        except IndexError:
            digits = os.urandom(_DIGITS // 2 * _AHEAD).hex()
            _ready.extend(digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS))


def request_id(given: str | None) -> str:
    """Return the client's request id where it is harmless, else a new one."""
    return given if given is not None and _SAFE.fullmatch(given) else time_ordered_id()
