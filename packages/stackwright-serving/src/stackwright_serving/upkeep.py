"""What a worker writes down of itself every second."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from stackwright_serving.state import State

PERIOD: Final = 1.0
"""Seconds between two looks."""

_STATM: Final = Path("/proc/self/statm")


class Upkeep:
    """Keeps the numbers of a worker up to date that no request tells.

    Args:
        state: what all endpoints share.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lost = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, and then every second."""
        self.look()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look a last time."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.look()

    def look(self) -> None:
        """Write the numbers down."""
        state, metrics = self._state, self._state.metrics
        metrics.hold()
        metrics.under_way.set(len(state.work))
        metrics.store_open.set(1 if state.reads.breaker.open else 0)
        metrics.memory.set(_resident())
        lost = state.sink.lost + state.list_sink.lost
        if lost > self._lost:
            metrics.lost.inc(lost - self._lost)
            self._lost = lost

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self.look()


def _resident() -> int:
    """Return the bytes of memory that the process holds; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
