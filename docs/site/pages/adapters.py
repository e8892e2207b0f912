"""Adapters, and the keys that a blueprint may set beside their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pages.cells import cell, default, meanings, table
from stackwright.assembly.discovery import Plugin, Plugins
from stackwright.assembly.plan import SLOTS
from stackwright.assembly.vendors import vendors
from stackwright_interfaces.plugin import AdapterSpec


def adapters() -> Iterator[str]:
    """Give the page of all installed adapters."""
    yield "# Adapters and their keys\n"
    yield "What a blueprint may name in each slot, and the keys that may stand beside `adapter`.\n"
    offered = [(plugin, spec) for plugin in Plugins().all() for spec in plugin.adapters]
    for slot, contract in SLOTS.items():
        mine = [(plugin, spec) for plugin, spec in offered if spec.provides is contract]
        if mine:
            yield f"## Slot `{slot}`\n"
            for plugin, spec in sorted(mine, key=lambda item: item[1].name):
                yield from _adapter(plugin, spec, slot)


def _adapter(plugin: Plugin, spec: AdapterSpec, slot: str) -> Iterator[str]:
    needs = [
        f"{vendor.name} {vendor.takes}" for vendor in vendors(plugin.distribution) if vendor.name[:11] != "stackwright"
    ]
    able = [f"`{capability.value}`" for capability in sorted(spec.capabilities)]
    yield f"### `{spec.name}` ({slot})\n"
    yield f"{spec.description.rstrip('.')}.\n"
    told = [f"In `{plugin.distribution}`, written to version {spec.contract} of its contract"]
    told += [f"needs {', '.join(needs)}"] if needs else []
    told += [f"can do {', '.join(able)}"] if able else []
    yield f"{'; '.join(told)}.\n"
    says = meanings(spec.config)
    fields = [item for item in dataclasses.fields(spec.config) if item.init]
    if fields:
        rows = [(f"`{item.name}`", f"`{cell(item.type)}`", default(item), says.get(item.name, "")) for item in fields]
        yield from table(("key", "type", "default", "what it says"), rows)
