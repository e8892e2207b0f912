"""The kit's cases on Evidently, without the summary: it takes most of the time, and adds to the page alone."""

from __future__ import annotations

from pathlib import Path

from stackwright_evidently import plugin
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.monitor import MonitorCases


class TestEvidentlyMonitor(MonitorCases):
    spec = spec_of(plugin, Monitor)

    def config(self, folder: Path) -> plugin.EvidentlyConfig:
        return plugin.EvidentlyConfig(summary=False)
