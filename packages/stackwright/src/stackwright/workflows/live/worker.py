"""What a worker of a server opens: settings, logs, the guarded way to features, the prediction log."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from stackwright.assembly import serving_part
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.live.logs import identity, log_as
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore

if TYPE_CHECKING:
    from stackwright_interfaces.feature_store import FeatureStore
    from stackwright_journal.predictions import PredictionLog
    from stackwright_journal.streaming import LiveCounts
    from stackwright_serving.host import ModelSource
    from stackwright_serving.jobs import JobRequests
    from stackwright_serving.list_host import ListSource
    from stackwright_serving.list_sink import ListSink
    from stackwright_serving.metrics import Metrics
    from stackwright_serving.scorer import FeatureReader
    from stackwright_serving.sink import Answered
    from stackwright_serving.state import State


_COLLECT_EVERY: Final = 10_000
"""Objects made between two collections; requests leave hardly a cycle behind."""


def settle() -> None:
    """Spare a worker the garbage collector's search through what it has loaded.

    Modules and models live as long as the worker; a search of them takes a tenth of a second, and nobody is answered.
    """
    gc.set_threshold(_COLLECT_EVERY)
    gc.collect()
    gc.freeze()


class Worker:
    """A worker process.

    Args:
        stack: opened for reading.
        blueprint: digest of the plan it was started with.
        opened: closes what is opened here.
        metrics: of the application.
    """

    def __init__(self, stack: Stack, blueprint: str, opened: AsyncExitStack, metrics: Metrics) -> None:
        from stackwright_serving.reads import Reads
        from stackwright_serving.telemetry import open_tracing

        self.settings = serving_part.settings(stack.blueprint.serving, stack.project.folder)
        self._stack = stack
        self._blueprint = blueprint
        self._opened = opened
        self._metrics = metrics
        fields = identity(stack, self.settings.service, blueprint)
        log_as(fields, self.settings.log_level)
        tracing = open_tracing(self.settings, fields)
        self._reads = Reads(self.settings, metrics, tracing)
        self._services = {service.ref: service for service in stack.definitions.services}

    def guarded(self, features: FeatureStore, *, refuses_missing: bool) -> FeatureReader:
        """Return a feature store as requests read it.

        Args:
            refuses_missing: whether the model refuses rows without features, so that defaults cannot stand in.
        """
        from stackwright_serving.reads import GuardedReader

        empty = self._empty() if self.settings.fallback and not refuses_missing else None
        return GuardedReader(features, self._services, self._reads, empty)

    def state(self, source: ModelSource, lists: ListSource | None = None) -> State:
        """Return what the application's endpoints share.

        Args:
            source: where models come from.
            lists: where recommenders come from, where there are some.
        """
        from stackwright.workflows.live.drift import DriftCollector
        from stackwright_journal.predictions import PredictionLog
        from stackwright_journal.streaming import LiveCounts
        from stackwright_serving.host import ModelHost
        from stackwright_serving.list_host import ListHost
        from stackwright_serving.list_sink import NoListSink
        from stackwright_serving.state import State

        log = PredictionLog(journal.segments(self._stack))
        self._opened.callback(log.close)
        counts = LiveCounts(self._stack.project.state / "drift")
        self._opened.callback(counts.close)
        self._metrics.add(DriftCollector(counts, journal.limits(self._stack)))
        return State(
            host=ModelHost(source, self._metrics, self._services, self.settings),
            metrics=self._metrics,
            reads=self._reads,
            settings=self.settings,
            sink=JournalSink(log, counts),
            clock=self._stack.clock,
            blueprint=self._blueprint,
            jobs=self._jobs(),
            list_sink=self._list_sink() if lists is not None else NoListSink(),
            recommenders=ListHost(lists, self._metrics, self.settings) if lists is not None else None,
        )

    def _list_sink(self) -> ListSink:
        from stackwright.workflows.live.list_sink import JournalListSink
        from stackwright_journal.list_records import FOLDER
        from stackwright_journal.predictions import PredictionLog

        log = PredictionLog(journal.segments(self._stack), name=FOLDER)
        self._opened.callback(log.close)
        return JournalListSink(log, self._stack.clock)

    def _jobs(self) -> JobRequests | None:
        from stackwright.workflows.live.job_requests import Requests

        if not self._stack.blueprint.jobs:
            return None
        requests = Requests(self._stack, self.settings.max_jobs)
        try:
            requests.resume()
        except StackwrightError as error:  # predictions need no jobs
            logging.getLogger("stackwright.serving").warning("jobs that wait were not taken up: %s", error)
        return requests

    def _empty(self) -> FeatureStore:
        from stackwright_features.store import ComposedFeatureStore

        stack = self._stack
        return ComposedFeatureStore(
            None, Nothing(), definitions=stack.definitions, project=stack.project.folder, clock=stack.clock
        )


Guard = Callable[..., "FeatureReader"]


class Nothing(OnlineStore):
    """An online store in which nothing is found."""

    def read(
        self,
        views: Sequence[str],
        keys: Sequence[Sequence[bytes]],
        *,
        timeout: float | None = None,
    ) -> list[list[bytes | None]]:
        """Find nothing."""
        del views, timeout
        return [[None] * len(some) for some in keys]

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store nothing."""
        del view
        return [False] * len(rows)

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give nothing."""
        del view
        return iter(())

    def drop(self, view: str, keys: Any = None) -> int:
        """Remove nothing."""
        del view, keys
        return 0

    def close(self) -> None:
        """Close nothing."""


class JournalSink:
    """Hands answered requests to the prediction log.

    Args:
        counts: counts what is asked, where somebody wants to know.
    """

    def __init__(self, log: PredictionLog, counts: LiveCounts | None = None) -> None:
        from stackwright_journal.records import UNSEEN
        from stackwright_journal.rows import PredictionRows

        self._log = log
        self._counts = counts
        self._unseen = UNSEEN
        self._rows = PredictionRows

    @property
    def lost(self) -> int:
        """Rows that were taken and could not be written."""
        counts = self._log.counts
        return counts.failed + counts.rejected

    def append(self, answered: Answered, /) -> bool:
        """Queue the rows of a request; they are written off the reply path."""
        scored, model = answered.scored, answered.model
        if self._counts is not None and answered.arm not in self._unseen:
            columns = answered.columns if scored.features is None else scored.features.columns
            self._counts.append(model.name, model.version, model.manifest.histograms, columns, scored.prediction.value)
        return self._log.append(
            self._rows(
                prediction_ids=answered.ids,
                prediction=scored.prediction.value,
                lower=scored.prediction.lower,
                upper=scored.prediction.upper,
                outputs=scored.prediction.further,
                model=model.name,
                version=model.version,
                digest=model.digest,
                features=scored.features,
                columns=answered.columns,
                keys=answered.keys,
                request=answered.request,
                fallbacks=scored.incomplete,
                request_ids=answered.request_ids,
                blueprint=answered.blueprint,
                predicted_at=answered.predicted,
                asked_at=answered.asked,
                arm=answered.arm,
            )
        )
