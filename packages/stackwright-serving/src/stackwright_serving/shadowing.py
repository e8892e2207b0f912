"""A challenger that answers copies of what was asked, in a thread of its own: never waited for, and dropped first."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.metrics import Metrics

log = logging.getLogger("stackwright.serving")

PATIENCE: Final = 0.5
"""Seconds that a shadow is given to end; one that hangs is left behind."""

CopyT = TypeVar("CopyT")
AnswerT = TypeVar("AnswerT")


class Shadow(ABC, Generic[CopyT, AnswerT]):
    """Answers copies of requests.

    Args:
        version: the challenger.
        metrics: counts what it answered, dropped and failed at.
        limit: rows, or lists, that may wait; while so many do, further requests are dropped.
    """

    def __init__(self, version: ModelVersion, metrics: Metrics, *, limit: int) -> None:
        self.version = version
        self._limit = limit
        labels = (version.name, str(version.version))
        self._answered = metrics.shadowed.labels(*labels)
        self._dropped = metrics.shadow_dropped.labels(*labels)
        self._failed = metrics.shadow_failed.labels(*labels)
        self._queue: SimpleQueue[tuple[CopyT, int, Callable[[AnswerT], None]] | None] = SimpleQueue()
        self._waiting = 0
        self._counting = threading.Lock()
        self._kind: type[Exception] | None = None
        self._thread = threading.Thread(target=self._run, name=f"shadow {version.ref}", daemon=True)
        self._thread.start()

    @abstractmethod
    def _answer(self, copied: CopyT) -> AnswerT:
        """Return what the challenger answers; called in the shadow's thread alone."""

    def holds(self, version: ModelVersion) -> bool:
        """Return whether it is this version."""
        return self.version.version == version.version and self.version.digest == version.digest

    def offer(self, copied: CopyT, done: Callable[[AnswerT], None], *, count: int = 1) -> None:
        """Have a copy answered, if there is room; never waits.

        Args:
            done: called with the shadow's answer, in the shadow's thread.
            count: its rows, or lists.
        """
        with self._counting:
            room = self._waiting < self._limit
            self._waiting += count if room else 0
        if room:
            self._queue.put((copied, count, done))
        else:
            self._dropped.inc(count)

    def close(self) -> bool:
        """Stop, without what still waits; return false where it hangs and is left behind."""
        self._limit = 0
        self._queue.put(None)
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and self._limit:
            copied, count, done = item
            try:
                done(self._answer(copied))
                self._answered.inc(count)
            except Exception as error:
                self._failed.inc(count)
                if self._is_news(error):
                    log.exception("the shadow %s failed", self.version.ref)
            with self._counting:
                self._waiting -= count
            time.sleep(0)  # whoever answers goes first

    def _is_news(self, error: Exception) -> bool:
        """Return whether it failed otherwise the last time; failures of one kind are in the count."""
        before, self._kind = self._kind, type(error)
        return before is not self._kind
