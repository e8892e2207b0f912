"""W3C Trace Context: what a client says of the trace that its request belongs to, and what is answered.

See https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

_PARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(rb"[\x20-\x7e\t]{1,512}")


class Trace(NamedTuple):
    """Where a request stands in a trace.

    Args:
        id: of the trace, 32 hexadecimal digits.
        parent: the client's span, 16 hexadecimal digits; empty where the trace begins here.
        span: the span of this request.
        flags: two hexadecimal digits; an odd number says that the client records the trace.
        state: what vendors passed on, as it came.
    """

    id: str
    parent: str
    span: str
    flags: str
    state: str = ""

    @classmethod
    def read(cls, headers: Mapping[bytes, bytes]) -> Self | None:
        """Return the trace that headers name, with a new span for the request; ``None`` without a valid one."""
        given = headers.get(b"traceparent")
        if given is None:
            return None
        match = _PARENT.fullmatch(given)
        if match is None or (match[1] == b"00" and match[5] is not None):
            return None
        state = headers.get(b"tracestate", b"")
        kept = state.decode("ascii") if _STATE.fullmatch(state) else ""
        return cls(match[2].decode(), match[3].decode(), new_span(), match[4].decode(), kept)

    @property
    def answer(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of the answer: the span that a client may look for, and its own state."""
        parent = (b"traceparent", f"00-{self.id}-{self.span}-{self.flags}".encode())
        return (parent, (b"tracestate", self.state.encode())) if self.state else (parent,)


def new_span() -> str:
    """Return the id of a new span."""
    return f"{random.getrandbits(64) or 1:016x}"  # an id tells spans apart, and keeps no secret
