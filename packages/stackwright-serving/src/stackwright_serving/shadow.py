"""A challenger that scores copies of what was answered, in a thread of its own: never waited for, and dropped first."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import SHADOW, asked_of
from stackwright_serving.ids import time_ordered_ids
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import Scored, Scorer
from stackwright_serving.sink import Answered

log = logging.getLogger("stackwright.serving")

PATIENCE: Final = 0.5
"""Seconds that a shadow is given to end; one that hangs is left behind."""

Done = Callable[[Answered], None]


class Shadow:
    """Scores copies of requests with a challenger.

    Args:
        scorer: the challenger's own; no other thread may use it.
        service: the service that it reads.
        metrics: counts what it scored, dropped and failed at.
        limit: rows that may wait; while so many do, further requests are dropped.
        timeout: seconds for a read of features.
    """

    def __init__(
        self,
        scorer: Scorer,
        service: FeatureService | None,
        metrics: Metrics,
        *,
        limit: int = 1000,
        timeout: float | None = None,
    ) -> None:
        self.model = scorer.model
        self._scorer = scorer
        self._service = service
        self._limit = limit
        self._timeout = timeout
        labels = (scorer.model.name, str(scorer.model.version))
        self._scored = metrics.shadowed.labels(*labels)
        self._dropped = metrics.shadow_dropped.labels(*labels)
        self._failed = metrics.shadow_failed.labels(*labels)
        self._queue: SimpleQueue[tuple[Answered, Done] | None] = SimpleQueue()
        self._waiting = 0
        self._counting = threading.Lock()
        self._kind: type[Exception] | None = None
        self._thread = threading.Thread(target=self._run, name=f"shadow {scorer.model.ref}", daemon=True)
        self._thread.start()

    def scores(self, version: ModelVersion) -> bool:
        """Return whether it scores with this version."""
        return self.model.version == version.version and self.model.digest == version.digest

    def offer(self, answered: Answered, done: Done) -> None:
        """Have a copy of an answered request scored, if there is room; never waits.

        Args:
            done: called with the shadow's answer, in the shadow's thread.
        """
        rows = len(answered.ids)
        with self._counting:
            room = self._waiting < self._limit
            self._waiting += rows if room else 0
        if room:
            self._queue.put((answered, done))
        else:
            self._dropped.inc(rows)

    def close(self) -> bool:
        """Stop, without what still waits; return false where it hangs and is left behind."""
        self._limit = 0
        self._queue.put(None)
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and self._limit:
            answered, done = item
            rows = len(answered.ids)
            try:
                done(self._answer(answered))
                self._scored.inc(rows)
            except Exception as error:
                self._failed.inc(rows)
                if self._is_news(error):
                    log.exception("the shadow %s failed", self.model.ref)
            with self._counting:
                self._waiting -= rows
            time.sleep(0)  # whoever answers goes first

    def _answer(self, answered: Answered) -> Answered:
        scored = self._score(answered)
        ids = time_ordered_ids(len(answered.ids))
        return replace(answered, ids=ids, model=self.model, scored=scored, arm=SHADOW)

    def _score(self, answered: Answered) -> Scored:
        read = answered.scored.features
        if read is not None and answered.model.manifest.service == self.model.manifest.service:
            return self._scorer.by_rows(read)
        if answered.columns or self._service is None:
            return self._scorer.by_columns(answered.columns)
        keys, request = asked_of(self._service, answered.keys, answered.request)
        return self._scorer.by_keys(keys, request, at=answered.asked, timeout=self._timeout)

    def _is_news(self, error: Exception) -> bool:
        """Return whether it failed otherwise the last time; failures of one kind are in the count."""
        before, self._kind = self._kind, type(error)
        return before is not self._kind
