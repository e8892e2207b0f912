"""Bearer tokens (RFC 6750), compared in a time that tells nothing of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


class Tokens:
    """Tokens that open something.

    Their digests alone are kept. Every one is compared with what a client sends, whichever fits, in constant time.

    Args:
        tokens: the tokens; without any nothing is asked for, see ``open_without``.
        open_without: whether everyone may pass where there are none.
    """

    def __init__(self, tokens: Sequence[str], *, open_without: bool) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]
        self.asked = bool(self._digests) or not open_without

    def open(self, authorization: bytes) -> bool:
        """Return whether a value of the header ``Authorization`` holds one of the tokens."""
        if not self.asked:
            return True
        scheme, _, token = authorization.partition(b" ")
        given = hashlib.sha256(token.strip()).digest()
        fits = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == b"bearer" and any(fits)
