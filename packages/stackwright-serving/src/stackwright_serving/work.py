"""Requests under way: how many, how long, and where they are worked on.

What is answered in microseconds is worked on at once, on the event loop. What would keep others waiting, a large body
or a slow read, goes to a few threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Final, TypeVar, TypeVarTuple

from stackwright_serving.exchange import Exchange
from stackwright_serving.refused import ClientLeft, Refused
from stackwright_serving.settings import Settings

PERIOD: Final = 0.05
"""Seconds between two looks for requests that are late."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Work:
    """Requests under way in this process.

    Args:
        settings: limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._under_way: set[Exchange] = set()
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="work")
        self._watch: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self) -> None:
        """Begin to look for requests that are late."""
        self._watch = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End that; threads that still work are left to their end."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._pool.shutdown(wait=False, cancel_futures=True)

    def enter(self, exchange: Exchange) -> None:
        """Take a request in.

        Raises:
            Refused: there are too many (503).
        """
        if len(self._under_way) >= self._settings.concurrency:
            raise Refused(
                503, f"{len(self._under_way)} requests are under way", "Ask again in a moment.", where="server"
            )
        exchange.task = asyncio.current_task()
        exchange.deadline = time.monotonic() + self._settings.timeout
        self._under_way.add(exchange)

    def leave(self, exchange: Exchange) -> None:
        """Let a request go, if it was taken in."""
        self._under_way.discard(exchange)

    async def beside(self, exchange: Exchange, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Return what a function returns, called in a thread; give up once the client has left.

        Raises:
            ClientLeft: the client has left. What was not begun never will be.
        """
        loop = asyncio.get_running_loop()
        context = copy_context()
        done: asyncio.Future[T] = loop.run_in_executor(self._pool, lambda: context.run(function, *arguments))
        leaving = asyncio.ensure_future(exchange.gone())
        try:
            await asyncio.wait((done, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                raise ClientLeft
            return done.result()
        finally:
            leaving.cancel()
            done.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            now = time.monotonic()
            for exchange in [one for one in self._under_way if one.deadline < now and not one.late]:
                exchange.late = True
                if exchange.task is not None:
                    exchange.task.cancel()
