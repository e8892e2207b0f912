"""Prometheus metrics, added up over the worker processes.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set before this module is imported, each worker writes its numbers to that folder
and any of them can answer for all.
"""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The application's metrics. One per process."""

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests answered.", "route", "status")
        self.latency = Histogram(
            "stackwright_request_seconds", "Seconds to answer.", ("route",), registry=self._registry, buckets=_BUCKETS
        )
        self.predictions = self._counter("predictions", "Rows predicted.", "model", "version")
        self.incomplete = self._counter("incomplete_rows", "Rows with inputs not found or expired.", "model")
        self.unknown = self._counter("unknown_categories", "Rows with a category new to the model.", "model", "input")
        self.unlogged = self._counter("unlogged_predictions", "Predictions the log did not take.", "model")
        self.shadowed = self._counter("shadow_predictions", "Rows scored by a shadow.", "model", "version")
        self.shadow_dropped = self._counter("shadow_dropped", "Rows not copied to a shadow.", "model", "version")
        self.shadow_failed = self._counter("shadow_failed", "Rows a shadow failed at.", "model", "version")
        self.canary_failed = self._counter("canary_failed", "Rows a challenger failed at.", "model", "version")
        self.swaps = self._counter("model_swaps", "Models swapped in.", "model", "result")
        self.version = Gauge(
            "stackwright_model_version",
            "Version now serving.",
            ("model",),
            registry=self._registry,
            multiprocess_mode="liveall" if self._shared else "all",
        )

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"stackwright_{name}", about, labels, registry=self._registry)

    def page(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        if not self._shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        return generate_latest(registry)
