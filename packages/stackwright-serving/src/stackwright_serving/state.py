"""What all endpoints share: what is served, and what becomes of an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVarTuple

from stackwright_interfaces.errors import DataError, ModelError
from stackwright_serving.arms import CANARY, LIVE, TEST, asked_of
from stackwright_serving.exchange import Exchange, Response
from stackwright_serving.host import ModelHost
from stackwright_serving.ids import time_ordered_ids
from stackwright_serving.jobs import JobRequests
from stackwright_serving.list_host import ListHost, NoLists
from stackwright_serving.list_sink import ListSink, NoListSink
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import Reads, Substitutes
from stackwright_serving.served import Loaded, Served
from stackwright_serving.settings import Settings
from stackwright_serving.sink import Answered, NoSink, PredictionSink
from stackwright_serving.telemetry import Tracing
from stackwright_serving.work import Work

log = logging.getLogger("stackwright.serving")

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, kw_only=True)
class Question:
    """Rows that are asked of a model: keys and request fields, or the model's inputs.

    Args:
        keys: request key → values.
        request: request field → values.
        inputs: model columns, where the caller brings them.
        count: rows.
        asked: the instant that is asked for.
        now: when it is asked.
        request_ids: of the request of each row.
        test: nobody acts on the answer: it is sent to see whether the server does as it should.
    """

    count: int
    asked: datetime
    now: datetime
    request_ids: Sequence[str]
    keys: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    request: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    test: bool = False


@dataclass
class State:
    """What all endpoints share.

    Args:
        host: the served models.
        reads: what all reads of features share.
        sink: where predictions are logged.
        blueprint: digest of the blueprint's plan, written beside each prediction.
        jobs: takes requests for jobs, where the blueprint has some.
        list_sink: where lists and clicks are logged.
        recommenders: the served recommenders, where there are some.

    Attributes:
        lists: the served recommenders, or a host of none.
        work: the requests under way.
        draining: whether the application is about to end.
    """

    host: ModelHost
    metrics: Metrics
    reads: Reads
    settings: Settings = field(default_factory=Settings)
    sink: PredictionSink = field(default_factory=NoSink)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    blueprint: str = ""
    draining: bool = False
    jobs: JobRequests | None = None
    list_sink: ListSink = field(default_factory=NoListSink)
    recommenders: ListHost | None = None
    lists: ListHost = field(init=False)
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        self.lists = self.recommenders or ListHost(NoLists(), self.metrics, self.settings)
        self.work = Work(self.settings)

    @property
    def tracing(self) -> Tracing | None:
        """What is told of requests, where they are traced."""
        return self.reads.tracing

    def ready(self, exchange: Exchange) -> bool:
        """Return whether something is served, and neither the server nor the application is about to end."""
        return bool(self.host.serving or self.lists.serving) and not self.draining and not exchange.draining

    def quick(self, size: int, *, reads: bool) -> bool:
        """Return whether a request may be answered at once, on the event loop.

        Args:
            size: bytes of the body.
            reads: whether features are read for it, which may take long.
        """
        return size <= self.settings.at_once and not (reads and self.reads.slow)

    async def run(
        self,
        exchange: Exchange,
        function: Callable[[*Ts], Response],
        *arguments: *Ts,
        size: int,
        reads: bool = False,
    ) -> Response:
        """Return what a function returns: called at once where that is quick, else in a thread.

        Args:
            size: bytes of the body.
            reads: whether the function reads features, which may take long.

        Raises:
            ClientLeft: the client has left meanwhile.
        """
        if self.quick(size, reads=reads):
            return function(*arguments)
        return await self.work.beside(exchange, function, *arguments)

    def ask(self, served: Served, question: Question) -> Answered:
        """Answer a question by the champion, or by its challenger where the entity is in that one's share.

        Where the challenger fails at it, the champion answers.

        Raises:
            FeatureStoreError: the features cannot be read.
            DataError: a key or request field is missing or of another type.
            ModelError: a row cannot be predicted.
        """
        if question.inputs or question.test:
            return self.answer(served.champion, question)
        loaded, arm = served.choose(question.keys, question.request)
        if arm == CANARY:
            try:
                return self.answer(loaded, _fitted(question, loaded, served.champion), arm=CANARY)
            except (ModelError, DataError) as error:
                self.metrics.canary_failed.labels(loaded.version.name, str(loaded.version.version)).inc(question.count)
                log.warning("the challenger %s failed, the champion answers: %s", loaded.version.ref, error)
        return self.answer(served.champion, question)

    def answer(self, loaded: Loaded, question: Question, *, arm: str = LIVE) -> Answered:
        """Answer a question by one version."""
        scorer = loaded.scorer
        if question.inputs:
            scored = scorer.by_columns(question.inputs)
        else:
            timeout = self.settings.deadline_of(question.count)
            scored = scorer.by_keys(question.keys, question.request, at=question.asked, timeout=timeout)
        return Answered(
            ids=time_ordered_ids(question.count),
            model=scorer.model,
            scored=scored,
            columns=question.inputs,
            keys=question.keys,
            request=question.request,
            asked=question.asked,
            predicted=question.now,
            request_ids=question.request_ids,
            blueprint=self.blueprint,
            arm=TEST if question.test else arm,
        )

    def note(self, answered: Answered, served: Served) -> None:
        """Count and log what was answered, and have a copy of it scored where there is a shadow."""
        model, metrics = answered.model, self.metrics
        metrics.predicted(model.name, model.version, len(answered.ids))
        if answered.scored.incomplete:
            metrics.incomplete.labels(model.name).inc(len(answered.scored.incomplete))
        if isinstance(answered.scored.features, Substitutes):
            metrics.degraded.labels(model.name).inc(len(answered.ids))
        for column, count in answered.scored.prediction.unknown.items():
            metrics.unknown.labels(model.name, column).inc(count)
        self._log(answered)
        if served.shadow is not None and answered.arm == LIVE and answered.ids:
            served.shadow.offer(answered, self._log, count=len(answered.ids))

    def _log(self, answered: Answered) -> None:
        if answered.ids and not self.sink.append(answered):
            self.metrics.unlogged.labels(answered.model.name).inc(len(answered.ids))


def _fitted(question: Question, challenger: Loaded, champion: Loaded) -> Question:
    """Return a question to the champion as the challenger's service takes it."""
    if challenger.service is None or challenger.service is champion.service:
        return question
    keys, request = asked_of(challenger.service, question.keys, question.request)
    return Question(
        count=question.count,
        asked=question.asked,
        now=question.now,
        request_ids=question.request_ids,
        keys=keys,
        request=request,
    )
