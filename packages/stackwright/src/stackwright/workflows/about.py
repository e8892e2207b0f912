"""``stackwright version``: what a report of a bug needs to say. Imports no vendor."""

from __future__ import annotations

import platform
import sys
from typing import Any

from stackwright.assembly.discovery import Plugin, Plugins
from stackwright.assembly.plan import SLOTS
from stackwright.assembly.vendors import vendors, version
from stackwright.workflows.outcome import Outcome, Table
from stackwright_interfaces.plugin import AdapterSpec


def about(plugins: Plugins | None = None) -> Outcome:
    """Tell engine, interfaces, Python, platform, and each adapter with its contract and its vendors."""
    machine = {
        "interfaces": version("stackwright-interfaces"),
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})",
        "platform": platform.platform(),
    }
    found = [_adapter(plugin, spec) for plugin in (plugins or Plugins()).all() for spec in plugin.adapters]
    found.sort(key=lambda adapter: ([*SLOTS, "?"].index(adapter["slot"]), adapter["adapter"]))
    shown = [
        {**adapter, "vendors": [f"{name} {installed}" for name, installed in adapter["vendors"].items()]}
        for adapter in found
    ]
    data = {"stackwright": version("stackwright"), **machine, "adapters": found}
    table = Table([*shown[0]] if shown else [], [[*adapter.values()] for adapter in shown])
    tables = (Table(("", ""), list(machine.items())), table)
    return Outcome(f"stackwright {version('stackwright')}", data, tables)


def _adapter(plugin: Plugin, spec: AdapterSpec) -> dict[str, Any]:
    needed = (vendor for vendor in vendors(plugin.distribution) if not vendor.name.startswith("stackwright"))
    return {
        "adapter": spec.name,
        "slot": next((slot for slot, contract in SLOTS.items() if contract is spec.provides), "?"),
        "distribution": plugin.origin,
        "version": plugin.version,
        "contract": spec.contract,
        "vendors": {vendor.name: vendor.installed for vendor in needed},
    }
