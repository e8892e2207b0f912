"""What all endpoints share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from stackwright_interfaces.definitions import FeatureService
from stackwright_serving.host import ModelHost
from stackwright_serving.metrics import Metrics
from stackwright_serving.settings import Settings
from stackwright_serving.sink import Answered, NoSink, PredictionSink


@dataclass
class State:
    """What all endpoints share.

    Args:
        host: the served models.
        services: ``name@version`` → feature service.
        sink: where predictions are logged.
        blueprint: digest of the blueprint's plan, written beside each prediction.
    """

    host: ModelHost
    services: Mapping[str, FeatureService]
    metrics: Metrics
    settings: Settings = field(default_factory=Settings)
    sink: PredictionSink = field(default_factory=NoSink)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    blueprint: str = ""
    draining: bool = False

    def note(self, answered: Answered) -> None:
        """Count and log an answered request."""
        model, metrics = answered.model, self.metrics
        metrics.predictions.labels(model.name, str(model.version)).inc(len(answered.ids))
        if answered.scored.incomplete:
            metrics.incomplete.labels(model.name).inc(len(answered.scored.incomplete))
        for column, count in answered.scored.prediction.unknown.items():
            metrics.unknown.labels(model.name, column).inc(count)
        if answered.ids and not self.sink.append(answered):
            metrics.unlogged.labels(model.name).inc(len(answered.ids))
