"""Waiting for an answer awake, for about as long as sleep would cost.

To be put to sleep and woken again takes a thread some 50 µs, and a server nearby answers in less. Who waits awake for
that long, and sleeps only then, spends at most twice what the better of both would have taken (Karlin, Li, Manasse,
Owicki: Empirical Studies of Competitive Spinning for a Shared-Memory Multiprocessor, 1991). Where answers take longer,
because the server is far, busy, or asked for much, even that is spared: after each one that was waited for in vain
twice as many are not.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

MOST: Final = 127
"""Answers at most, after one that came late, that are not waited for awake."""

_SIZES: Final = 64


class Readable(Protocol):
    """What tells whether an answer has come."""

    def can_read(self, timeout: float = 0) -> bool:
        """Tell whether something can be read, or the connection ended."""
        ...


class Waiting:
    """Waits awake for answers to questions of a size, while such come soon.

    Threads share it without a lock: what one forgets of another costs a wait.

    Args:
        seconds: for how long at most; 0 for never.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asleep = [0] * _SIZES
        self._left = [0] * _SIZES

    def wait(self, connection: Readable, size: int, deadline: float) -> bool:
        """Return once there is something to read, or it is time to sleep; tell whether it was looked for.

        Args:
            connection: where the answer will come.
            size: bytes of the question; questions of a like size, by powers of two, have answers that take as long.
            deadline: until when (``time.monotonic``) an answer is of use.
        """
        kind = min(size.bit_length(), _SIZES - 1)
        if not self._seconds:
            return False
        if self._left[kind] > 0:
            self._left[kind] -= 1
            return False
        until = min(time.monotonic() + self._seconds, deadline)
        while not connection.can_read(timeout=0):
            if time.monotonic() >= until:
                self._left[kind] = self._asleep[kind] = min(2 * self._asleep[kind] + 1, MOST)
                return True
        self._asleep[kind] = 0
        return True
