"""Hands answered lists, and clicks on them, to the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from stackwright_journal.list_records import ClickRecord, ListRecord
from stackwright_journal.predictions import PredictionLog
from stackwright_serving.list_sink import Click, Listed


class JournalListSink:
    """Hands lists and clicks to their log; they are written off the reply path.

    Args:
        clock: tells when a click was told.
    """

    def __init__(self, log: PredictionLog, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._clock = clock

    @property
    def lost(self) -> int:
        """Lists and clicks that were taken and could not be written."""
        counts = self._log.counts
        return counts.failed + counts.rejected

    def append(self, listed: Listed, /) -> bool:
        """Queue a list."""
        found, version = listed.found, listed.version
        return self._log.append(
            ListRecord(
                list_id=listed.list_id,
                predicted_at=listed.at,
                model=version.name,
                version=version.version,
                digest=version.digest,
                items=found.items,
                scores=found.scores,
                propensities=found.propensities,
                cold=found.cold,
                user=listed.user,
                asked=listed.asked,
                flags=listed.flags,
                considered=found.considered,
                arm=listed.arm,
                beside=listed.beside,
                request_id=listed.request_id,
                blueprint=listed.blueprint,
            )
        )

    def clicked(self, clicks: Sequence[Click], /) -> bool:
        """Queue clicks; all or none are taken unless the queue fills meanwhile."""
        now = self._clock()
        return all(
            self._log.append(
                ClickRecord(
                    list_id=one.list_id, item=one.item, value=one.value, observed=one.observed, predicted_at=now
                )
            )
            for one in clicks
        )
