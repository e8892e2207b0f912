"""A challenger of a model that scores copies of what was answered."""

from __future__ import annotations

from dataclasses import replace

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import SHADOW, asked_of
from stackwright_serving.ids import time_ordered_ids
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import Scored, Scorer
from stackwright_serving.shadowing import Shadow
from stackwright_serving.sink import Answered


class ModelShadow(Shadow[Answered, Answered]):
    """Scores copies of answered requests.

    Args:
        version: the challenger.
        scorer: its own; no other thread may use it.
        service: the service that it reads.
        metrics: counts what it scored, dropped and failed at.
        limit: rows that may wait.
        timeout: seconds for a read of features.
    """

    def __init__(
        self,
        version: ModelVersion,
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
        self._timeout = timeout
        super().__init__(version, metrics, limit=limit)

    def _answer(self, copied: Answered) -> Answered:
        ids = time_ordered_ids(len(copied.ids))
        return replace(copied, ids=ids, model=self.model, scored=self._score(copied), arm=SHADOW)

    def _score(self, answered: Answered) -> Scored:
        read = answered.scored.features
        if read is not None and answered.model.manifest.service == self.model.manifest.service:
            return self._scorer.by_rows(read)
        if answered.columns or self._service is None:
            return self._scorer.by_columns(answered.columns)
        keys, request = asked_of(self._service, answered.keys, answered.request)
        return self._scorer.by_keys(keys, request, at=answered.asked, timeout=self._timeout)
