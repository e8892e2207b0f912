"""The kit's cases on Evidently, without the summary: it takes most of the time, and adds to the page alone."""

from __future__ import annotations

from stackwright_evidently import plugin
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of

TestEvidentlyMonitor = cases_of(spec_of(plugin, Monitor), options={"summary": False})
