"""Bodies that come packed, unpacked no further than allowed."""

from __future__ import annotations

import zlib
from typing import Final, Self

from stackwright_serving.refused import Refused

_WINDOWS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class Unpacking:
    """Unpacks a body part by part.

    What is refused: a body that is not what it says (400), unpacks to too much (413), or is packed otherwise (415).

    Args:
        window: of zlib.
        limit: bytes that it may unpack to.
    """

    def __init__(self, window: int, limit: int) -> None:
        self._stream = zlib.decompressobj(window)
        self._left = limit
        self._limit = limit

    @classmethod
    def of(cls, encoding: bytes, limit: int) -> Self | None:
        """Return what unpacks a content encoding; ``None`` for a body that is not packed.

        Raises:
            Refused: it is none that is read here.
        """
        name = encoding.strip().lower()
        if name in (b"", b"identity"):
            return None
        if name not in _WINDOWS:
            found = f"the content encoding is {name.decode('latin-1')[:100]!r}"
            raise Refused(415, found, "Send gzip, deflate, or the body as it is.")
        return cls(_WINDOWS[name], limit)

    def part(self, data: bytes) -> bytes:
        """Return what a part unpacks to.

        Raises:
            Refused: it is damaged, or unpacks to too much.
        """
        try:
            found = self._stream.decompress(data, self._left + 1)
        except zlib.error as error:
            raise Refused(400, f"cannot be unpacked ({error})", "Send it whole, packed as declared.") from error
        self._left -= len(found)
        if self._left < 0:
            raise Refused(413, f"unpacks to more than {self._limit} bytes", "Send several requests.")
        return found

    def end(self) -> None:
        """Note that there are no more parts.

        Raises:
            Refused: one is missing, or there is more behind the end.
        """
        if not self._stream.eof or self._stream.unused_data:
            raise Refused(400, "is packed, and does not end where it should", "Send it whole, packed as declared.")
