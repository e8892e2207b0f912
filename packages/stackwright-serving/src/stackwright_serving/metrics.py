"""Prometheus metrics, added up over the worker processes.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set before this module is imported, each worker writes its numbers to that folder
and any of them can answer for all.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNKNOWN: Final = "unknown"
"""Route of a request that has none."""

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The application's metrics. One per process."""

    def __init__(self) -> None:
        self._shared = _FOLDER in os.environ
        self._registry = CollectorRegistry()
        self._more: list[Collector] = []
        self.requests = self._counter("requests", "Requests answered.", "route", "status")
        self.latency = Histogram(
            "stackwright_request_seconds", "Seconds to answer.", ("route",), registry=self._registry, buckets=_BUCKETS
        )
        self.predictions = self._counter("predictions", "Rows predicted.", "model", "version")
        self.incomplete = self._counter("incomplete_rows", "Rows with inputs not found or expired.", "model")
        self.unknown = self._counter("unknown_categories", "Rows with a category new to the model.", "model", "input")
        self.unlogged = self._counter("unlogged_predictions", "Predictions the log did not take.", "model")
        self.shadowed = self._counter("shadow_predictions", "Rows, or lists, answered by a shadow.", "model", "version")
        self.shadow_dropped = self._counter(
            "shadow_dropped", "Rows, or lists, not copied to a shadow.", "model", "version"
        )
        self.shadow_failed = self._counter("shadow_failed", "Rows, or lists, a shadow failed at.", "model", "version")
        self.canary_failed = self._counter("canary_failed", "Rows a challenger failed at.", "model", "version")
        self.swaps = self._counter("model_swaps", "Models swapped in.", "model", "result")
        self.refused = self._counter("refused_requests", "Requests refused whatever they ask.", "reason")
        self.read_failures = self._counter("store_failures", "Reads of features that failed.", "kind")
        self.degraded = self._counter("degraded_predictions", "Rows answered from defaults alone.", "model")
        self.lists = self._counter("lists", "Lists answered.", "model", "version")
        self.list_flags = self._counter("list_flags", "Lists with something odd about them.", "model", "flag")
        self.unlogged_lists = self._counter("unlogged_lists", "Lists the log did not take.", "model")
        self.clicks = self._counter("clicks", "Clicks on items of lists.")
        self.lost = self._counter("lost_predictions", "Predictions that were taken and could not be logged.")
        self.reads = Histogram(
            "stackwright_store_read_seconds", "Seconds to read features.", registry=self._registry, buckets=_BUCKETS
        )
        self.version = self._gauge("model_version", "Version now serving.", "liveall", "model")
        self.under_way = self._gauge("requests_under_way", "Requests that are not answered yet.", "livesum")
        self.store_open = self._gauge("store_left_alone", "Workers that leave the store alone.", "livesum")
        self.memory = self._gauge("worker_resident_bytes", "Memory of a worker.", "liveall")
        self._answered: dict[tuple[str, int], Any] = {}
        self._latencies: dict[str, Any] = {}
        self._predicted: dict[tuple[str, int], Any] = {}

    def add(self, collector: Collector) -> None:
        """Let a collector tell its numbers too, which it adds up over the workers itself."""
        self._more.append(collector)
        if not self._shared:
            self._registry.register(collector)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"stackwright_{name}", about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str, mode: Literal["liveall", "livesum"], *labels: str) -> Gauge:
        shared: Any = mode if self._shared else "all"
        return Gauge(f"stackwright_{name}", about, labels, registry=self._registry, multiprocess_mode=shared)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request that is answered.

        Args:
            path: of its route; empty where it has none.
        """
        route = path or UNKNOWN
        counter = self._answered.get((route, status))
        if counter is None:
            counter = self._answered[route, status] = self.requests.labels(route, str(status))
            self._latencies[route] = self.latency.labels(route)
        counter.inc()
        self._latencies[route].observe(seconds)

    def predicted(self, model: str, version: int, rows: int) -> None:
        """Count rows that a version predicted."""
        counter = self._predicted.get((model, version))
        if counter is None:
            counter = self._predicted[model, version] = self.predictions.labels(model, str(version))
        counter.inc(rows)

    def hold(self) -> None:
        """Take the room on the disk that this worker's numbers need: a page that has none ends the process.

        The files are mapped into memory, with holes in them.
        """
        for path in self._files(f"*_{os.getpid()}.db"):
            with suppress(OSError), path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)

    def _files(self, pattern: str) -> list[Path]:
        return list(Path(os.environ[_FOLDER]).glob(pattern)) if self._shared else []

    def _forget_the_dead(self) -> None:
        """Remove what tells of workers that live, of those that do not."""
        for pid in {path.stem.rpartition("_")[2] for path in self._files("gauge_live*_*.db")}:
            if pid.isdigit() and not _lives(int(pid)):
                multiprocess.mark_process_dead(int(pid))  # type: ignore[no-untyped-call]

    def page(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        if not self._shared:
            return generate_latest(self._registry)
        self._forget_the_dead()
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        for collector in self._more:
            registry.register(collector)
        return generate_latest(registry)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
