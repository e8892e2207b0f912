"""Drift of what is being asked, as a page of metrics tells it: of all workers, over the last day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stackwright_journal.streaming import LiveCounts
from stackwright_numerics.drift import Limits

_STATES: Final = {"ok": 0.0, "warn": 1.0, "alarm": 2.0}
_MEASURES: Final = {
    "psi": "Population stability index of an input against training.",
    "ks": "Kolmogorov-Smirnov statistic of an input against training.",
    "missing": "Share of rows in which an input is missing.",
    "new": "Share of rows with a category that training did not know.",
    "outside": "Share of rows outside of the range of training.",
}


class DriftCollector(Collector):
    """Tells each input's distance from training; what has too few rows to say anything is left out.

    Args:
        counts: of the workers.
        limits: from where on a distance matters.
    """

    def __init__(self, counts: LiveCounts, limits: Limits) -> None:
        self._counts = counts
        self._limits = limits

    def describe(self) -> Iterator[Metric]:
        """Give the metrics without values, so that registering them reads nothing."""
        yield from self._families().values()

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of now."""
        found = self._families()
        for (model, version), counts in sorted(self._counts.totals().items()):
            served = [model, str(version)]
            found["rows"].add_metric(served, counts.rows)
            for name, column in counts.judge(self._limits)["columns"].items():
                labels = [*served, name]
                if column["state"] in _STATES:
                    found["state"].add_metric(labels, _STATES[column["state"]])
                for measure in _MEASURES:
                    if column[measure] is not None:
                        found[measure].add_metric(labels, column[measure])
        yield from found.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        served, about = ("model", "version"), ("model", "version", "input")
        found = {
            "rows": GaugeMetricFamily("stackwright_input_rows", "Rows counted in the last day.", labels=served),
            "state": GaugeMetricFamily("stackwright_input_state", "0 is ok, 1 warns, 2 alarms.", labels=about),
        }
        more = {
            measure: GaugeMetricFamily(f"stackwright_input_{measure}", text, labels=about)
            for measure, text in _MEASURES.items()
        }
        return found | more
