"""Leaves something alone for a while that keeps failing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Counts failures in a row. Used from any thread.

    After so many it opens: nothing is asked for a while, then one caller tries, and its success closes it again.

    Args:
        failures: failures in a row that open it.
        rest: seconds until somebody tries again.
        clock: seconds, never running backwards.
    """

    def __init__(self, failures: int, rest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._rest = rest
        self._clock = clock
        self._failed = 0
        self._due = 0.0
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether nothing is asked at present."""
        return self._failed >= self._most

    def lets_pass(self) -> bool:
        """Return whether to ask. Of those who come when the rest is over, one may."""
        if self._failed < self._most:
            return True
        with self._lock:
            now = self._clock()
            if now < self._due:
                return False
            self._due = now + self._rest
            return True

    def passed(self) -> None:
        """Note a success."""
        self._failed = 0

    def failed(self) -> None:
        """Note a failure."""
        with self._lock:
            self._failed += 1
            self._due = self._clock() + self._rest
